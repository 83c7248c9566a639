"""How a check calls the candidate again: on other cases and inputs, evaluated and excused as the first answer was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from time import monotonic
from typing import Any

import torch

from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.process_state import differences, keep_denormals, process_state
from harness.checks.trial import INPUTS
from harness.core.case import INTERPRETER, Case
from harness.core.compiling import compile_key
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of
from harness.losses.evaluators import evaluator
from harness.losses.inputs import build_inputs
from harness.numerics.evaluation import Evaluation
from harness.registry.support import unsupported_reason
from harness.timing.compiled import fresh_compile
from harness.worker.candidate import Candidate, CandidateError, put_back
from harness.worker.child import Say
from harness.worker.like_torch import declared_for_torch, raised_by_torch


def evidence_of(
    candidate: Candidate, case: Case, inputs: Any, answer: Answer, evaluation: Evaluation, job: Mapping[str, Any],
    say: Say,
) -> Evidence:  # fmt: skip
    """What the checks of ``case`` get to look at, with the ways to ask the candidate more."""
    return Evidence(
        case=case, inputs=inputs, answer=answer, evaluation=evaluation, grade=job["grade"],
        owns_masks="stability" in job["checks"][case.cell], again=_again(candidate), call=_call(candidate, case, say),
        evaluate=evaluate_answer, excuse=_excuse(candidate, job), function=_function(candidate, case, say),
        disturbed=_disturbed,
    )  # fmt: skip


def rounding_ulps(case: Case) -> float:
    """Units in the last place that the final rounding may cost: ½, but 1 where the device truncates.

    Triton's interpreter (3.9) truncates float32 to bfloat16.
    """
    return 1.0 if case.device == INTERPRETER and case.dtype == "bfloat16" else 0.5


def evaluate_answer(case: Case, inputs: Any, answer: Answer) -> Evaluation:
    """Compare an answer with the oracle; a loss or gradient of another shape than torch's is left to the checks."""
    keep_denormals(put_back())
    loss = answer.loss if isinstance(answer.loss, torch.Tensor) and fits(answer.loss, case) else None
    tensors = inputs.tensors()
    gradients = {k: v for k, v in answer.gradients.items() if v.shape == tensors[k].shape}
    return evaluator(case.loss)(case, inputs, loss, gradients, rounding_ulps=rounding_ulps(case))


def fits(loss: torch.Tensor, case: Case) -> bool:
    """Whether ``loss`` has the shape of this case's result and a floating-point dtype."""
    return tuple(loss.shape) == family_of(case.loss).output(case) and loss.dtype.is_floating_point


def poison_freed_memory(like: torch.Tensor) -> None:
    """Free a block of NaN the size of the logits, so that reading memory never written shows."""
    torch.full_like(like, float("nan"), memory_format=torch.contiguous_format)


