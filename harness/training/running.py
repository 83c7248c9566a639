"""Train every implementation on every workload, each in a worker of its own, and hold it against the reference."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.errors import InternalError, UsageError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import FAULTS, Status
from harness.registry.support import unsupported_reason
from harness.runner.asked import Asked
from harness.runner.events import Listener
from harness.runner.plan import Plan, device_reason
from harness.runner.record import Record
from harness.suite.model import Suite
from harness.training.compare import WHAT, Departure, Reference, departures, load_runs, reference_of, worst
from harness.training.setup import Setup, setup_to_dict, setups_of
from harness.worker.process import WorkerLostError, Workers

#: The check that outcomes of training go by.
CHECK = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Runs to train, each with the file that its logits are captured into, if any; ``source`` names their suite."""

    runs: Mapping[Setup, Path | None]
    source: str


def trained_for(suite: Suite, asked: Asked, source: str) -> Training:
    """The training runs that ``suite`` and the command line ask for; none where only speed is asked for.

    Raises:
        UsageError: as :func:`setups` and :func:`capture_paths`.
    """
    found = () if asked.only == "speed" else setups(suite, device=asked.device, shard=asked.shard)
    runs = dict.fromkeys(found) if asked.capture is None else dict(capture_paths(Path(asked.capture), found))
    return Training(runs=runs, source=source)


def setups(suite: Suite, *, device: str | None, shard: tuple[int, int] | None) -> tuple[Setup, ...]:
    """The runs that ``suite`` asks for, on ``device`` (the CPU unless told), those of one shard.

    Raises:
        UsageError: a folder does not hold what its workload needs, or two entries are one run.
    """
    found = [setup for entry in suite.training for setup in setups_of(entry, device or "cpu")]
    repeated = {setup.case.cell for setup in found if sum(other.case == setup.case for other in found) > 1}
    if repeated:
        raise UsageError(f"{suite.source}: training asks for one run twice: {min(repeated)}")
    return tuple(found) if shard is None else tuple(found[shard[0] - 1 :: shard[1]])


def capture_paths(path: Path, asked: Sequence[Setup]) -> dict[Setup, Path]:
    """Where each setup's logits go: ``path`` itself for one; ``NAME-workload-C.npz`` beside it for several.

    Raises:
        UsageError: the file's ending is not .npz, or nothing is trained.
    """
    if path.suffix != ".npz":
        raise UsageError(f"--capture {path}: a capture is written as .npz, e.g. --capture logits.npz")
    if not asked:
        raise UsageError("--capture keeps the logits that training met, and this suite trains nothing")
    if len(asked) == 1:
        return {asked[0]: path}
    return {
        setup: path.with_name(f"{path.stem}-{setup.workload}-{setup.classes}-{index}.npz")
        for index, setup in enumerate(asked)
    }


def settled(plan: Plan, implementation: Implementation, setup: Setup) -> tuple[Status, str, str | None] | None:
    """(status, reason, traceback) of a run that need not be trained; None where it must be."""
    case = setup.case
    unsupported = unsupported_reason(implementation, case, plan.families[case.loss])
    unable = implementation.unavailable or (None if unsupported else _impossible(plan, setup))
    if implementation.failed is not None:
        return Status(implementation.failed_status), implementation.failed, implementation.traceback
    if unable is not None:
        return Status.UNAVAILABLE, unable, None
    return None if unsupported is None else (Status.UNSUPPORTED, unsupported, None)


def _impossible(plan: Plan, setup: Setup) -> str | None:
    if setup.device == INTERPRETER:
        return "training runs on cpu and cuda, not on Triton's interpreter"
    return device_reason(setup.device, plan.cuda) or setup.unavailable()


