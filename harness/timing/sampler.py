"""The sampler: calibrated samples, rounds over all arms in random order, stop on interval width only."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from harness.stats.interval import RatioSummary, log_ratios, median_interval, summarise_ratio

#: Runs ``calls`` calls of an arm and returns the elapsed nanoseconds of all of them together.
SampleOf = Callable[[int], int]


#: Rounds of one process at most: a run of 2,000 cells keeps every sample, in a file below 16 MiB.
MAX_ROUNDS = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How long a sample lasts and when to stop.

    A sample is as many calls as fill :meth:`sample_ns`. The interval of every candidate's ratio to the baseline is
    looked at after ``first_look`` rounds and then at each growth by half; sampling ends when all are narrower than
    ``target_relative_width``, at ``max_rounds``, or when ``max_seconds`` are spent. It never stops on significance:
    that would raise the false-alarm rate. Where calls are so long that ``min_rounds`` do not fit into the seconds, the
    cell gets up to ``overtime`` times as many.
    """

    target_relative_width: float = 0.02
    max_seconds: float = 5.0
    confidence: float = 0.99
    longest_sample_ns: int = 3_000_000
    shortest_sample_ns: int = 400_000
    warmups: int = 3
    first_look: int = 20
    max_rounds: int = MAX_ROUNDS
    max_calls: int = 4096
    min_rounds: int = 3
    overtime: float = 3.0
    least_undisturbed: int = 12

    def sample_ns(self, arms: int) -> int:
        """How long a sample of each of ``arms`` arms lasts: the seconds, spread over the most rounds there may be.

        Neighbours on a machine come and go within tens of milliseconds, so rounds are short and many, not long and few:
        what changes within a round is what pairing cannot take out. At least ``shortest_sample_ns``, ten thousand times
        the clock's resolution; at most ``longest_sample_ns``.
        """
        wanted = int(self.max_seconds * 1e9 / (self.max_rounds * max(1, arms)))
        return max(self.shortest_sample_ns, min(self.longest_sample_ns, wanted))


#: On a GPU nobody comes and goes, and each sample waits for its first launch: some 10 µs that must not count.
SHORTEST_ON_CUDA_NS = 2_000_000
#: Fewer rounds than this have no spread.
_LEAST_ROUNDS = 2
#: An interrupted sample is taken again so often, unless it is so long that the next would be interrupted too.
_RETRIES, _RETRIED_BELOW_NS = 2, 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples: for each arm the total ns of each round's sample, and how many calls one sample holds.

    ``discarded`` counts rounds that were thrown away (a throttled GPU, a processor that others had); ``warm_ns`` and
    ``sampled_ns`` are the time inside the arms' clocks before the first round and in the rounds.
    """

    total_ns: Mapping[str, list[int]]
    calls: Mapping[str, int]
    converged: bool
    rounds: int
    sampled_ns: int = 0
    warm_ns: int = 0
    discarded: int = 0

    def per_call_ns(self, arm: str) -> list[float]:
        """Time of one call in each round, in ns."""
        return [total / self.calls[arm] for total in self.total_ns[arm]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the sampler tells and asks while it runs.

    ``entering`` is told the arm about to run, so that a crash or a hang can be charged to its cause; ``ready`` is
    called once between warm-up and the first round. After each round ``acceptable`` says whether it counts at all (a
    throttled GPU). After each sample ``interrupted`` says whether that arm lacked the processor: a short sample is then
    taken again at once, and rounds that were disturbed all the same are left out where enough others remain.
    """

    entering: Callable[[str], None] = lambda _: None
    ready: Callable[[], None] = lambda: None
    acceptable: Callable[[], bool] = lambda: True
    interrupted: Callable[[str], bool] = lambda _: False


