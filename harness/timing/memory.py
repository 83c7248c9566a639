"""Peak memory above the inputs: torch's CPU allocator by its profiler, CUDA by its counters."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from harness.core.case import Case
from harness.timing.arm import Function, gradient_of
from harness.timing.ring import Given, Ring, leaves_of, like_strided

#: Values of this many logits are enough to see whether a kept tensor is the gradient.
_COMPARED = 1 << 18
_PROPORTIONAL = 2.0**-5
#: Bytes that an allocator may add to what is asked of it.
_ROUNDED_UP = 4096
#: No kernel writes into these.
_SHARED = ("weight", "grad_output")


def measure_memory(
    function: Function, case: Case, inputs: Any, trained: Sequence[str] = (), gradient: torch.Tensor | None = None
) -> dict[str, Any]:
    """Bytes of one call of ``function`` under the case's pass, above what was allocated before it.

    The call works on copies, so that a kernel which writes into its inputs leaves ``inputs`` as they are. ``trained``
    names those of the other tensors that a gradient is taken of beside the logits; ``gradient`` is the logits' that
    ``function`` gave for these inputs, where that is known.

    Returns:
        ``peak_bytes``, the most allocated at any moment, the results included; ``saved_bytes``, what stays allocated
        between forward and backward, the loss included (only where the pass keeps a graph); ``gradient_in_forward``,
        whether the gradient exists when the forward returns (only where there is one).
    """
    own = inputs.changed({n: like_strided(t) for n, t in inputs.tensors().items() if n not in _SHARED})
    measure = _cuda if case.device.startswith("cuda") else _cpu
    figures = measure(function, case, own, trained)
    found: dict[str, Any] = dict(figures)
    if case.pass_ != "forward_no_grad":
        found["gradient_in_forward"] = makes_gradient_in_forward(function, inputs, gradient)
    return found


def makes_gradient_in_forward(function: Function, inputs: Any, gradient: torch.Tensor | None = None) -> bool:
    """Whether a tensor kept by the forward, or the logits after it, already is the gradient up to a scale per row.

    Such an implementation moves the work of the backward into its forward: the two passes of it and of one that does
    not must not stand in one column. Seen by value, so it does not depend on how long anything takes. What a node
    written in C++ holds is out of Python's sight; on the CPU every block that the forward left allocated is looked at.
    """
    known = _gradient(function, inputs) if gradient is None else gradient
    logits = inputs.logits.clone().requires_grad_()
    target, on_cpu = _own_target(inputs), inputs.logits.device.type == "cpu"
    recorder: Any = torch.autograd.profiler.profile(use_kineto=True, profile_memory=True, enabled=on_cpu)
    with recorder as recorded:
        loss = function(logits, target)
    if known is None or not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        return False
    kept = (logits.detach(), *_kept(loss.grad_fn))
    if any(_proportional(tensor, known) for tensor in kept if tensor.shape == known.shape):
        return True
    blocks = left_allocated(recorded) if on_cpu else {}
    found = any(_proportional(block, known) for block in _viewed(blocks, known))
    del loss  # until here: the blocks are its graph's
    return found


def left_allocated(recorded: Any) -> dict[int, int]:
    """Address → bytes of the blocks that torch's CPU allocator gave out while recording and has not taken back."""
    events = [*recorded.kineto_results.experimental_event_tree()]
    told: list[tuple[int, int, int]] = []
    while events:
        event = events.pop()
        events += event.children
        if str(event.tag).endswith("Allocation"):
            told.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size))
    live: dict[int, int] = {}
    for _, address, size in sorted(told):
        live.pop(address, None)
        if size > 0:
            live[address] = size
    return live


def _viewed(blocks: Mapping[int, int], like: torch.Tensor) -> Iterator[torch.Tensor]:
    """The blocks that hold as many bytes as ``like``, read as it is, contiguous; without a copy."""
    for address, size in blocks.items():
        if like.numel() and like.nbytes <= size <= like.nbytes + _ROUNDED_UP:
            memory = (ctypes.c_char * like.nbytes).from_address(address)
            yield torch.frombuffer(memory, dtype=like.dtype).view(like.shape)


def _gradient(function: Function, inputs: Any) -> torch.Tensor | None:
    logits = inputs.logits.clone().requires_grad_()
    loss = function(logits, _own_target(inputs))
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        return None
    return gradient_of(loss, logits, inputs.grad_output).detach().clone()


