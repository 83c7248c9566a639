"""Which kernel a call takes and how it is cut: pure functions of the shape, the dtype and the device's properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

#: Rows up to this many classes, or a tile, share a program; unaligned ones up to the other: accesses are narrow there.
_SHORT_ROW, _SHORT_UNALIGNED_ROW = 4096, 512
_MOST_ROWS = 128
#: Registers of which three programs of 8 warps, or two of 16, fit a multiprocessor of 65,536.
_THREE_PROGRAMS, _TWO_WIDE_PROGRAMS = 80, 64
_SMALLEST_BLOCK = 16
#: Slices end on whole 16-byte vectors of any dtype.
_SLICE_STEP = 16
#: Programs of a multiprocessor that walk cached rows: two of 8 warps may have 128 registers each, and spill nothing.
_CAPPED_PROGRAMS = 2
#: Share of the second-level cache that live rows may take: it is two halves, and the gradient passes through it too.
_LIVE_SHARE = 0.56
_LARGEST_GRID = 2**31 - 1
_WEIGHT_GRADIENT_PARTS = 64
_REDUCE_BLOCK = 4096
_REDUCE_ROWS = 16 * _REDUCE_BLOCK

Finish = Literal["alone", "last", "wait", "saved"]
Strategy = Literal["auto", "recompute", "resident", "capped", "three_pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a plan asks of a device: multiprocessors; threads, 32-bit registers and shared memory of each; L2 cache.

    ``tile`` is the number of logits that 8 warps take at a time, 16 a thread: with 32, every kernel that makes a
    gradient spills at 64 registers, and takes up to 254 where it may (docs/kernels.md).
    """

    multiprocessors: int
    l2_bytes: int
    threads: int = 2048
    registers: int = 65536
    shared_bytes: int = 227 * 1024
    tile: int = 4096


#: NVIDIA H200: what the tests and docs/kernels.md plan for.
H200 = Device(multiprocessors=132, l2_bytes=50 * 2**20)
#: What the interpreter is taken for: so small a device that the cells of a judged suite meet the ways of a large one;
#: with larger tiles, for what costs time there is the number of operations, not their size.
INTERPRETER = Device(multiprocessors=2, l2_bytes=2**20, tile=16384)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Shape of a call: ``vector`` logits make 16 bytes, 1 where they do not lie side by side.

    ``edges``: rows start or end off a 16-byte boundary. ``streams``: tensors read for each class, logits included.
    """

    rows: int
    classes: int
    itemsize: int
    vector: int
    edges: bool
    streams: int = 1

    @property
    def logits_bytes(self) -> int:
        """Bytes of all logits."""
        return self.rows * self.classes * self.itemsize

    @property
    def computed_in(self) -> int:
        """Bytes of the accumulation dtype."""
        return 8 if self.itemsize == 8 else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch: tiles of ``rows`` × ``block``, ``groups`` rows at once, ``parts`` programs a row, a ``slice`` each.

    ``resident``: a slice is one tile and stays in registers between the two sweeps. ``cached``: the first sweep asks
    the second-level cache to keep what the second reads again. ``max_registers``: as few as let the programs share a
    multiprocessor.
    """

    kernel: Literal["rows", "sweep"]
    block: int
    num_warps: int
    programs: int
    rows: int = 1
    parts: int = 1
    slice: int = 0
    groups: int = 0
    finish: Finish = "alone"
    resident: bool = False
    cached: bool = False
    stages: int = 1
    max_registers: int | None = None


def gradient_in_forward(problem: Problem, device: Device, strategy: Strategy) -> bool:
    """Whether the forward pass makes the gradient too: where the logits would not stay in cache until the backward.

    Reading them again then costs as much as writing the gradient; of smaller ones a second read is a cache hit.
    """
    if strategy == "auto":
        return problem.logits_bytes > _LIVE_SHARE * device.l2_bytes
    return strategy != "recompute"


