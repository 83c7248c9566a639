"""Calls recorded as CUDA graphs, so that what is timed is the device's work and not the host's issuing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.timing.ring import Given, Ring

#: Calls on a stream of their own before recording, so that libraries have their handles and workspaces.
_WARM_UPS = 3


class NoGraphError(Exception):
    """The calls cannot be recorded: they wait for the device, or branch on what is on it."""


def recorded(call: Callable[..., object], ring: Ring) -> Callable[[int], None]:
    """A function that replays ``call`` on view ``index`` of ``ring``: one graph for each view, in one pool of memory.

    Results stay in the pool and are overwritten by the next replay, as eager results are freed by the next call.

    Raises:
        NoGraphError: CUDA refused to record.
    """
    try:
        _warm_up(call, ring)
        pool = torch.cuda.graph_pool_handle()
        graphs = [_record(call, given, pool) for given in ring.pairs]
    except RuntimeError as error:
        torch.cuda.synchronize()
        raise NoGraphError(f"it cannot be recorded as a CUDA graph: {str(error).splitlines()[0]}") from None
    torch.cuda.synchronize()
    return lambda index: graphs[index].replay()


def _warm_up(call: Callable[..., object], ring: Ring) -> None:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            call(*ring.pairs[0])
    torch.cuda.current_stream().wait_stream(side)
    if not ring.intact(0):
        ring.restore(0)


def _record(call: Callable[..., object], given: Given, pool: Any) -> Any:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        call(*given)
    return graph