def synchronise(device: str) -> None:
    """Wait for a CUDA device; nothing on others."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _again(candidate: Candidate) -> Callable[[Case, Callable[[Any], Any]], Evaluation | None]:
    def again(case: Case, change: Callable[[Any], Any]) -> Evaluation | None:
        if unsupported_reason(candidate.description, case, candidate.family) is not None:
            return None
        inputs = change(build_inputs(case))
        pristine = inputs.copied()  # some write into what they are given, as they may declare
        try:
            answer = candidate.answer(case, inputs)
        except CandidateError:
            return None  # what raises on ordinary inputs is told by the cell's own outcome
        return evaluate_answer(case, pristine, answer)

    return again


def _heartbeat(candidate: Candidate, case: Case, say: Say) -> Callable[[], None]:
    """Lets the parent know every few seconds that the checks of ``case`` are alive."""
    said_s = [monotonic()]
    stage = {"stage": f"checks on {case.cell}", "culprit": candidate.description.name, "cell": case.cell}

    def beat() -> None:
        if monotonic() - said_s[0] > _HEARTBEAT_S:
            said_s[0] = monotonic()
            say(stage)

    return beat


def _call(candidate: Candidate, asked: Case, say: Say) -> Callable[[Case, Any], Answer | Refusal]:
    compiled_for: list[Any] = [None]
    beat = _heartbeat(candidate, asked, say)

    def call(case: Case, inputs: Any) -> Answer | Refusal:
        reason = unsupported_reason(candidate.description, case, candidate.family)
        if reason is not None:
            return Refusal(status=Status.UNSUPPORTED, reason=reason)
        beat()
        key = (compile_key(case), *_forms(inputs))
        if compiled_for[0] != key:
            fresh_compile()
            compiled_for[0] = key
        if inputs.logits.numel() <= _POISON_ELEMENTS:
            poison_freed_memory(inputs.logits)
        try:
            answer = candidate.answer(case, inputs)
            synchronise(case.device)
        except CandidateError as error:
            return Refusal(status=error.status, reason=error.reason, error=error.reason.partition(":")[0])
        except RuntimeError as error:  # a device-side assertion shows when the device is waited for
            reason = f"RuntimeError: {str(error).splitlines()[0]}"
            return Refusal(status=Status.RAISED, reason=reason, error="RuntimeError")
        return answer

    return call


def _function(candidate: Candidate, case: Case, say: Say) -> Callable[[Case, Any], Callable[[Any, Any], Any]]:
    """Binds options for free calls, and lets the parent know every few seconds that the check is alive."""
    state: dict[str, Any] = {"key": None}
    beat = _heartbeat(candidate, case, say)

    def function(asked: Case, inputs: Any) -> Callable[[Any, Any], Any]:
        given = inputs.tensors().items()
        # a compiler makes a graph for each of these too, and a limit of them is soon met
        key = (compile_key(asked), *(name for name, tensor in given if tensor.requires_grad))
        if state["key"] != key:
            fresh_compile()
            state["key"] = key
        bound = candidate.function(asked, inputs)

        def run(logits: Any, target: Any) -> Any:
            beat()
            return bound(logits, target)

        run.__wrapped__ = bound  # type: ignore[attr-defined]  # for a compiler, which cannot trace the heartbeat
        return run

    return function


_HEARTBEAT_S = 2.0


@lru_cache(maxsize=1)
def state_before_calls() -> Mapping[str, Any]:
    """The state of this process when this was first called: after the candidate's import, before it was ever called."""
    return process_state()


def _disturbed() -> list[str]:
    return sorted({*put_back(), *differences(state_before_calls(), process_state())})


#: Larger logits are not poisoned for: they may be views of more elements than memory holds.
_POISON_ELEMENTS = 1 << 24


def _forms(inputs: Any) -> list[object]:
    """What a graph is made for, of every tensor that is handed on as it is."""
    given = [tensor for name, tensor in inputs.tensors().items() if name not in ("weight", "grad_output")]
    return [(t.shape, t.stride(), t.dtype, t.storage_offset() % 16) for t in given]


def _excuse(candidate: Candidate, job: Mapping[str, Any]) -> Callable[[Verdict, Case, Any, Answer | None], str | None]:
    """Declared reasons: under the check's own name, or under that of the cell check which would see the same."""

    def excuse(verdict: Verdict, case: Case, inputs: Any, answer: Answer | None) -> str | None:
        variant = verdict.variant or (INPUTS if verdict.region == INPUTS else "")
        for name in dict.fromkeys((verdict.check, *_same_fault(verdict))):
            declared = candidate.description.declared(name, case, variant, verdict.region)
            if declared is not None:
                return f"{declared.reason} ({declared.text}; {verdict.reason})"
        if verdict.status is Status.RAISED and inputs is not None:
            raised = raised_by_torch(verdict, case, inputs, job)
            return None if raised is None else f"as torch: {raised} ({verdict.reason})"
        if answer is None or verdict.region == INPUTS:
            return None
        as_torch = declared_for_torch(verdict, case, inputs, answer, job, also=_same_fault(verdict))
        return None if as_torch is None else f"as torch: {as_torch} ({verdict.reason})"

    return excuse


def _same_fault(verdict: Verdict) -> tuple[str, ...]:
    """The cell checks that would have seen what ``verdict`` tells."""
    if verdict.region == "form":
        return ()
    if verdict.region == INPUTS:
        return ("side_effects",)
    by_value = "agreement" if verdict.details.get("value") == "loss" else "gradient"
    return (by_value, "stability") if verdict.ratio is None else (by_value,)
