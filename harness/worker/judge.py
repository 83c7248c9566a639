"""Judge jobs: one implementation on the cells of one set of inputs, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

from harness.checks.catalogue import CELL_CHECKS
from harness.checks.evidence import Answer
from harness.checks.originals import originals
from harness.checks.run import verdicts
from harness.checks.trial import INPUTS, written_verdict
from harness.core.case import Case, case_from_dict
from harness.core.compiling import compile_key
from harness.core.implementation import Implementation, implementation_from_dict
from harness.core.outcome import JUDGED, Outcome, Verdict, outcome_to_dict
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs
from harness.numerics.evaluation import Evaluation
from harness.numerics.same import same_values
from harness.registry.load import load_callable
from harness.timing.compiled import compiled_graphs, fresh_compile
from harness.worker.candidate import Candidate, CandidateError, features, guarded_state, plain_cases
from harness.worker.child import Say
from harness.worker.like_torch import declared_for_torch
from harness.worker.metrics import judged_metrics
from harness.worker.pristine import restore
from harness.worker.trials import evaluate_answer, evidence_of, poison_freed_memory, state_before_calls, synchronise


@dataclass(slots=True)
class _Memory:
    """What one worker remembers between jobs: loaded candidates, probed features, first calls by compile key."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    lacking: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    first_call_ns: dict[str, int] = field(default_factory=dict)
    import_ns: int | None = None
    compiled: str = ""


@lru_cache(maxsize=1)
def _memory() -> _Memory:
    return _Memory()


def judge(job: Mapping[str, Any], say: Say) -> None:
    """Judge one implementation on cases that share their inputs and differ in their pass; send each outcome.

    The candidate answers every pass before the oracle's answer exists in this process.
    """
    description = implementation_from_dict(job["implementation"])
    cases = [case_from_dict(values) for values in job["cases"]]
    torch.set_num_threads(job["threads"])
    originals()  # as they are before a stranger's code is imported
    say({"stage": f"import of {description.reference}", "culprit": description.name})
    candidate = _load(description, cases[0], say, job)
    if candidate is None:
        return
    say({"stage": "making inputs"})
    inputs = build_inputs(cases[0])
    pristine = inputs.copied()
    answers: dict[str, tuple[Answer, int]] = {}
    written: dict[str, list[str]] = {}
    for case in sorted(cases, key=lambda c: not c.needs_gradient):
        say({"stage": f"call of {description.name} on {case.cell}", "culprit": description.name, "cell": case.cell})
        started = time.perf_counter_ns()
        try:
            answer = _first_or_later(candidate, case, inputs)
        except CandidateError as error:
            _say_raised(candidate, case, error, job, say)
            continue
        answers[case.pass_] = (answer, time.perf_counter_ns() - started)
        written[case.pass_] = restore(inputs, pristine)
    evaluate = _shared_evaluation(cases[0], pristine)
    gradient = next((a.gradients["logits"] for a, _ in answers.values() if "logits" in a.gradients), None)
    for case in cases:
        if case.pass_ in answers:
            _say_verdicts(candidate, case, pristine, answers[case.pass_], evaluate, gradient, job, say)
            _say_written(candidate, case, written[case.pass_], job, say)


def _load(description: Implementation, case: Case, say: Say, job: Mapping[str, Any]) -> Candidate | None:
    memory = _memory()
    key = f"{description.reference}:{description.name}"
    if key not in memory.candidates:
        started = time.perf_counter_ns()
        try:
            target = load_callable(description)
            memory.import_ns = time.perf_counter_ns() - started
        except BaseException as error:  # strangers' code
            failure = CandidateError(error)
            for values in job["cases"]:
                _say_all(
                    case_from_dict(values), description, failure.status, failure.reason, job, say, failure.traceback
                )
            return None
        memory.candidates[key] = Candidate(description=description, target=target, family=families()[case.loss])
        state_before_calls()
    return memory.candidates[key]


