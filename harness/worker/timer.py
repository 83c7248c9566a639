"""Time jobs: all rivals that passed a cell, in one process, in interleaved rounds on the same inputs."""

from __future__ import annotations

import gc
import mmap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from harness.core.case import Case, case_from_dict
from harness.core.implementation import implementation_from_dict
from harness.core.status import Status
from harness.hardware.gpu import throttle_reader
from harness.hardware.noise import steal_share, steal_ticks
from harness.stats.roofline import COPY
from harness.timing.arm import Arm
from harness.timing.compiled import compiled_graphs
from harness.timing.contention import interrupted, is_contended, shortened
from harness.timing.copy import copy_arm
from harness.timing.honesty import fresh_factor, late_results, repeats_itself, stale_results
from harness.timing.replay import NoGraphError
from harness.timing.ring import Ring
from harness.timing.sampler import SHORTEST_ON_CUDA_NS, Hooks, SamplerSettings, Samples, sample_arms
from harness.worker.candidate import CandidateError
from harness.worker.child import Say
from harness.worker.machine import cuda_uuid
from harness.worker.recheck import wrong_when_timed
from harness.worker.rivals import (
    Ready,
    RecompileLimitError,
    collect_garbage,
    inputs_of,
    make_ready,
    release,
    start_compile,
)

#: Where every call was longer, nobody is asked whether it keeps results: one that was kept comes in microseconds.
_ASKED_BELOW_NS = 100e6
_FRESH_BELOW_NS = 1e6
#: Results of timed calls are judged for so long, for each implementation of a cell; one is, however long it takes.
_RECHECK_S = 0.05


def time_cell(job: Mapping[str, Any], say: Say) -> None:
    """Sample every implementation of the job on one cell: one half of a cell, the other is another process's.

    Messages: ``{"arm", "status", "reason"}`` for what could not be timed; then ``samples``, ``calls``, ``rounds``,
    ``shared`` (facts of the whole half) and ``arms`` (figures of each arm beside its samples).
    """
    case = case_from_dict(job["case"])
    torch.set_num_threads(job["threads"])
    started = time.perf_counter()
    say({"stage": "making inputs", "culprit": ""})
    start_compile(case)
    inputs, ring = inputs_of(case, job)
    ready = _all_ready(job, case, inputs, ring, say)
    if job["baseline"] not in ready:
        return
    prepared = time.perf_counter() - started
    samples, noise = _sample(ready, case, ring, job, say)
    sampled = time.perf_counter() - started - prepared
    refused = _dishonest(ready, samples, case, job, ring, inputs, say) if job.get("half", 0) == 0 else {}
    for name, reason in {**refused, **_recompiled(ready)}.items():
        say({"arm": name, "status": Status.FAILED.value, "reason": reason})
    shared = {
        "cache": ring.cache, "cache_reason": ring.reason, "threads": job["threads"], "converged": samples.converged,
        "cuda_graph": bool(job.get("cuda_graph")) and case.device.startswith("cuda") and case.pass_ != "backward",
        "discarded_rounds": samples.discarded, **noise, "seconds": time.perf_counter() - started, "preparing": prepared,
        "sampling": sampled, "clocked": samples.sampled_ns / 1e9, "warming": samples.warm_ns / 1e9,
    }  # fmt: skip
    arms = {name: {**one.figures, **one.arm.meter.figures(samples.calls[name])} for name, one in ready.items()}
    totals = {name: _rounded(values) for name, values in samples.total_ns.items()}
    say({"samples": totals, "calls": dict(samples.calls), "rounds": samples.rounds, "shared": shared, "arms": arms})
    release(case)


