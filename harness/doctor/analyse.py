"""From a long row of interleaved rounds to what a cell of so many seconds could have told here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from harness.stats.interval import detectable_slowdown, log_ratios, robust_sigma, summarise_logs

#: Seconds of sampling per cell (both arms together) that the table tells of.
SPENT = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
#: Rounds below which no 99 % interval of a median exists, and above which the sampler stops.
_LEAST_ROUNDS, _MOST_ROUNDS = 10, 1280
#: A machine is too noisy when it needs more than a second to see 5 %, or cries wolf in one cell of fifty.
_LEAST_ALARMS = 2
WANTED_SLOWDOWN, WANTED_SECONDS, ALLOWED_ALARMS = 0.05, 1.0, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What sampling of so many seconds tells: shares over windows of the rounds, as many as there are."""

    seconds: float
    rounds: int
    windows: int
    false_alarms: float
    found: float
    detectable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise of this machine with so many threads.

    ``sigma`` is the spread of one round's A/A ratio, ``raw_sigma`` that of the times themselves, ``drift`` the share of
    a raw time's deviation that the next round shares (which interleaving takes out), ``planted`` the slowdown that 5 %
    more rows really made.
    """

    threads: int
    rounds: int
    sigma: float
    raw_sigma: float
    drift: float
    planted: float
    spent: tuple[Spent, ...]

    @property
    def complaint(self) -> str:
        """Why this machine is too noisy now; empty where it is not."""
        row = min(self.spent, key=lambda one: abs(one.seconds - WANTED_SECONDS), default=None)
        if row is None or not self.spent:
            return f"only {self.rounds} rounds fitted into the time: too few to say anything"
        if row.detectable > WANTED_SLOWDOWN:
            return f"a slowdown below {row.detectable:.0%} cannot be seen in {row.seconds:g} s"
        for one in self.spent:
            # one window in thirty is no evidence
            if one.false_alarms > ALLOWED_ALARMS and one.false_alarms * one.windows >= _LEAST_ALARMS:
                return f"identical arms were told apart in {one.false_alarms:.0%} of the windows of {one.seconds:g} s"
        return ""


def analyse(times_ns: Mapping[str, Sequence[float]], *, threads: int, round_seconds: float) -> Noise:
    """Noise from the per-call times of ``baseline``, its ``twin`` and ``planted``, a round at a time.

    ``round_seconds`` is what one round of two arms takes.
    """
    base = times_ns["baseline"]
    twin, planted = log_ratios(base, times_ns["twin"]), log_ratios(base, times_ns["planted"])
    logs = [math.log(time) for time in base]
    rows = [_spent(seconds, times_ns, round_seconds) for seconds in SPENT]
    return Noise(
        threads=threads,
        rounds=len(base),
        sigma=robust_sigma(twin),
        raw_sigma=robust_sigma(logs),
        drift=_sign_autocorrelation(logs),
        planted=math.exp(-median(planted)) - 1.0,
        spent=tuple(row for row in rows if row is not None),
    )


def _spent(seconds: float, times_ns: Mapping[str, Sequence[float]], round_seconds: float) -> Spent | None:
    fitting = int(seconds / round_seconds)
    # where the time is enough for more rounds than are taken, a cell's samples are longer
    longer = max(1, math.ceil(fitting / _MOST_ROUNDS))
    rounds = fitting // longer
    times = {name: _merged(values, longer) for name, values in times_ns.items()}
    twin, planted = log_ratios(times["baseline"], times["twin"]), log_ratios(times["baseline"], times["planted"])
    if rounds < _LEAST_ROUNDS or rounds > len(twin):
        return None
    step = max(1, rounds // 4)
    starts = range(0, len(twin) - rounds + 1, step)
    alarms = [summarise_logs([twin[start : start + rounds]]).verdict in ("faster", "slower") for start in starts]
    seen = [summarise_logs([planted[start : start + rounds]]).verdict == "slower" for start in starts]
    return Spent(
        seconds=seconds,
        rounds=rounds,
        windows=len(alarms),
        false_alarms=sum(alarms) / len(alarms),
        found=sum(seen) / len(seen),
        detectable=detectable_slowdown(robust_sigma(twin), rounds),
    )


def _merged(values: Sequence[float], count: int) -> Sequence[float]:
    """Sums of ``count`` successive values each."""
    return [sum(values[at : at + count]) for at in range(0, len(values) - count + 1, count)]


def _sign_autocorrelation(values: Sequence[float]) -> float:
    """Correlation of the sign of the deviation from the median with that of the next value: robust against tails."""
    centre = median(values)
    signs = [1 if value > centre else -1 for value in values]
    pairs = list(pairwise(signs))
    return sum(a * b for a, b in pairs) / len(pairs) if pairs else 0.0