def _first_or_later(candidate: Candidate, case: Case, inputs: Any) -> Answer:
    """Answer, from a fresh compiler state when shape, dtype or options changed; the first call's time is kept."""
    memory, key = _memory(), compile_key(case)
    if memory.compiled != key:
        fresh_compile()
        memory.compiled = key
    poison_freed_memory(inputs.logits)
    started = time.perf_counter_ns()
    answer = candidate.answer(case, inputs)
    synchronise(case.device)
    memory.first_call_ns.setdefault(key, time.perf_counter_ns() - started)
    return answer


def _say_written(
    candidate: Candidate, case: Case, names: Sequence[str], job: Mapping[str, Any], say: Say
) -> None:  # fmt: skip
    """A failed verdict, variant ``inputs``, where the call wrote into its inputs: whoever reads them next is misled."""
    if not names:
        return
    check = job["checks"][case.cell][0]
    verdict = written_verdict(check, INPUTS, names, case.seed)
    # declared where the check that asks of nothing else would find it declared
    known = (candidate.description.declared(name, case, INPUTS, INPUTS) for name in (check, "side_effects"))
    declared = next((expectation for expectation in known if expectation is not None), None)
    if declared is not None:
        verdict = replace(
            verdict, status=Status.DECLARED, reason=f"{declared.reason} ({declared.text}; {verdict.reason})"
        )
    outcome = Outcome(
        case=case, implementation=candidate.description.name, kind=JUDGED, check=check, status=verdict.status,
        reason=verdict.reason, variant=INPUTS, metrics=judged_metrics(verdict, case, candidate.description, job),
    )  # fmt: skip
    say({"outcome": outcome_to_dict(outcome)})


def _shared_evaluation(case: Case, inputs: Any) -> Callable[[Answer], Evaluation]:
    """Evaluate answers, once for each distinct one: passes usually give the same loss bit for bit."""
    seen: list[tuple[Answer, Evaluation]] = []

    def evaluate(answer: Answer) -> Evaluation:
        for other, evaluation in seen:
            if _identical(answer, other):
                return replace(evaluation, regions=tuple(r for r in evaluation.regions if r.value == "loss"))
        evaluation = evaluate_answer(case, inputs, answer)
        seen.append((answer, evaluation))
        return evaluation

    return evaluate


def _identical(answer: Answer, other: Answer) -> bool:
    """Whether ``other`` holds ``answer``'s loss bit for bit, and its gradients if it has any."""
    if not isinstance(answer.loss, torch.Tensor) or not isinstance(other.loss, torch.Tensor):
        return False
    return not answer.gradients and same_values(answer.loss, other.loss)


def _say_verdicts(
    candidate: Candidate, case: Case, inputs: Any, answered: tuple[Answer, int],
    evaluate: Callable[[Answer], Evaluation], gradient: torch.Tensor | None, job: Mapping[str, Any], say: Say,
) -> None:  # fmt: skip
    answer, call_ns = answered
    checks = job["checks"][case.cell]
    say({"stage": f"checks on {case.cell}", "culprit": candidate.description.name, "cell": case.cell})
    started = time.perf_counter_ns()
    evidence = evidence_of(candidate, case, inputs, answer, evaluate(answer), job, say)
    extra: dict[str, Any] = {
        "first_call_ns": _memory().first_call_ns.get(compile_key(case)), "import_ns": _memory().import_ns,
        **({"compiled_graphs": graphs} if (graphs := compiled_graphs()) else {}),
    }  # fmt: skip
    if job.get("measure_memory"):
        extra.update(_memory_figures(candidate, case, inputs, gradient, say))
    with guarded_state():
        found = list(verdicts(evidence, checks))
    extra["seconds"] = round((time.perf_counter_ns() - started + call_ns) / 1e9, 6)
    for verdict in found:
        outcome = _outcome(candidate, case, inputs, answer, verdict, job)
        metrics = {**outcome.metrics, **extra} if verdict is found[0] else outcome.metrics
        say({"outcome": outcome_to_dict(replace(outcome, metrics=metrics))})