def _all_ready(job: Mapping[str, Any], case: Case, inputs: Any, ring: Ring, say: Say) -> dict[str, Ready]:
    ready: dict[str, Ready] = {}
    for values in job["implementations"]:
        description = implementation_from_dict(values)
        say({"stage": f"first timed call of {description.name} on {case.cell}", "culprit": description.name})
        try:
            graph = bool(job.get("cuda_graph"))
            ready[description.name] = make_ready(description, case, inputs, ring, cuda_graph=graph)
        except CandidateError as error:
            refusal = {"status": error.status.value, "reason": error.reason, "traceback": error.traceback}
            say({"arm": description.name, **refusal})
        except RecompileLimitError as error:
            say({"arm": description.name, "status": Status.FAILED.value, "reason": str(error)})
        except NoGraphError as error:
            say({"arm": description.name, "status": Status.UNSUPPORTED.value, "reason": f"not timed: {error}"})
    return ready


def _sample(
    ready: Mapping[str, Ready], case: Case, ring: Ring, job: Mapping[str, Any], say: Say
) -> tuple[Samples, dict[str, Any]]:
    """Sample with the collector off; the arm under way is written to shared memory, which costs no system call."""
    copy, missing = _copy(case, ring, job)
    arms = {**{name: one.arm for name, one in ready.items()}, **copy}
    contended = bool(job.get("contended")) or (not job.get("calls") and is_contended(ready[job["baseline"]].arm))
    say({"stage": f"samples of {case.cell}", "culprit": "", "arms": list(arms)})
    ticks = steal_ticks()
    with Path(job["mark"]).open("r+b") as file, mmap.mmap(file.fileno(), 1) as mark:
        watch = _Watch(ready, list(arms), mark)
        hooks = Hooks(
            entering=watch.entering, ready=watch.rounds_begin,
            acceptable=throttle_reader(case.device, cuda_uuid(case.device)),
            interrupted=interrupted(arms),
        )  # fmt: skip
        collect_garbage()
        gc.disable()
        try:
            samples = sample_arms(
                arms, job["baseline"], _settings(job, contended),
                seed=2 * case.seed + job.get("half", 0), now_ns=time.perf_counter_ns, hooks=hooks,
                calls=job.get("calls"), multiples={name: arm.multiple for name, arm in arms.items()}, beside=(COPY,),
            )  # fmt: skip
        finally:
            gc.enable()
        watch.end()
    return samples, {"steal_share": round(steal_share(ticks, steal_ticks()), 4), "contended": contended, **missing}


