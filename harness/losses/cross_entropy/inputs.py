"""The inputs of a cross-entropy case: logits, targets, class weights and an upstream gradient of the loss."""

from __future__ import annotations

from harness.inputs.build import build_inputs as build

__all__ = ["build"]