def _memory_figures(
    candidate: Candidate, case: Case, inputs: Any, gradient: torch.Tensor | None, say: Say
) -> dict[str, int]:
    from harness.timing.memory import measure_memory

    name = candidate.description.name
    say({"stage": f"memory of {name} on {case.cell}", "culprit": name, "cell": case.cell})
    try:
        trained = candidate.family.gradients(case)[1:]
        return measure_memory(candidate.function(case, inputs), case, inputs, trained, gradient)
    except Exception:
        return {}  # the call itself was judged; a profiler that fails costs only its figure


def _outcome(
    candidate: Candidate, case: Case, inputs: Any, answer: Answer, verdict: Verdict, job: Mapping[str, Any]
) -> Outcome:
    """The outcome of a verdict: a fault becomes ``declared`` where it was declared, or the answer is torch's own."""
    status, reason = verdict.status, verdict.reason
    if status in (Status.FAILED, Status.RAISED):
        declared = candidate.description.declared(verdict.check, case, verdict.variant, verdict.region)
        if declared is not None:
            status, reason = Status.DECLARED, f"{declared.reason} ({declared.text}; {reason})"
        elif status is Status.FAILED and verdict.check in CELL_CHECKS:
            # the others have asked this of each of their own answers, of which this cell's is but one
            as_torch = declared_for_torch(verdict, case, inputs, answer, job)
            if as_torch is not None:
                status, reason = Status.DECLARED, f"as torch: {as_torch} ({reason})"
    return Outcome(
        case=case, implementation=candidate.description.name, kind=JUDGED, check=verdict.check, status=status,
        reason=reason, variant=verdict.variant, metrics=judged_metrics(verdict, case, candidate.description, job),
    )  # fmt: skip


def _say_raised(candidate: Candidate, case: Case, error: CandidateError, job: Mapping[str, Any], say: Say) -> None:
    """Tell every check of the cell that the call raised, or that the feature it lacks is unsupported."""
    description = candidate.description
    if error.status is Status.RAISED:
        lacking = _lacking(candidate, case)
        if lacking is not None:
            _say_all(
                case, description, Status.UNSUPPORTED, f"raises on every probe of {lacking}: {error.reason}", job, say
            )
            return
    for check in job["checks"][case.cell]:
        declared, only = description.declared(check, case), {**job, "checks": {case.cell: [check]}}
        if declared is None:
            _say_all(case, description, error.status, error.reason, only, say, error.traceback)
        else:
            _say_all(
                case, description, Status.DECLARED, f"{declared.reason} ({declared.text}; {error.reason})", only, say
            )


def _lacking(candidate: Candidate, case: Case) -> str | None:
    """The feature of ``case`` on which the candidate raises in every probe while plain cases work; None if none."""
    memory = _memory().lacking
    for feature in features(case):
        key = (candidate.description.name, case.device, feature)
        if key not in memory:
            others = [d for d in ("float32", "float64", "bfloat16", "float16") if f"dtype {d}" != feature]
            answers_plain = any(
                _answers_any(candidate, [replace(c, dtype=d) for c in plain_cases(case, None)]) for d in others
            )
            lacks = answers_plain and not _answers_any(candidate, plain_cases(case, feature))
            memory[key] = feature if lacks else None
        if memory[key] is not None:
            return memory[key]
    return None


def _answers_any(candidate: Candidate, cases: Iterable[Case]) -> bool:
    for case in cases:
        try:
            candidate.answer(case, build_inputs(case))
        except CandidateError:
            continue
        return True
    return False


def _say_all(
    case: Case, description: Implementation, status: Status, reason: str, job: Mapping[str, Any], say: Say,
    traceback: str | None = None,
) -> None:  # fmt: skip
    for check in job["checks"][case.cell]:
        verdict = Verdict(check=check, status=status, reason=reason, seed=case.seed)
        metrics = judged_metrics(verdict, case, description, job)
        outcome = Outcome(
            case=case, implementation=description.name, kind=JUDGED, check=check, status=status, reason=reason,
            metrics=metrics, traceback=traceback,
        )  # fmt: skip
        say({"outcome": outcome_to_dict(outcome)})
