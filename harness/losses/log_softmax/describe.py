"""Log-softmax as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.losses.dense.rows import rows_family

FAMILY = rows_family("log_softmax", "x - log Σ exp(x) along one dimension, as torch's F.log_softmax")
