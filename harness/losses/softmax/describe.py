"""Softmax as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.losses.dense.rows import rows_family

FAMILY = rows_family("softmax", "exp(x) / Σ exp(x) along one dimension, as torch's F.softmax")