def _own_target(inputs: Any) -> torch.Tensor | None:
    return None if inputs.target is None else inputs.target.clone()


def _kept(node: Any) -> Iterator[torch.Tensor]:
    """Tensors that the nodes of a graph hold: saved ones, and attributes of a custom function's context."""
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        for value in _held(node):
            if isinstance(value, torch.Tensor):
                yield value.detach()


def _held(node: Any) -> list[Any]:
    values = list(getattr(node, "__dict__", {}).values())
    for name in dir(node):
        if name == "saved_tensors" or (name.startswith("_saved_") and not name.startswith("_saved_self_sym")):
            try:
                found = getattr(node, name)
            except (RuntimeError, AttributeError, NotImplementedError):
                continue  # freed, or not readable from Python: then it cannot be compared
            values += list(found) if isinstance(found, tuple | list) else [found]
    return values


def _proportional(tensor: torch.Tensor, gradient: torch.Tensor) -> bool:
    """Whether every row of ``tensor`` is a multiple of the same row of ``gradient``; rows of zeros say nothing."""
    if gradient.shape[1] < 3 or not tensor.is_floating_point():
        return False  # two entries that sum to zero are a multiple of too many things
    rows = max(1, _COMPARED // max(1, gradient[0].numel()))
    g = gradient[:rows].double().movedim(1, -1).flatten(0, -2).nan_to_num(0.0, 0.0, 0.0)
    t = tensor[:rows].double().movedim(1, -1).flatten(0, -2).nan_to_num(0.0, 0.0, 0.0)
    largest = g.abs().amax(1, keepdim=True)
    told = (largest > 0).squeeze(1)
    if not bool(told.any()):
        return False
    scale = (t * g).sum(1, keepdim=True) / (t * t).sum(1, keepdim=True).clamp_min(1e-300)
    return bool(((t * scale - g).abs() <= _PROPORTIONAL * largest)[told].all())


def _forward(function: Function, case: Case, inputs: Any, trained: Sequence[str]) -> tuple[Any, Any]:
    given: Given = (inputs.logits, inputs.target, inputs.others) if inputs.others else (inputs.logits, inputs.target)
    if case.pass_ == "forward_no_grad":
        with torch.no_grad():
            return function(*given), None
    ring = Ring(pairs=(given,), cache="warm", reason="", source=inputs, trained=tuple(trained)).requiring_grad(True)
    return function(*ring.pairs[0]), leaves_of(ring.pairs[0])


def _backward(loss: Any, leaves: Any, case: Case, inputs: Any) -> Any:
    return torch.autograd.grad(loss, leaves, inputs.grad_output.to(loss.dtype)) if case.needs_gradient else None


def _cuda(function: Function, case: Case, inputs: Any, trained: Sequence[str]) -> dict[str, int]:
    device = inputs.logits.device
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    loss, leaves = _forward(function, case, inputs, trained)
    torch.cuda.synchronize(device)
    kept = torch.cuda.memory_allocated(device) - before
    gradient = _backward(loss, leaves, case, inputs)
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    del gradient, loss
    return {"peak_bytes": peak, "saved_bytes": kept if leaves is not None else 0}


def _cpu(function: Function, case: Case, inputs: Any, trained: Sequence[str]) -> dict[str, int]:
    # not torch.profiler.profile, which wraps this and imports torch's whole compiler first: 3 s in each worker
    recorder: Any = torch.autograd.profiler.profile(use_kineto=True, profile_memory=True)
    with recorder as recorded:
        loss, leaves = _forward(function, case, inputs, trained)
        marker = torch.empty(_MARKER_BYTES, dtype=torch.uint8)
        del marker
        gradient = _backward(loss, leaves, case, inputs)
        del gradient, loss
    found = recorded.kineto_results.events()
    events = sorted((event.start_ns(), event.nbytes()) for event in found if event.name() == "[memory]")
    current = peak = saved = 0
    for _, size in events:
        if size == _MARKER_BYTES:
            saved = current
        if abs(size) != _MARKER_BYTES:
            current += size
            peak = max(peak, current)
    return {"peak_bytes": peak, "saved_bytes": saved if leaves is not None else 0}


#: A size that no loss allocates by chance: it marks the end of the forward in the stream of allocations.
_MARKER_BYTES = 1_234_567
