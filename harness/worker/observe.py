"""Observe jobs: what one implementation does where implementations differ in practice, seen, not judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch

from harness.core.case import Case, case_from_dict
from harness.core.implementation import implementation_from_dict
from harness.inputs.build import Inputs
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs
from harness.registry.load import load_callable
from harness.worker.candidate import Candidate, guarded_state
from harness.worker.child import Say

#: Calls of which every one must give the same bits to be called repeatable.
_REPEATS = 5


def observe(job: Mapping[str, Any], say: Say) -> None:
    """Answer each of the job's ``questions`` for one implementation on cells like ``case``; send each as it comes."""
    torch.set_num_threads(job["threads"])
    case, description = case_from_dict(job["case"]), implementation_from_dict(job["implementation"])
    say({"stage": f"import of {description.reference}", "culprit": description.name})
    try:
        target = load_callable(description)
    except BaseException as error:  # strangers' code
        say({"observed": dict.fromkeys(job["questions"], _raised(error))})
        return
    candidate = Candidate(description=description, target=target, family=families()[case.loss])
    for question in job["questions"]:
        say({"stage": question, "culprit": description.name, "cell": question})
        with guarded_state():
            try:
                seen = OBSERVERS[question](candidate, case)
            except BaseException as error:
                seen = _raised(error)
        say({"observed": {question: seen}})


def _raised(error: BaseException) -> str:
    return f"raises {type(error).__name__}"


def _called(candidate: Candidate, case: Case, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the logits that require grad; raises whatever the candidate does."""
    logits = inputs.logits.detach().requires_grad_()
    return candidate.function(case, inputs)(logits, inputs.target), logits


def _number(value: torch.Tensor) -> str:
    number = float(value.detach())
    return "NaN" if math.isnan(number) else f"{number:.3g}"


def _all_ignored(candidate: Candidate, case: Case) -> str:
    ignoring = replace(case, ignored=0.5)
    inputs = build_inputs(ignoring)
    inputs = replace(inputs, target=torch.full_like(inputs.target, case.ignore_index))
    loss, logits = _called(candidate, ignoring, inputs)
    (gradient,) = torch.autograd.grad(loss, logits)
    return f"{_number(loss)}, gradient {_number(gradient.abs().max())}"


def _empty_batch(candidate: Candidate, case: Case) -> str:
    empty = replace(case, batch=0)
    return _number(_called(candidate, empty, build_inputs(empty))[0])


def _invalid(value: Callable[[Case], int]) -> Callable[[Candidate, Case], str]:
    def observed(candidate: Candidate, case: Case) -> str:
        inputs = build_inputs(case)
        inputs.target[0] = value(case)
        loss, _ = _called(candidate, case, inputs)
        if case.device.startswith("cuda"):
            torch.cuda.synchronize(case.device)
        return f"accepted: {_number(loss)}"

    return observed


def _no_finite_logit(candidate: Candidate, case: Case) -> str:
    inputs = build_inputs(case)
    inputs.logits[0] = -float("inf")
    unreduced = replace(case, reduction="none")
    try:
        return f"loss {_number(_called(candidate, unreduced, inputs)[0][0])}"
    except TypeError:  # it has no reduction
        return f"mean {_number(_called(candidate, case, inputs)[0])}"


def _typed(dtype: torch.dtype) -> Callable[[Candidate, Case], str]:
    def observed(candidate: Candidate, case: Case) -> str:
        # inputs of its own for each call: some overwrite them
        usual, _ = _called(candidate, case, build_inputs(case))
        inputs = build_inputs(case)
        found, _ = _called(candidate, case, replace(inputs, target=inputs.target.to(dtype)))
        return "as int64" if torch.allclose(found, usual, rtol=1e-3) else f"another loss: {_number(found)}"

    return observed


def _mutates(candidate: Candidate, case: Case) -> str:
    inputs = build_inputs(case)
    before = inputs.logits.clone()
    logits = inputs.logits.detach().requires_grad_()
    loss = candidate.function(case, inputs)(logits, inputs.target)
    if not torch.equal(logits.detach(), before):
        return "in the forward"
    loss.backward()
    return "no" if torch.equal(logits.detach(), before) else "in the backward"


def _repeatable(candidate: Candidate, case: Case) -> str:
    large = replace(case, batch=257, classes=1001)
    seen = []
    for _ in range(_REPEATS):
        loss, logits = _called(candidate, large, build_inputs(large))
        seen.append((loss.detach(), torch.autograd.grad(loss, logits)[0]))
    same = all(torch.equal(a, b) for each in seen[1:] for a, b in zip(each, seen[0], strict=True))
    return f"yes, {_REPEATS} calls" if same else "no"


def _double_backward(candidate: Candidate, case: Case) -> str:
    loss, logits = _called(candidate, case, build_inputs(case))
    (gradient,) = torch.autograd.grad(loss * loss, logits, create_graph=True)
    if not gradient.requires_grad:
        return "first order only"
    try:
        gradient.square().sum().backward()
    except RuntimeError:
        return "first order only: raises"
    return "no second gradient" if logits.grad is None else "second order"


def _probabilities(candidate: Candidate, case: Case) -> str:
    soft = replace(case, target="probability")
    return f"loss {_number(_called(candidate, soft, build_inputs(soft))[0])}"


def _half(candidate: Candidate, case: Case) -> str:
    half = replace(case, dtype="bfloat16")
    return str(_called(candidate, half, build_inputs(half))[0].dtype).removeprefix("torch.")


#: Question → how it is looked at. Calls that may damage the process come last.
OBSERVERS: Mapping[str, Callable[[Candidate, Case], str]] = MappingProxyType(
    {
        "all rows ignored, mean": _all_ignored,
        "no rows, mean": _empty_batch,
        "a row of -inf": _no_finite_logit,
        "int32 targets": _typed(torch.int32),
        "uint8 targets": _typed(torch.uint8),
        "probability targets": _probabilities,
        "loss of bfloat16 logits": _half,
        "changes the logits": _mutates,
        "same bits again": _repeatable,
        "double backward": _double_backward,
        "target C": _invalid(lambda case: case.classes),
        "target -1": _invalid(lambda case: -1),
    }
)
