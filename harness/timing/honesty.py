"""Was the work done, done by the time the call returned, and done anew? Asked of each arm once, beside its samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch

from harness.core.case import Case
from harness.timing.arm import Arm, Function, gradient_of
from harness.timing.meter import Meter
from harness.timing.ring import Given, Ring, leaves_of

#: A result that arrives late has arrived after so many times a call of the baseline, within these bounds in seconds.
_PATIENCE, _LEAST_WAIT_S, _MOST_WAIT_S = 5.0, 0.01, 0.25
#: A call on contents never seen may take so many times one on contents seen before, with the baseline's own factor
#: taken out; a call shorter than the floor is all overhead and says nothing.
_FRESH_FACTOR, _FRESH_FLOOR_NS = 4.0, 5_000
_FRESH_PAIRS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What one call gave: the loss, and the gradient where the pass makes one; both cloned at once."""

    loss: torch.Tensor
    gradient: torch.Tensor | None

    @property
    def values(self) -> list[torch.Tensor]:
        """The tensors that are there."""
        return [value for value in (self.loss, self.gradient) if value is not None]


def late_results(
    function: Function, case: Case, ring: Ring, grad_output: torch.Tensor, *, work_ns: float
) -> str | None:
    """Why the results of ``function`` are not there when it returns; None where they are.

    Their bits are summed the moment the call returns, and again after a wait of a few times ``work_ns``, the time of
    the baseline's call: where the two differ, something went on working. On CUDA the first sum is queued on the current
    stream, as a user's next kernel would be.
    """
    held = _call(function, case, ring.pairs[0], grad_output)
    early = [_bits(value) for value in held]
    _wait(case.device, work_ns)
    late = [_bits(value) for value in held]
    if not ring.intact(0):
        ring.restore(0)
    if all(bool(one == other) for one, other in zip(early, late, strict=True)):
        return None
    return (
        "its result changed after the call had returned: the work goes on elsewhere (another thread, another stream) "
        "while the clock has stopped, so no speed is shown"
    )


def stale_results(
    function: Function, baseline: Function, case: Case, ring: Ring, grad_output: torch.Tensor
) -> str | None:
    """Why ``function`` gives the answer of contents that are gone; None where it does not, or cannot be told.

    The contents of a view that it has seen are replaced in place. Its answer must then be nearer to the baseline's
    answer on the new contents than to the baseline's on the old ones; and its answer on the old ones nearer to the
    baseline's than half of what lies between those two, or it is that of contents that lay there still earlier.
    """
    given = ring.pairs[0]
    ring.restore(0)
    answers = []
    for change in (False, True):
        for asked in (baseline, function):
            ring.restore(0)
            if change:
                with torch.no_grad():
                    given[0].copy_(given[0].flip(0).mul(0.5))
            answers.append(_snapshot(asked, case, given, grad_output))
    ring.restore(0)
    base_old, mine_old, base_new, mine_new = answers
    found = zip(base_old.values, mine_old.values, base_new.values, mine_new.values, strict=False)
    for old, first, new, mine in found:
        to_old, to_new, apart = _distance(mine, old), _distance(mine, new), _distance(old, new)
        # answers that are far apart, so that no rounding of the one or the other looks like another answer
        elsewhere = apart > 0.02 * _distance(old, torch.zeros_like(old)) and _distance(first, old) > apart / 2
        if (apart > 0 and to_old < to_new) or elsewhere:
            return "it answered for inputs whose contents had been replaced: it keeps results, so no speed is shown"
    return None


def fresh_factor(arm: Arm, function: Function, case: Case, ring: Ring, grad_output: torch.Tensor) -> float:
    """Time of a call on contents never seen before ÷ on contents seen just before.

    The lesser of two factors from pairs of calls: the median of the pairs' ratios, and the least time of the one kind
    over the least of the other. On a busy machine either alone can be large by accident.
    """
    alone = Arm(function, case, _first_of(ring), grad_output, meter=Meter(device=case.device), mutates=arm.mutates)
    logits = ring.pairs[0][0]
    alone(1)
    fresh, seen = [], []
    for pair in range(_FRESH_PAIRS):
        with torch.no_grad():
            # bumps the version too, for one that looks at that
            logits.mul_(1.0 - 2.0**-7 * (1 + pair % 2))
        fresh.append(max(alone(1), _FRESH_FLOOR_NS))
        seen.append(max(alone(1), _FRESH_FLOOR_NS))
        if arm.mutates:
            break  # what writes into its inputs sees its own inputs again only when they are given back
    ring.restore(0)
    if arm.mutates:
        return 1.0
    return min(median(a / b for a, b in zip(fresh, seen, strict=True)), min(fresh) / min(seen))


def repeats_itself(ask: Callable[[], float], baseline: float) -> str | None:
    """Why factors of :func:`fresh_factor` show an implementation that works only on what it has not seen; else None.

    ``ask`` gives a factor; one that is too large is asked for twice more, and the least of the three counts.
    """
    allowed = _FRESH_FACTOR * max(1.0, baseline)
    found = ask()
    if found > allowed:
        found = min(found, ask(), ask())
    if found <= allowed:
        return None
    return (
        f"a call on contents that it has not seen takes {found:.3g} times one on contents that it has: "
        "it keeps results, so no speed is shown"
    )


def _first_of(ring: Ring) -> Ring:
    return replace(ring, pairs=ring.pairs[:1], cache="warm", reason="")


def _call(function: Function, case: Case, given: Given, grad_output: torch.Tensor) -> list[torch.Tensor]:
    if case.pass_ == "forward_no_grad":
        with torch.no_grad():
            return [function(*given)]
    loss = function(*given)
    return [loss, gradient_of(loss, leaves_of(given), grad_output)] if case.needs_gradient else [loss]


def _snapshot(function: Function, case: Case, given: Given, grad_output: torch.Tensor) -> Results:
    values = [value.detach().clone() for value in _call(function, case, given, grad_output)]
    return Results(loss=values[0], gradient=values[1] if len(values) > 1 else None)


def _wait(device: str, work_ns: float) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    time.sleep(min(_MOST_WAIT_S, max(_LEAST_WAIT_S, _PATIENCE * work_ns / 1e9)))


def _bits(value: torch.Tensor) -> torch.Tensor:
    """The sum of the bits of ``value`` as whole numbers, on its device: no copy is made, and a NaN equals itself."""
    whole = {8: torch.int64, 4: torch.int32, 2: torch.int16}[value.element_size()]
    return value.detach().view(whole).sum(dtype=torch.int64)


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference of the entries that are finite in both."""
    difference = (one.double() - other.double()).abs()
    finite = difference[difference.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0