def forward_launch(problem: Problem, device: Device) -> Launch:
    """Loss and statistics, one read: a program a row, or several where rows are too few to fill the device."""
    if _is_short(problem, device):
        return _short(problem, device)
    tile = _tile(problem, device)
    if _one_tile(problem, device) and problem.rows >= 2 * device.multiprocessors:
        return _sweep(problem, parts=1, groups=problem.rows, block=_power(problem.classes), resident=True)
    wanted = -(-4 * device.multiprocessors // max(1, problem.rows))
    parts = max(1, min(wanted, -(-problem.classes // (device.tile // 2))))
    block = min(tile, _power(_slice(problem, parts)))
    return _sweep(
        problem, parts=parts, groups=problem.rows, block=block, resident=_slice(problem, parts) <= block,
        finish="last" if parts > 1 else "alone",
    )  # fmt: skip


def fused_launch(problem: Problem, device: Device, strategy: Strategy) -> Launch:
    """Loss and gradient in one kernel, in the way of ``strategy``.

    ``auto``: a row that is one tile stays in registers, longer ones in the second-level cache. All rows that fit the
    registers of several programs (``resident``) are 2 µs of work, no longer than the programs take to agree.
    """
    if _is_short(problem, device):
        return _short(problem, device)
    if strategy == "three_pass":
        return _sweep(problem, parts=1, groups=problem.rows, block=_tile(problem, device))
    if _one_tile(problem, device) and problem.rows >= device.multiprocessors:
        launch = _sweep(problem, parts=1, groups=problem.rows, block=_power(problem.classes), resident=True)
        return replace(launch, max_registers=_TWO_WIDE_PROGRAMS if launch.num_warps > 8 else _THREE_PROGRAMS)
    return _resident(problem, device) if strategy == "resident" else _capped(problem, device)


def backward_launch(problem: Problem, device: Device, *, skippable: bool) -> Launch:
    """The gradient from saved statistics, a program a tile; few programs where most calls have nothing to do."""
    if _is_short(problem, device):
        return _short(problem, device)
    block = min(_tile(problem, device), _power(problem.classes))
    while block > device.tile // 2 and problem.rows * -(-problem.classes // block) < 4 * device.multiprocessors:
        block //= 2
    parts = -(-problem.classes // block)
    most = 8 * device.multiprocessors if skippable else _LARGEST_GRID
    groups = max(1, min(problem.rows, most // parts))
    launch = _sweep(problem, parts=parts, groups=groups, block=block, resident=True, finish="saved")
    return replace(launch, max_registers=_THREE_PROGRAMS)


def _short(problem: Problem, device: Device) -> Launch:
    block = _power(problem.classes)
    rows = max(1, min(_tile(problem, device) // block, _MOST_ROWS))
    return Launch(
        kernel="rows", block=block, rows=rows, num_warps=_warps(rows * block, problem),
        programs=-(-problem.rows // rows),
    )  # fmt: skip


def _is_short(problem: Problem, device: Device) -> bool:
    # several rows share a program
    limit = _SHORT_UNALIGNED_ROW if problem.edges else _SHORT_ROW
    return problem.classes <= min(limit, _tile(problem, device))


def _tile(problem: Problem, device: Device) -> int:
    return device.tile * 4 // problem.computed_in


def _one_tile(problem: Problem, device: Device) -> bool:
    # a row that a program of 16 warps holds: two such share a multiprocessor
    return problem.classes <= 2 * _tile(problem, device)


def _resident(problem: Problem, device: Device) -> Launch:
    largest = 2 * _tile(problem, device)
    per_multiprocessor = max(1, device.threads // (32 * _warps(largest, problem)) // 2)
    capacity = device.multiprocessors * per_multiprocessor
    fewest = -(-problem.classes // largest)
    if fewest > capacity:
        return _capped(problem, device)
    parts = max(fewest, min(capacity // max(1, problem.rows), problem.classes // (device.tile // 2)))
    block = min(largest, _power(_slice(problem, parts)))
    return _waiting(problem, parts=parts, block=block, per_multiprocessor=per_multiprocessor, device=device)


def _capped(problem: Problem, device: Device) -> Launch:
    capacity = device.multiprocessors * _CAPPED_PROGRAMS
    live = max(1, int(_LIVE_SHARE * device.l2_bytes) // (problem.classes * problem.itemsize))
    # as many programs a row as keep the rows under way within the cache, and no fewer than fill the device
    parts = max(-(-capacity // live), capacity // max(1, problem.rows))
    parts = max(1, min(parts, problem.classes // (device.tile // 2), capacity))
    return _waiting(
        problem, parts=parts, block=_tile(problem, device), per_multiprocessor=_CAPPED_PROGRAMS, device=device,
        cached=True,
    )  # fmt: skip


def _waiting(
    problem: Problem, *, parts: int, block: int, per_multiprocessor: int, device: Device, cached: bool = False
) -> Launch:
    # programs that wait for one another: all of them must be on the device at once
    capacity = device.multiprocessors * per_multiprocessor
    launch = _sweep(
        problem, parts=parts, groups=max(1, min(problem.rows, capacity // parts)), block=block, resident=not cached,
        finish="wait" if parts > 1 else "alone", cached=cached,
    )  # fmt: skip
    registers = min(255, device.registers // (per_multiprocessor * 32 * launch.num_warps) // 8 * 8)
    # what is under way lies in shared memory, of which each has its part; 1 KB of it is the reductions'
    stage_bytes = per_multiprocessor * launch.block * problem.itemsize * problem.streams
    under_way = (device.shared_bytes - per_multiprocessor * 1024) // stage_bytes
    return replace(launch, max_registers=registers, stages=max(1, min(launch.stages, 1 + under_way)))


def _sweep(
    problem: Problem, *, parts: int, groups: int, block: int, resident: bool = False, finish: Finish = "alone",
    cached: bool = False,
) -> Launch:  # fmt: skip
    return Launch(
        kernel="sweep", block=block, num_warps=_warps(block, problem), programs=groups * parts, parts=parts,
        slice=_slice(problem, parts), groups=groups, finish=finish, resident=resident, cached=cached,
        stages=1 if resident else 3,
    )  # fmt: skip


def _slice(problem: Problem, parts: int) -> int:
    return -(-problem.classes // parts // _SLICE_STEP) * _SLICE_STEP


def _warps(tile: int, problem: Problem) -> int:
    # 16 logits a thread, half as many of 8 bytes
    return max(4, min(32, tile * problem.computed_in // 4 // 512))


def _power(classes: int) -> int:
    return max(_SMALLEST_BLOCK, 1 << (classes - 1).bit_length())


def weight_gradient_plan(rows: int, classes: int) -> tuple[int, int, int]:
    """Rows and classes of a tile of the weight gradient, and the rows each program sums (a multiple of the tile's)."""
    block = min(_power(classes), 1024)
    per_part = -(-rows // _WEIGHT_GRADIENT_PARTS)
    return 8, block, max(8, -(-per_part // 8) * 8)


def target_gradient_plan(problem: Problem, device: Device) -> tuple[int, int]:
    """Rows and classes of a tile of the gradient of probability targets."""
    block = min(_power(problem.classes), _tile(problem, device))
    return min(_tile(problem, device) // block, _MOST_ROWS), block


def reduce_plan(rows: int) -> tuple[int, int, int]:
    """Programs, rows of each, and tile of a sum over rows: one program up to 65,536 rows."""
    parts = max(1, -(-rows // _REDUCE_ROWS))
    return parts, -(-rows // parts), min(_REDUCE_BLOCK, _power(max(1, rows)))


def collapsed_stride(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """The one stride that walks these dimensions in row-major order (0 for a single place), or None if none does."""
    walk = [(size, stride) for size, stride in zip(sizes, strides, strict=True) if size != 1]
    for (_, stride), (inner_size, inner_stride) in pairwise(walk):
        if stride != inner_size * inner_stride:
            return None
    return walk[-1][1] if walk else 0
