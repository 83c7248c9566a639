"""Capture jobs: judge one implementation on one cell by one check, and keep the first call that went wrong."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from harness.checks.catalogue import CELL_CHECKS
from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.originals import originals
from harness.checks.required import MODES, required_variant, subsets
from harness.checks.run import verdicts
from harness.checks.trial import fault
from harness.core.case import Case, case_from_dict, case_to_dict
from harness.core.implementation import implementation_from_dict
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs
from harness.numerics.evaluation import Evaluation
from harness.registry.call import call_options
from harness.registry.load import load_callable
from harness.worker.candidate import Candidate, CandidateError, guarded_state
from harness.worker.child import Say
from harness.worker.trials import evaluate_answer, evidence_of, state_before_calls


def capture(job: Mapping[str, Any], say: Say) -> None:
    """Ask the job's ``check`` of its ``case`` once more, and send the first faulty call with its inputs.

    Sends ``{"captured": …}`` with the call's case, options, inputs (bytes and strides) and fault; the fault is None
    where no single call shows what the check found, and then ``reason`` says what that was.
    """
    description, case = implementation_from_dict(job["implementation"]), case_from_dict(job["case"])
    torch.set_num_threads(job["threads"])
    originals()
    say({"stage": f"capture of {description.name} on {case.cell}", "culprit": description.name, "cell": case.cell})
    candidate = Candidate(description=description, target=load_callable(description), family=families()[case.loss])
    state_before_calls()
    calls = _Calls(check=job["check"])
    verdict = _judged(candidate, case, calls, {**job, "checks": {case.cell: [job["check"]]}}, say)
    plain = {"case": case, "inputs": build_inputs(case), "fault": None}
    _send(candidate, calls.behind(verdict) or _past_the_call(case, verdict) or plain, verdict, say)


def capture_lost(job: Mapping[str, Any], say: Say) -> None:
    """Send the call of the job's ``case`` without making it: it ended the process that made it."""
    description, case = implementation_from_dict(job["implementation"]), case_from_dict(job["case"])
    say({"stage": f"inputs of {case.cell}", "culprit": description.name, "cell": case.cell})
    candidate = Candidate(description=description, target=load_callable(description), family=families()[case.loss])
    fault = {"kind": "lost", "reason": job["lost"], "gradients": list(candidate.family.gradients(case))}
    _send(candidate, {"case": case, "inputs": build_inputs(case), "fault": fault}, None, say)


def _send(candidate: Candidate, found: Mapping[str, Any], verdict: Verdict | None, say: Say) -> None:
    say(
        {
            "captured": {
                "case": case_to_dict(found["case"]),
                "options": _options(candidate, found["case"], found["inputs"]),
                "arguments": list(candidate.family.slots),
                "tensor_options": list(candidate.family.tensor_options),
                "inputs": {name: _packed(tensor) for name, tensor in found["inputs"].tensors().items()},
                "fault": found["fault"],
                "reason": verdict.reason if verdict is not None else "",
            }
        }
    )


def _judged(candidate: Candidate, case: Case, calls: _Calls, job: Mapping[str, Any], say: Say) -> Verdict | None:
    """Run the check with every evaluation listened to; its first failed verdict, if any."""
    inputs = build_inputs(case)
    pristine = _copied(inputs)
    try:
        answer = candidate.answer(case, inputs)
    except CandidateError as error:
        calls.refused(case, pristine, error.reason)
        return Verdict(check=job["check"], status=Status.RAISED, reason=error.reason)
    evidence = evidence_of(candidate, case, pristine, answer, evaluate_answer(case, pristine, answer), job, say)
    listened = calls.listening(evidence)
    with guarded_state():
        found = [v for v in verdicts(listened, [job["check"]]) if v.status in (Status.FAILED, Status.RAISED)]
    return found[0] if found else None


def _past_the_call(case: Case, verdict: Verdict | None) -> dict[str, Any]:
    """A call made past `Evidence.call`: it raises where nothing is differentiated, or has no gradient of what alone
    requires one."""
    if verdict is None:
        return {}
    found = {"inputs": build_inputs(case), "case": case}
    if verdict.variant in MODES and verdict.status is Status.RAISED:
        fault = {"kind": "raised", "reason": verdict.reason, "mode": verdict.variant}
        return {**found, "case": case.with_pass("forward_no_grad"), "fault": fault}
    for subset in subsets(families()[case.loss].differentiable(case)):
        if verdict.variant == required_variant(subset) and verdict.region == "form":
            return {**found, "fault": {"kind": "form", "reason": verdict.reason, "gradients": list(subset)}}
    return {}


