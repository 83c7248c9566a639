"""The sampler: calibrated samples, rounds over all arms in random order, stop on interval width only."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.stats.interval import RatioSummary, summarise_ratio

#: Runs ``calls`` calls of an arm and returns the elapsed nanoseconds of all of them together.
Arm = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How long a sample lasts and when to stop.

    A sample is as many calls as fill ``sample_ns`` (2–5 ms: long against the clock, short against drift). The
    interval of every candidate's ratio to the baseline is looked at after ``first_look`` rounds and then at each
    growth by half; sampling ends when all are narrower than ``target_relative_width``, at ``max_rounds``, or when
    ``max_seconds`` are spent. It never stops on significance: that would raise the false-alarm rate.
    """

    target_relative_width: float = 0.02
    max_seconds: float = 5.0
    confidence: float = 0.99
    sample_ns: int = 3_000_000
    warmups: int = 3
    first_look: int = 20
    max_rounds: int = 320
    max_calls: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples: for each arm the total ns of each round's sample, and how many calls one sample holds."""

    total_ns: Mapping[str, list[int]]
    calls: Mapping[str, int]
    converged: bool
    rounds: int
    sampled_ns: int = 0
    started: Mapping[str, int] = field(default_factory=dict)

    def per_call_ns(self, arm: str) -> list[float]:
        """Time of one call in each round, in ns."""
        return [total / self.calls[arm] for total in self.total_ns[arm]]


def sample_arms(
    arms: Mapping[str, Arm],
    baseline: str,
    settings: SamplerSettings,
    *,
    seed: int,
    now_ns: Callable[[], int],
    entering: Callable[[str], None] = lambda _: None,
) -> Samples:
    """Time ``arms`` against ``baseline`` in interleaved rounds.

    Args:
        arms: name → callable that runs k calls and returns their elapsed ns.
        baseline: name of the arm that ratios are taken to.
        settings: lengths and stopping rule.
        seed: of the order in which a round visits the arms.
        now_ns: the clock that ``max_seconds`` is held against.
        entering: told the arm about to run, so that a crash or a hang can be charged to its cause.
    """
    deadline = now_ns() + int(settings.max_seconds * 1e9)
    order = random.Random(seed)
    calls = {}
    for name, arm in arms.items():
        entering(name)
        calls[name] = _calibrate(arm, settings, budget_ns=int(settings.max_seconds * 1e9 / (4 * len(arms))), now_ns=now_ns)
    totals: dict[str, list[int]] = {name: [] for name in arms}
    look, converged, sampled, rounds = settings.first_look, False, 0, 0
    while rounds < settings.max_rounds and not converged:
        for name in order.sample(list(arms), len(arms)):
            entering(name)
            totals[name].append(max(1, arms[name](calls[name])))
            sampled += totals[name][-1]
        rounds += 1
        if rounds >= look:
            converged = _narrow_enough(totals, calls, baseline, settings)
            look = math.ceil(look * 1.5)
        # at least three rounds, so that every cell has a median; a longer cell is shown as not converged
        if now_ns() >= deadline and rounds >= 3:
            converged = converged or _narrow_enough(totals, calls, baseline, settings)
            break
    return Samples(total_ns=totals, calls=calls, converged=converged, rounds=rounds, sampled_ns=sampled)


def ratio(samples: Samples, baseline: str, arm: str, confidence: float) -> RatioSummary:
    """Summary of ``arm``'s speedup over ``baseline``."""
    return summarise_ratio(samples.per_call_ns(baseline), samples.per_call_ns(arm), confidence=confidence)


def _calibrate(arm: Arm, settings: SamplerSettings, *, budget_ns: int, now_ns: Callable[[], int]) -> int:
    """Calls per sample: warm up until a call's time no longer falls, then fill ``sample_ns``."""
    start = now_ns()
    best = arm(1)
    calls, seen = 1, 1
    while seen < settings.warmups or (seen < 3 * settings.warmups and now_ns() - start < budget_ns):
        per_call = arm(calls) / calls
        seen += 1
        improved = per_call < 0.9 * best
        best = min(best, per_call)
        calls = max(1, min(settings.max_calls, round(settings.sample_ns / max(best, 1))))
        if now_ns() - start > budget_ns or (seen >= settings.warmups and not improved):
            break
    return calls


def _narrow_enough(
    totals: Mapping[str, list[int]], calls: Mapping[str, int], baseline: str, settings: SamplerSettings
) -> bool:
    reference = [total / calls[baseline] for total in totals[baseline]]
    for name, values in totals.items():
        if name == baseline:
            continue
        summary = summarise_ratio(reference, [v / calls[name] for v in values], confidence=settings.confidence)
        if not summary.relative_width <= settings.target_relative_width:
            return False
    return True
