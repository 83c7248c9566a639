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
from harness.timing.contention import is_contended, shortened, undisturbed
from harness.timing.ring import make_ring
from harness.timing.sampler import Hooks, SamplerSettings, Samples, ratio, sample_arms

#: 2 MB of logits: a call is long against its overhead, so 5 % more rows are 5 % more time.
ROWS, CLASSES = 512, 1000
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
    """The baseline, its twin on the same ring, and the baseline on ``slowdown`` times as many rows: real work."""
    more = replace(case, batch=round(case.batch * slowdown))
    arms: dict[str, Arm] = {}
    for names, asked in (((BASELINE, TWIN), case), ((SLOWER,), more)):
        inputs = build_inputs(asked)
        ring = make_ring(inputs, cache="cold", cache_bytes=cache_bytes, requires_grad=False)
        for name in names:
            arms[name] = Arm(F.cross_entropy, asked, ring, inputs.grad_output)
    return arms


def sample_planted(
    case: Case,
    *,
    cache_bytes: int,
    seconds: float,
    slowdown: float = PLANTED,
    seed: int = 0,
    max_rounds: int = 320,
    width: float = 0.015,
) -> Samples:
    """Samples of the three arms, until the intervals are narrow or the time is up."""
    arms = planted_arms(case, cache_bytes=cache_bytes, slowdown=slowdown)
    settings = SamplerSettings(target_relative_width=width, max_seconds=seconds, max_rounds=max_rounds)
    for arm in arms.values():
        arm(1)
    if is_contended(arms[BASELINE]):
        settings = shortened(settings)
    hooks = Hooks(undisturbed=undisturbed(arms.values()))
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