@dataclass(slots=True)
class _Calls:
    """Listens to the calls of one check and keeps the first that is wrong and not excused, and all that raised."""

    check: str
    wrong: dict[str, Any] = field(default_factory=dict)
    raised: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def behind(self, verdict: Verdict | None) -> dict[str, Any]:
        """The call that ``verdict`` is about: one that raised, if it says so (a check may let others raise)."""
        if verdict is None:
            return {}
        told = [call for call in self.raised if call["fault"]["reason"] in verdict.reason]
        if self.check == "targets" and verdict.status is Status.FAILED and not verdict.variant and self.accepted:
            return self.accepted[0]
        return told[0] if verdict.status is Status.RAISED and told else self.wrong

    def listening(self, evidence: Evidence) -> Evidence:
        """``evidence`` whose calls and evaluations are heard."""

        def call(case: Case, inputs: Any) -> Answer | Refusal:
            kept = _copied(inputs)
            found = evidence.call(case, inputs)
            if isinstance(found, Refusal) and found.status is not Status.UNSUPPORTED:
                self.refused(case, kept, found.reason)
            if isinstance(found, Answer) and self.check == "targets" and _names_no_class(case, kept):
                fault = {"kind": "accepted", "reason": "a target that is no class is accepted"}
                self.accepted.append({"case": case, "inputs": kept, "fault": fault})
            return found

        def evaluate(case: Case, inputs: Any, answer: Answer) -> Evaluation:
            evaluation = evidence.evaluate(case, inputs, answer)
            self._heard(replace(evidence, case=case, inputs=inputs, answer=answer, evaluation=evaluation))
            return evaluation

        def again(case: Case, change: Any) -> Evaluation | None:
            heard: dict[str, Any] = {}

            def changed(inputs: Any) -> Any:
                heard["inputs"] = change(inputs)
                return heard["inputs"]

            evaluation = evidence.again(case, changed)
            if evaluation is not None and "inputs" in heard:
                answer = evidence.call(case, heard["inputs"])
                if isinstance(answer, Answer):
                    evaluate(case, heard["inputs"], answer)
            return evaluation

        self._heard(evidence)
        return replace(evidence, call=call, evaluate=evaluate, again=again)

    def refused(self, case: Case, inputs: Any, reason: str) -> None:
        """Keep a call that raised."""
        self.raised.append({"case": case, "inputs": inputs, "fault": {"kind": "raised", "reason": reason}})

    def _heard(self, evidence: Evidence) -> None:
        if self.wrong:
            return
        trained = families()[evidence.case.loss].gradients(evidence.case)
        found = tuple(evidence.answer.gradients)
        # a gradient of something that the loss is not trained by comes back where a check asked for it
        asked = found if set(found) - set(trained) else tuple(trained)
        wrong = fault(evidence, self.check, wanted=asked)
        if wrong is None or (
            self.check not in CELL_CHECKS
            and evidence.excuse(wrong, evidence.case, evidence.inputs, evidence.answer) is not None
        ):
            return
        details = wrong.details
        self.wrong = {
            "case": evidence.case, "inputs": evidence.inputs,
            "fault": {
                "kind": "form" if wrong.region == "form" else "value", "reason": wrong.reason,
                "value": details.get("value", "loss"), "region": wrong.region, "index": list(wrong.index or ()),
                "expected": details.get("expected"), "found": details.get("found"), "budget": wrong.budget,
                "gradients": list(asked),
            },
        }  # fmt: skip


def _copied(inputs: Any) -> Any:
    """Copies with the strides of the originals and whatever lies between their entries: `clone` would pack them."""

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        whole = tensor.untyped_storage().nbytes() // tensor.element_size()
        storage = tensor.as_strided((whole,), (1,), 0).clone()
        return storage.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())

    return inputs.changed({name: copy(t) for name, t in inputs.tensors().items() if name != "grad_output"})


def _names_no_class(case: Case, inputs: Any) -> bool:
    target = inputs.target[inputs.target != case.ignore_index]
    return bool(((target < 0) | (target >= case.classes)).any())


def _options(candidate: Candidate, case: Case, inputs: Any) -> dict[str, Any]:
    """Keyword arguments of the call; the weight is named and carried among the inputs."""
    options = call_options(candidate.description, case, candidate.family, inputs.tensors())
    return {name: name if name in candidate.family.tensor_options else value for name, value in options.items()}


def _packed(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor's bytes from its first to its last element, with sizes, strides, and the offset into a storage."""
    tensor = tensor.detach().cpu()
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    span = 0 if tensor.numel() == 0 else span
    flat = tensor.as_strided((span,), (1,), tensor.storage_offset()).contiguous()
    raw = flat.view(torch.uint8).numpy().tobytes() if span else b""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."), "size": list(tensor.shape), "stride": list(tensor.stride()),
        "offset": tensor.storage_offset() % 16, "data": base64.b85encode(zlib.compress(raw, 9)).decode(),
        "values": tensor.reshape(-1).tolist() if tensor.numel() <= 64 and tensor.is_contiguous() else None,
    }  # fmt: skip
