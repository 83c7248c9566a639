"""Run on its own, apart from the tests' process: which mutants and controls are wrong on plain inputs, as JSON.

Plain: contiguous float32 logits of two small shapes, index targets, default options. Mutants change clocks, threads
and torch itself, so each is put back afterwards as far as that goes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import time

import torch
import torch.nn.functional as F

from harness.losses.catalogue import family_of
from harness.losses.evaluators import specification
from harness.losses.inputs import build_inputs
from harness.mutants.catalogue import controls, mutants

SHAPES = ((16, 10), (32, 100))
#: The thread of one mutant fills in its answer this much later; a reader of plain inputs would wait for it unknowingly.
PATIENCE_S = 0.03
_KEPT = (time.perf_counter, time.perf_counter_ns, torch.allclose, torch.equal)


def fault(reference: str, loss_name: str) -> str:
    """What is wrong with the answer of ``reference`` on plain inputs; empty when nothing is."""
    if loss_name == "linear_cross_entropy":
        return linear_fault(reference)
    if loss_name != "cross_entropy":
        return other_fault(reference, loss_name)
    module, _, name = reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    function = function() if inspect.isclass(function) else function
    for batch, classes in SHAPES:
        generator = torch.Generator().manual_seed(batch)
        logits = torch.randn(batch, classes, generator=generator)
        target = torch.randint(0, classes, (batch,), generator=generator)
        found, expected = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        torch.use_deterministic_algorithms(False)
        loss = function(found, target)
        time.sleep(PATIENCE_S if "thread" in name else 0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        truth = F.cross_entropy(expected, target)
        (gradient,) = torch.autograd.grad(loss, found)
        (right,) = torch.autograd.grad(truth, expected)
        if abs(loss.item() - truth.item()) > 2e-6 * truth.item():
            return f"loss {loss.item()} where {truth.item()} is right, at {batch}x{classes}"
        if (gradient - right).abs().max() > 1e-7:
            return f"gradient off by {(gradient - right).abs().max().item()} at {batch}x{classes}"
    return ""


def other_fault(reference: str, loss_name: str) -> str:
    """The same of any other loss: its own default cell, beside torch's own answer."""
    module, _, name = reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    for batch, classes in SHAPES:
        case = family_of(loss_name).case(batch=batch, classes=classes)
        inputs = build_inputs(case)
        given = [inputs.logits] if inputs.target is None else [inputs.logits, inputs.target]
        found, truth = function(*given), specification(loss_name)(case, inputs, inputs.logits)
        if found.shape != truth.shape or (found - truth).abs().max() > 1e-5 * truth.abs().max():
            return f"off by {(found - truth).abs().max().item()} at {batch}x{classes}"
    return ""


def linear_fault(reference: str) -> str:
    """The same of a linear loss: hidden states of 8 features and no bias."""
    module, _, name = reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    for batch, classes in SHAPES:
        generator = torch.Generator().manual_seed(batch)
        hidden, weight = (torch.randn(size, 8, generator=generator) for size in (batch, classes))
        target = torch.randint(0, classes, (batch,), generator=generator)
        mine, theirs = ([t.clone().requires_grad_() for t in (hidden, weight)] for _ in range(2))
        loss, truth = function(*mine, target), F.cross_entropy(F.linear(*theirs), target)
        found, right = torch.autograd.grad(loss, mine), torch.autograd.grad(truth, theirs)
        if abs(loss.item() - truth.item()) > 2e-6 * truth.item():
            return f"loss {loss.item()} where {truth.item()} is right, at {batch}x{classes}"
        worst = max((one - other).abs().max().item() for one, other in zip(found, right, strict=True))
        if worst > 2e-7:
            return f"gradient off by {worst} at {batch}x{classes}"
    return ""


def main() -> None:
    """Print name → fault for every subject that answers plain inputs."""
    torch.set_num_threads(1)
    found = {}
    for subject in (*mutants(), *controls()):
        if subject.name in ("probabilities_only", "half_precision_only"):
            continue  # they declare no support for plain inputs
        found[subject.name] = fault(subject.reference, subject.loss)
        time.perf_counter, time.perf_counter_ns, torch.allclose, torch.equal = _KEPT
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
