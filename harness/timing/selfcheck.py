"""One A/A cell and one planted slowdown: can this machine, right now, tell 5 % from nothing?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.stats.interval import RatioSummary
from harness.timing.arm import Arm
from harness.timing.contention import interrupted, is_contended, shortened
from harness.timing.ring import Ring, make_ring
from harness.timing.sampler import MAX_ROUNDS, SHORTEST_ON_CUDA_NS, Hooks, SamplerSettings, Samples, ratio, sample_arms

#: 2 MB of logits: a call is long against its overhead, so 5 % more rows are 5 % more time. Below 2 MiB with them: where
#: the result takes more than one huge page, 5 % more rows took 18 % longer.
ROWS, CLASSES = 480, 1000
PLANTED = 1.05
BASELINE, TWIN, SLOWER = "baseline", "twin", "planted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What the sampler made of a twin of the baseline, and of the baseline with 5 % more rows."""

    twin: RatioSummary
    planted: RatioSummary

    @property
    def reason(self) -> str:
        """Why speed verdicts of this machine are invalid now; empty where they are not."""
        if self.twin.verdict in ("faster", "slower"):
            return f"two identical arms were told apart ({self.twin.verdict}, ×{self.twin.speedup:.3f})"
        if self.planted.verdict != "slower":
            low, high = self.planted.low, self.planted.high
            return (
                f"a planted slowdown of 5 % was missed (×{self.planted.speedup:.3f}, interval {low:.3f} to {high:.3f})"
            )
        return ""


def planted_arms(case: Case, *, cache_bytes: int, slowdown: float = PLANTED) -> dict[str, Arm]:
    """The baseline, its twin, and the baseline on ``slowdown`` times as many rows: real work."""
    return arms_of_rows(case, {BASELINE: 1.0, TWIN: 1.0, SLOWER: slowdown}, cache_bytes=cache_bytes)


def arms_of_rows(case: Case, factors: Mapping[str, float], *, cache_bytes: int) -> dict[str, Arm]:
    """For each name, eager torch on so many times the rows of ``case``.

    All go round one ring of views, each reading as many of a view's rows as it has: they differ in nothing else. With a
    ring of its own the arm of 3 % more rows took 4 to 7 % longer, as its views had left a nearer cache.
    """
    largest = replace(case, batch=round(case.batch * max(factors.values())))
    inputs = build_inputs(largest)
    ring = make_ring(inputs, cache="cold", cache_bytes=cache_bytes, requires_grad=case.needs_gradient)
    return {
        name: Arm(F.cross_entropy, case, _first_rows(ring, round(case.batch * factor)), inputs.grad_output)
        for name, factor in factors.items()
    }


def _first_rows(ring: Ring, rows: int) -> Ring:
    """The same ring, and turn, with only the first ``rows`` rows of each view."""
    pairs = [
        (logits.detach()[:rows].requires_grad_(logits.requires_grad), target[:rows]) for logits, target in ring.pairs
    ]
    return replace(ring, pairs=pairs)


def sample_planted(
    case: Case,
    *,
    cache_bytes: int,
    seconds: float,
    slowdown: float = PLANTED,
    seed: int = 0,
    max_rounds: int = MAX_ROUNDS,
    width: float = 0.015,
) -> Samples:
    """Samples of the three arms, until the intervals are narrow or the time is up."""
    arms = planted_arms(case, cache_bytes=cache_bytes, slowdown=slowdown)
    settings = SamplerSettings(target_relative_width=width, max_seconds=seconds, max_rounds=max_rounds)
    for arm in arms.values():
        arm(1)
    if case.device.startswith("cuda"):
        settings = replace(settings, shortest_sample_ns=SHORTEST_ON_CUDA_NS)
    elif is_contended(arms[BASELINE]):
        settings = shortened(settings)
    hooks = Hooks(interrupted=interrupted(arms))
    return sample_arms(arms, BASELINE, settings, seed=seed, now_ns=time.perf_counter_ns, hooks=hooks)


def self_check(device: str, *, cache_bytes: int, seconds: float = 1.5) -> SelfCheck:
    """Sample the three arms on ``device`` with the threads that torch has now."""
    samples = sample_planted(case_for(device), cache_bytes=cache_bytes, seconds=seconds)
    return judge_samples(samples)


def judge_samples(samples: Samples, confidence: float = 0.99) -> SelfCheck:
    """What the samples of the three arms say."""
    return SelfCheck(
        twin=ratio(samples, BASELINE, TWIN, confidence), planted=ratio(samples, BASELINE, SLOWER, confidence)
    )


def case_for(device: str) -> Case:
    """The cell of the self-check: large enough on a GPU to be more than a launch."""
    rows = 64 * ROWS if device.startswith("cuda") else ROWS
    return Case(batch=rows, classes=CLASSES, device=device, pass_="forward_no_grad")


def facts(check: SelfCheck) -> Mapping[str, Any]:
    """JSON-ready figures for a run's header."""
    return {
        "passed": not check.reason,
        "reason": check.reason,
        "threads": torch.get_num_threads(),
        **{
            name: {
                "verdict": one.verdict, "speedup": round(one.speedup, 5), "low": round(one.low, 5),
                "high": round(one.high, 5), "rounds": one.rounds, "sigma": round(one.sigma, 5),
                "detectable_slowdown": round(one.detectable, 5),
            }
            for name, one in (("twin", check.twin), ("planted", check.planted))
        },
    }  # fmt: skip