class Trainer:
    """Trains the implementations of a plan; outcomes that the record holds already are not trained again.

    ``source`` is the suite as the command line names it, for the command that shows a fault again.
    """

    def __init__(self, plan: Plan, workers: Workers, record: Record, listener: Listener, source: str) -> None:
        self._plan, self._workers, self._record, self._listener = plan, workers, record, listener
        self._source = source

    def train(self, setup: Setup, capture: Path | None = None) -> None:
        """Every implementation gets its outcome on ``setup``; ``capture`` is where the baseline's logits go."""
        case = setup.case
        left = [i for i in self._plan.implementations if not self._record.has(case.cell, i.name, JUDGED, CHECK)]
        able = [i for i in left if not self._settle(i, setup, case)]
        for _ in range(len(self._plan.implementations) - len(able)):
            self._listener.advanced(JUDGED)
        if able or (capture is not None and _impossible(self._plan, setup) is None):
            with tempfile.TemporaryDirectory(prefix="harness-training-") as folder:
                self._train_all(setup, case, able, Path(folder), capture)

    def _train_all(
        self, setup: Setup, case: Case, able: Sequence[Implementation], folder: Path, capture: Path | None
    ) -> None:
        self._listener.working(f"judging: reference runs of {setup.workload}")
        reference = self._reference(setup, folder, capture)
        for implementation in able:
            self._listener.working(f"judging {implementation.name}: training {setup.workload}")
            self._candidate(implementation, setup, case, reference, folder)
            self._listener.advanced(JUDGED)

    def _reference(self, setup: Setup, folder: Path, capture: Path | None) -> Reference:
        """Train the reference in a worker.

        Raises:
            UsageError: its data cannot be read, or it cannot be trained at all.
        """
        job = {
            "job": "train_reference", "setup": setup_to_dict(setup), "out": str(folder / "reference.npz"),
            "capture": None if capture is None else str(capture),
        }  # fmt: skip
        worker = self._workers.start(environment={}, memory_bytes=self._memory(setup))
        try:
            for message in worker.request(job, timeout_s=self._plan.settings.seconds_per_call):
                if "internal" in message:
                    raise InternalError(
                        f"training the reference of {setup.workload}: {message['internal']}", message["traceback"]
                    )
        except WorkerLostError as lost:
            raise UsageError(
                f"the reference of workload {setup.workload} could not be trained: {lost.reason}"
            ) from None
        finally:
            worker.close()
        return reference_of(load_runs(folder / "reference.npz"))

    def _candidate(
        self, implementation: Implementation, setup: Setup, case: Case, reference: Reference, folder: Path
    ) -> None:
        out = folder / "candidate.npz"
        out.unlink(missing_ok=True)
        job = {
            "job": "train", "setup": setup_to_dict(setup), "case": case_to_dict(case), "out": str(out),
            "implementation": implementation_to_dict(implementation),
        }  # fmt: skip
        told: dict[str, Any] = {}
        worker = self._workers.start(environment={}, memory_bytes=self._memory(setup))
        try:
            for message in worker.request(job, timeout_s=self._plan.settings.seconds_per_call):
                told.update(message)
        except WorkerLostError as lost:
            self._say(implementation, case, lost.status, lost.reason)
            return
        finally:
            worker.close()
        if "internal" in told:
            raise InternalError(
                f"training {setup.workload} with {implementation.name}: {told['internal']}", told["traceback"]
            )
        if "status" in told or not told.get("trained"):
            status = Status(told.get("status", Status.CRASHED))
            self._say(
                implementation,
                case,
                status,
                told.get("reason", "the worker gave no word"),
                traceback=told.get("traceback"),
            )
            return
        self._judge(implementation, setup, case, reference, load_runs(out)[""], told)

    def _judge(
        self, implementation: Implementation, setup: Setup, case: Case, reference: Reference,
        run: Mapping[str, np.ndarray], told: Mapping[str, Any],
    ) -> None:  # fmt: skip
        found = departures(run, reference)
        far = worst(found)
        metrics = {**_figures(found, far, run, reference, setup), **_costs(told)}
        if far.ratio > 1:
            status, reason = Status.FAILED, _reason(_first(found), run, reference)
        elif reference.sees is None and setup.classes > 1:
            status = Status.SKIPPED
            reason = "no verdict: this workload, so set up, does not tell a gradient that is 1 % too large"
        else:
            status, reason = Status.PASSED, ""
        self._say(implementation, case, status, reason, metrics)

    def _settle(self, implementation: Implementation, setup: Setup, case: Case) -> bool:
        """Whether the outcome is known without training; it is recorded then."""
        found = settled(self._plan, implementation, setup)
        if found is not None:
            status, reason, traceback = found
            self._say(implementation, case, status, reason, traceback=traceback)
        return found is not None

    def _memory(self, setup: Setup) -> int | None:
        return None if setup.device.startswith("cuda") else self._plan.settings.memory_bytes

    def _say(
        self, implementation: Implementation, case: Case, status: Status, reason: str,
        metrics: Mapping[str, Any] | None = None, traceback: str | None = None,
    ) -> None:  # fmt: skip
        declared = implementation.declared(CHECK, case) if status in FAULTS else None
        known = dict(metrics or {})
        if status in FAULTS:
            name = implementation.reference if implementation.origin == "reference" else implementation.name
            command = ["python", "-m", "harness", "run", self._source, "--implementation", name]
            known["reproduce"] = " ".join(shlex.quote(part) for part in command)
        self._record.add(
            Outcome(
                case=case, implementation=implementation.name, kind=JUDGED, check=CHECK, metrics=known,
                status=status if declared is None else Status.DECLARED, traceback=traceback,
                reason=reason if declared is None else f"{declared.reason} ({declared.text}; {reason})",
            )
        )  # fmt: skip


def _figures(
    found: Sequence[Departure], far: Departure, run: Mapping[str, np.ndarray], reference: Reference, setup: Setup
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "steps": len(run["losses"]), "ratio": far.ratio, "sees": reference.sees,
        **{f"{one.observable}_ratio": one.ratio for one in found},
        "final_loss": float(run["losses"][-1]), "baseline_final_loss": float(reference.baseline["losses"][-1]),
        "accuracy": float(run["accuracy"]), "baseline_accuracy": float(reference.baseline["accuracy"]),
    }  # fmt: skip
    return {"seed": setup.seed, **_named(figures)}


def _costs(told: Mapping[str, Any]) -> dict[str, Any]:
    return _named({name: told[name] for name in ("step_ns", "first_step_ns", "examples_per_s", "peak_bytes")})


def _named(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures under the names of their columns (docs/columns.md)."""
    return {f"training_{name}": value for name, value in figures.items()}


def _first(found: Sequence[Departure]) -> Departure:
    """The departure beyond its allowance that came first: the earliest step, then what shows only at the end."""
    beyond = [one for one in found if one.ratio > 1]
    return min(beyond, key=lambda one: (one.step is None, one.step or 0))


def _reason(first: Departure, run: Mapping[str, np.ndarray], reference: Reference) -> str:
    name = WHAT.get(first.observable, first.observable)
    text = f"{name} {first.error:.3g} from the oracle-backed baseline where rounding explains {first.allowed:.3g}"
    if first.step is None:
        return f"{text}, at the end"
    base = reference.baseline[first.observable]
    if first.step >= len(run[first.observable]):
        return f"{text}: the run ended at step {first.step}"
    values = f"{run[first.observable][first.step]:.6g} against {base[first.step]:.6g}"
    return f"{text}, first at step {first.step} ({values})"
