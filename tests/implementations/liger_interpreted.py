"""Judges Liger's kernels on Triton's interpreter and prints JSON; needs TRITON_INTERPRET=1 before any import."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch

from harness.core.case import Case
from harness.losses.evaluators import evaluator
from harness.losses.inputs import build_inputs
from tests.implementations.test_peers import load

CASES = {
    "liger": [
        Case(batch=8, classes=100, device="triton-interpreter", dtype=dtype, reduction=reduction, ignored=0.25)
        for dtype in ("float32", "bfloat16")
        for reduction in ("none", "mean", "sum")
    ],
    "liger_linear": [
        Case(
            loss="linear_cross_entropy", batch=8, features=16, classes=33, device="triton-interpreter",
            reduction=reduction, ignored=0.25,
        )
        for reduction in ("mean", "sum")
    ],
}  # fmt: skip


def gradients(function, inputs, case):
    """The loss and its gradients by name; logits are copied, since their gradient is written over them."""
    leaves = {"logits": inputs.logits.clone(), **inputs.others}
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in leaves.items()}
    loss = function(*leaves.values(), inputs.target, reduction=case.reduction, ignore_index=case.ignore_index)
    found = torch.autograd.grad(loss, tuple(leaves.values()), inputs.grad_output.to(loss.dtype))
    return loss.detach(), dict(zip(leaves, found, strict=True))


def judged(name: str, case: Case) -> float:
    """The largest error ÷ budget; the interpreter truncates bfloat16, which costs 1 ulp."""
    inputs = build_inputs(case)
    loss, found = gradients(load()[name][1], inputs, case)
    ulps = 1.0 if case.dtype == "bfloat16" else 0.5
    evaluation = evaluator(case.loss)(case, inputs, loss, found, rounding_ulps=ulps)
    assert not any(region.mismatches for region in evaluation.regions)
    return max(region.worst["standard"].ratio for region in evaluation.regions)


def strided_gradient_is_the_logits() -> bool:
    """The fault that its adapter declares: of transposed logits the gradient is the logits themselves."""
    inputs = build_inputs(replace(CASES["liger"][1], ignored=0.0, layout="transposed"))
    logits = inputs.logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(load()["liger"][1](logits, inputs.target), logits)
    return torch.equal(gradient, inputs.logits)


def main() -> None:
    torch.set_num_threads(1)
    found = {f"{name} {case.cell}": judged(name, case) for name, cases in CASES.items() for case in cases}
    json.dump({"ratios": found, "strided": strided_gradient_is_the_logits()}, sys.stdout)


if __name__ == "__main__":
    main()