def _copy(case: Case, ring: Ring, job: Mapping[str, Any]) -> tuple[dict[str, Arm], dict[str, str]]:
    """The copy of the logits, where one is asked for; else why it does not fit into memory or cannot be recorded."""
    if not job.get("copy"):
        return {}, {}
    try:
        arm = copy_arm(case, ring, cuda_graph=bool(job.get("cuda_graph")))
        arm(1)
    except (NoGraphError, RuntimeError) as error:
        return {}, {"copy_reason": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {COPY: arm}, {}


def _settings(job: Mapping[str, Any], contended: bool) -> SamplerSettings:
    settings = SamplerSettings(
        target_relative_width=job["target_relative_width"],
        max_seconds=job["max_seconds"],
        confidence=job["confidence"],
        min_rounds=job["min_rounds"],
        max_rounds=job["max_rounds"],
    )
    if str(job["case"]["device"]).startswith("cuda"):
        return replace(settings, shortest_sample_ns=SHORTEST_ON_CUDA_NS)
    return shortened(settings) if contended else settings


class _Watch:
    """Marks the arm under way for the parent, and charges graphs that are compiled while sampling to their arm."""

    def __init__(self, ready: Mapping[str, Ready], names: list[str], mark: mmap.mmap) -> None:
        self._ready, self._names, self._mark = ready, names, mark
        self._under_way, self._graphs = "", compiled_graphs()

    def entering(self, name: str) -> None:
        self.leave()
        self._under_way = name
        self._mark[0] = self._names.index(name)

    def rounds_begin(self) -> None:
        """What the warm-up read on the meters is not what a sample costs; what it returned was not timed."""
        for one in self._ready.values():
            one.arm.meter.forget()
            one.arm.witness = one.witness

    def end(self) -> None:
        """The samples are taken."""
        self.leave()
        for one in self._ready.values():
            one.arm.witness = None

    def leave(self) -> None:
        graphs = compiled_graphs()
        if graphs != self._graphs and self._under_way:
            self._ready[self._under_way].sampled_graphs += graphs - self._graphs
        self._graphs = graphs


def _rounded(totals_ns: Sequence[int]) -> list[int]:
    """Samples to four digits or five: the rest is noise, and half of the file that keeps them."""
    step = 10 ** max(0, len(str(round(median(totals_ns)))) - 4) if totals_ns else 1
    step = step // 10 if totals_ns and median(totals_ns) < 2000 * step and step > 1 else step
    return [max(1, round(value / step) * step) for value in totals_ns]


def _recompiled(ready: Mapping[str, Ready]) -> dict[str, str]:
    return {
        name: f"{one.sampled_graphs} graphs were compiled while it was sampled, so its times are those of a compiler"
        for name, one in ready.items()
        if one.sampled_graphs
    }


def _dishonest(
    ready: Mapping[str, Ready], samples: Samples, case: Case, job: Mapping[str, Any], ring: Ring, inputs: Any, say: Say
) -> dict[str, str]:
    """Reasons to refuse the figures of an arm, whatever they are: late, kept or repeated results."""
    base = ready[job["baseline"]]
    times = {name: median(samples.per_call_ns(name)) for name in ready if samples.rounds}
    found: dict[str, str] = {}
    own = _fresh(base, case, ring, inputs) if _short(times, job["baseline"]) else 1.0
    for name, one in ready.items():
        say({"stage": f"questions to {name} on {case.cell}", "culprit": name})
        asked: list[Callable[[], str | None]] = []
        if name in times:
            asked.append(
                lambda one=one: late_results(
                    one.function, case, ring, inputs.grad_output, work_ns=times[job["baseline"]]
                )
            )
        if name != job["baseline"] and name in times and may_keep_results(samples.per_call_ns(name)):
            asked.append(lambda one=one: stale_results(one.function, base.function, case, ring, inputs.grad_output))
        if name != job["baseline"] and _short(times, name):
            asked.append(lambda one=one: repeats_itself(lambda: _fresh(one, case, ring, inputs), own))
        asked.append(lambda one=one, name=name: _otherwise(one, case, ring, job, job["held"].get(name, ())))
        reason = _first_reason(asked)
        if reason is not None:
            found[name] = reason
    return found


def may_keep_results(per_call_ns: Sequence[float]) -> bool:
    """Whether any sample is so short that it may be of calls whose results were kept.

    Not the median: on a busy machine the samples may be few, and most of them of contents never seen before.
    """
    return min(per_call_ns) < _ASKED_BELOW_NS


def _otherwise(one: Ready, case: Case, ring: Ring, job: Mapping[str, Any], held: Sequence[str]) -> str | None:
    """Why calls answered otherwise once they were timed: one made after the samples, and some drawn from among them."""
    if not held:
        return None
    kept = [*filter(None, [one.arm.last()]), *one.witness.kept()]
    return wrong_when_timed(case, ring, kept, grade=job["grade"], held=held, seconds=_RECHECK_S)


def _fresh(one: Ready, case: Case, ring: Ring, inputs: Any) -> float:
    return fresh_factor(one.arm, one.function, case, ring, inputs.grad_output)


def _first_reason(questions: Sequence[Callable[[], str | None]]) -> str | None:
    try:
        return next((reason for question in questions if (reason := question()) is not None), None)
    except Exception as error:  # strangers' code, which answered the same call before
        return f"it raised when it was called once more after the samples: {CandidateError(error)}"


def _short(times: Mapping[str, float], name: str) -> bool:
    return times.get(name, _FRESH_BELOW_NS) < _FRESH_BELOW_NS
