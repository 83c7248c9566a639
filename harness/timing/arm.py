"""One arm of a timed cell: an implementation under one pass, going round the ring, on the clock of its device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from typing import Any

import torch

from harness.core.case import Case
from harness.timing.meter import Meter
from harness.timing.replay import recorded
from harness.timing.ring import Ring, leaves_of
from harness.timing.witness import Kept, Witness

Function = Callable[..., Any]


class Arm:
    """Runs calls of one implementation under a case's pass; calling it with k gives the elapsed ns of k calls.

    Calls go round the ring, from where the last call of any arm left it, so that no sample begins warm. Two things
    happen outside the clock: the forwards that ``backward`` needs (a fresh one for each call, as some kernels overwrite
    what they saved), and, for an implementation that writes into its inputs, giving them their contents back.

    ``multiple`` is what a number of calls must be a multiple of: ``backward`` runs the forwards of a whole ring before
    its backwards, so that each finds what it needs as cold as the ring makes it.

    :meth:`record` makes the calls of an arm on CUDA replays of recorded graphs. ``witness``, where there is one, keeps
    the results of a few calls; those of replays stay in the graphs' memory and are not kept.
    """

    def __init__(
        self, function: Function, case: Case, ring: Ring, grad_output: torch.Tensor, *, meter: Meter | None = None,
        mutates: bool = False,
    ) -> None:  # fmt: skip
        self.meter = meter or Meter(device=case.device)
        self.mutates = mutates
        self._function, self._ring, self._grad_output = function, ring, grad_output
        self._call = _call(function, case, grad_output, alone=len(ring.pairs[0]) == 2)
        self._backward = case.pass_ == "backward"
        self._replay: Callable[[int], None] | None = None
        self.witness: Witness | None = None
        # half a lap at a time: what is given back after a stretch is cold again when its turn comes
        self._stretch = max(1, len(ring.pairs) // 2) if mutates else 0
        self.multiple = max(1, self._stretch or len(ring.pairs)) if self._backward else 1

    def __call__(self, calls: int) -> int:
        """Elapsed ns of ``calls`` calls (for ``backward``: of their backwards alone)."""
        longest = self.multiple if self._backward else self._stretch or calls
        for count in _stretches(calls, longest):
            indices = self._ring.turn.take(count, len(self._ring.pairs))
            self._run(indices)
            if self.mutates:
                for index in set(indices):
                    self._ring.restore(index)
        return self.meter.finish(calls)

    def record(self) -> None:
        """From now on replay the calls as CUDA graphs; ``backward`` is not, as its forwards are outside the clock.

        Raises:
            NoGraphError: the calls cannot be recorded.
        """
        if not self._backward:
            self._replay = recorded(self._call, self._ring)

    def _run(self, indices: list[int]) -> None:
        if self._replay is not None:
            self.meter.clocked(partial(_each, self._replay, indices))
            return
        pairs = [self._ring.pairs[index] for index in indices]
        call, each = self._call, pairs
        if self._backward:
            call, each = self._go_back, [(self._function(*given), leaves_of(given)) for given in pairs]
        wanted = self.witness.wanted(len(pairs)) if self.witness is not None else None
        if self.witness is None or wanted is None:
            self.meter.clocked(partial(_all, call, each))
            return
        kept: list[Any] = []
        self.meter.clocked(partial(_all_but_one_kept, call, each, wanted, kept))
        # a gradient written over the logits is gone once they have their contents back
        self.witness.keep(indices[wanted], kept[0].clone() if self.mutates else kept[0])

    def last(self) -> Kept | None:
        """The result of one call more, which is made as the timed ones were; None where calls are replays."""
        if self._replay is not None:
            return None
        self.witness = Witness(seed=0, size=1)
        self(1)
        (found,) = self.witness.kept()
        self.witness = None
        return found

    def _go_back(self, loss: Any, leaves: Any) -> Any:
        return gradient_of(loss, leaves, self._grad_output)


def _all(call: Callable[..., Any], each: list[Any]) -> None:
    for given in each:
        call(*given)


def _all_but_one_kept(call: Callable[..., Any], each: list[Any], wanted: int, kept: list[Any]) -> None:
    _all(call, each[:wanted])
    kept.append(call(*each[wanted]))
    _all(call, each[wanted + 1 :])


def gradient_of(loss: torch.Tensor, leaves: Any, grad_output: torch.Tensor) -> Any:
    """The gradient with respect to the logits, the first of ``leaves``, without accumulation into ``.grad``."""
    upstream = grad_output if grad_output.dtype == loss.dtype else grad_output.to(loss.dtype)
    return torch.autograd.grad(loss, leaves, upstream)[0]


def _call(function: Function, case: Case, grad_output: torch.Tensor, *, alone: bool) -> Callable[..., object]:
    """One call of ``function`` as the case's pass asks; ``alone``: there are no tensors but logits and a target."""
    if case.pass_ == "forward_backward":
        return _both(function, grad_output, itemgetter(0) if alone else leaves_of)
    if case.pass_ == "forward_no_grad":

        def no_grad(*given: Any) -> object:
            with torch.no_grad():
                return function(*given)

        return no_grad
    return function


def _both(function: Function, grad_output: torch.Tensor, leaves: Callable[[Any], Any]) -> Callable[..., torch.Tensor]:
    """Loss and gradient, as :func:`gradient_of` takes it, in one frame of Python: each more is everybody's time."""
    grad, dtype = torch.autograd.grad, grad_output.dtype

    def both(*given: Any) -> torch.Tensor:
        loss = function(*given)
        return grad(loss, leaves(given), grad_output if loss.dtype is dtype else grad_output.to(loss.dtype))[0]

    return both


def _each(replay: Callable[[int], None], indices: list[int]) -> None:
    for index in indices:
        replay(index)


def _stretches(calls: int, longest: int) -> Iterator[int]:
    while calls > 0:
        yield min(calls, longest)
        calls -= longest