def sample_arms(
    arms: Mapping[str, SampleOf],
    baseline: str,
    settings: SamplerSettings,
    *,
    seed: int,
    now_ns: Callable[[], int],
    hooks: Hooks | None = None,
    calls: Mapping[str, int] | None = None,
    multiples: Mapping[str, int] | None = None,
    beside: Collection[str] = (),
) -> Samples:
    """Time ``arms`` against ``baseline`` in interleaved rounds.

    Args:
        arms: name → callable that runs k calls and returns their elapsed ns.
        baseline: name of the arm that ratios are taken to.
        settings: lengths and stopping rule.
        seed: of the order in which a round visits the arms.
        now_ns: the clock that ``max_seconds`` is held against.
        hooks: what the sampler tells and asks.
        calls: calls per sample where they are known (another process found them); the arms are then only warmed up.
        multiples: what an arm's calls per sample must be a multiple of; 1 where not named.
        beside: arms that no width is asked of.
    """
    hooks = hooks or Hooks()
    start = now_ns()
    watched = [name for name in arms if name not in {baseline, *beside}]
    rounds = _Rounds(arms, baseline, watched, settings, hooks, random.Random(seed))
    budget_ns = int(settings.max_seconds * 1e9)
    warm_up = _WarmUp(settings, settings.sample_ns(len(arms)), budget_ns // (4 * len(arms)), now_ns)
    for name, arm in arms.items():
        hooks.entering(name)
        known = (calls or {}).get(name)
        rounds.calls[name] = warm_up.run(arm, known, (multiples or {}).get(name, 1))
    hooks.ready()
    rounds.go_on(until_ns=start + budget_ns, latest_ns=start + int(settings.overtime * budget_ns), now_ns=now_ns)
    totals = rounds.used()
    kept = max(map(len, totals.values()), default=0)
    return Samples(
        total_ns=totals, calls=rounds.calls, converged=rounds.converged, rounds=kept, sampled_ns=rounds.sampled_ns,
        warm_ns=warm_up.spent_ns, discarded=rounds.discarded + rounds.count - kept,
    )  # fmt: skip


def ratio(samples: Samples, baseline: str, arm: str, confidence: float) -> RatioSummary:
    """Summary of ``arm``'s speedup over ``baseline``."""
    return summarise_ratio(samples.per_call_ns(baseline), samples.per_call_ns(arm), confidence=confidence)


@dataclass(slots=True)
class _WarmUp:
    """Finds calls per sample: warm up until a call's time no longer falls, then fill ``sample_ns``."""

    settings: SamplerSettings
    sample_ns: int
    budget_ns: int
    now_ns: Callable[[], int]
    spent_ns: int = 0

    def run(self, arm: SampleOf, known: int | None, multiple: int) -> int:
        calls = multiple if known is None else known
        start, best, seen = self.now_ns(), self._timed(arm, calls), 1
        while seen < self.settings.warmups or (
            seen < 3 * self.settings.warmups and self.now_ns() - start < self.budget_ns
        ):
            if known is None:
                calls = self._fill(best, multiple)
            # a slow arm has no time for three: one call was made before it came here
            if self.now_ns() - start > self.budget_ns:
                break
            per_call, seen = self._timed(arm, calls), seen + 1
            improved, best = per_call < 0.9 * best, min(best, per_call)
            if seen >= self.settings.warmups and not improved:
                break
        return calls if known is not None else self._fill(best, multiple)

    def _timed(self, arm: SampleOf, calls: int) -> float:
        elapsed = arm(calls)
        self.spent_ns += elapsed
        return elapsed / calls

    def _fill(self, per_call_ns: float, multiple: int) -> int:
        wanted = max(1, min(self.settings.max_calls, round(self.sample_ns / max(per_call_ns, 1))))
        return math.ceil(wanted / multiple) * multiple


@dataclass(slots=True)
class _Rounds:
    """Rounds so far, and whether they are enough."""

    arms: Mapping[str, SampleOf]
    baseline: str
    watched: Sequence[str]
    settings: SamplerSettings
    hooks: Hooks
    order: random.Random
    calls: dict[str, int] = field(default_factory=dict)
    totals: dict[str, list[int]] = field(default_factory=dict)
    undisturbed: list[bool] = field(default_factory=list)
    count: int = 0
    discarded: int = 0
    sampled_ns: int = 0
    converged: bool = False

    def go_on(self, *, until_ns: int, latest_ns: int, now_ns: Callable[[], int]) -> None:
        self.totals = {name: [] for name in self.arms}
        look = self.settings.first_look
        while self.count < self.settings.max_rounds and not self.converged:
            self._round()
            if self.count >= look:
                self.converged = self._narrow_enough()
                look = math.ceil(look * 1.5)
            # a cell of long calls goes on until it has an interval; one of very long calls is shown without
            until = until_ns if self.count >= self.settings.min_rounds else latest_ns
            if now_ns() >= until and self.count + self.discarded >= _LEAST_ROUNDS:
                self.converged = self.converged or self._narrow_enough()
                break

    def _round(self) -> None:
        """Every arm once, in random order."""
        found, disturbed = {}, False
        for name in self.order.sample(list(self.arms), len(self.arms)):
            self.hooks.entering(name)
            found[name], interrupted = self._sample(name)
            disturbed = disturbed or interrupted
        if not self.hooks.acceptable():
            self.discarded += 1
            return
        for name, elapsed in found.items():
            self.totals[name].append(elapsed)
        self.undisturbed.append(not disturbed)
        self.count += 1

    def _sample(self, name: str) -> tuple[int, bool]:
        """(elapsed ns, whether it was interrupted) of one sample; a short one that was interrupted is taken again."""
        tries = 0
        while True:
            tries += 1
            elapsed = max(1, self.arms[name](self.calls[name]))
            self.sampled_ns += elapsed
            interrupted = self.hooks.interrupted(name)
            if not interrupted or elapsed > _RETRIED_BELOW_NS or tries > _RETRIES:
                return elapsed, interrupted

    def used(self) -> dict[str, list[int]]:
        """Samples of the undisturbed rounds; of all rounds where too few were undisturbed to make an interval."""
        if sum(self.undisturbed) < self.settings.least_undisturbed:
            return self.totals
        return {
            name: [value for value, good in zip(values, self.undisturbed, strict=True) if good]
            for name, values in self.totals.items()
        }

    def _narrow_enough(self) -> bool:
        used = self.used()
        return self.count > 0 and all(
            self._width(name, used) <= self.settings.target_relative_width for name in self.watched
        )

    def _width(self, name: str, used: Mapping[str, list[int]]) -> float:
        logs = log_ratios(
            [total / self.calls[self.baseline] for total in used[self.baseline]],
            [total / self.calls[name] for total in used[name]],
        )
        centre, low, high = median_interval(logs, self.settings.confidence)
        return math.exp(high - centre) - math.exp(low - centre) if math.isfinite(high - low) else math.inf
