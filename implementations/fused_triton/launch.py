"""Buffers and launches: a plan carried out on tensors."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
import triton.language as tl
from triton.runtime.jit import JITFunction

from . import plan, sweep_kernel
from .reduce_kernel import divisor_kernel, sum_kernel
from .rows_kernel import rows_kernel

#: Whether ``TRITON_INTERPRET`` was set when the kernels were defined: they then run on the CPU, in numpy.
INTERPRETED = not isinstance(rows_kernel, JITFunction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one call, as the kernels need them; ``softcap`` 0 is none.

    ``differentiable``: whether a gradient of the logits may be asked for; no_grad is not seen inside a Function.
    """

    ignore_index: int
    reduction: str
    label_smoothing: float
    probability: bool
    z_loss: float = 0.0
    softcap: float = 0.0
    strategy: plan.Strategy = "auto"
    inplace: bool = False
    differentiable: bool = False

    @property
    def mass(self) -> bool:
        """Whether every class takes a share of the target, not only the target's own."""
        return self.probability or self.label_smoothing > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the rows of a tensor (N, C, d1, …) lie; ``offsets`` where no two strides reach them, else the tensor."""

    offsets: torch.Tensor
    outer: int
    inner: int
    classes: int
    gathered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is kept of each row, in the accumulation dtype: maximum, sum of the others, target mass."""

    maximum: torch.Tensor
    others: torch.Tensor
    mass: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The gradient from above: one number (stride 0) or one of each row; ``skip`` where 1 has been dealt with."""

    value: torch.Tensor
    stride: int
    skip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: logits (N, C, d1, …), index targets flattened to (N·d1·…,) or probabilities, options and device."""

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    options: Options
    device: plan.Device

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.logits.numel() // self.logits.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The accumulation dtype."""
        return torch.float64 if self.logits.dtype == torch.float64 else torch.float32

    @property
    def problem(self) -> plan.Problem:
        """The call as the plan sees it."""
        logits, itemsize = self.logits, self.logits.element_size()
        at, vector = rows_of(logits), 16 // itemsize
        wide = at.classes == 1 and not at.gathered and (at.inner == 0 or prod(logits.shape[2:]) == 1)
        edges = bool(logits.shape[1] % vector or at.outer % vector or logits.data_ptr() % 16)
        return plan.Problem(
            rows=self.rows, classes=logits.shape[1], itemsize=itemsize, vector=vector if wide else 1,
            edges=wide and edges,
            streams=1 + self.options.probability + (self.options.mass and self.weight is not None),
        )  # fmt: skip

    def buffer(self, *, needed: bool = True, dtype: torch.dtype | None = None) -> torch.Tensor:
        """An empty value for each row, or for none."""
        return torch.empty(self.rows if needed else 0, dtype=dtype or self.dtype, device=self.logits.device)


@cache
def _cuda_device(index: int) -> plan.Device:
    found = torch.cuda.get_device_properties(index)
    return plan.Device(
        multiprocessors=found.multi_processor_count,
        l2_bytes=found.L2_cache_size,
        threads=found.max_threads_per_multi_processor,
        registers=found.regs_per_multiprocessor,
        shared_bytes=found.shared_memory_per_multiprocessor,
    )


def device_of(tensor: torch.Tensor) -> plan.Device:
    """What the plan is told of the device that holds ``tensor``."""
    return plan.INTERPRETER if INTERPRETED else _cuda_device(tensor.device.index)


def rows_of(tensor: torch.Tensor) -> Rows:
    """Where the rows of logits, probabilities or a gradient lie."""
    inner = plan.collapsed_stride(tensor.shape[2:], tensor.stride()[2:])
    offsets = tensor
    if inner is None:
        offsets = torch.zeros((), dtype=torch.int64, device=tensor.device)
        for dim in (0, *range(2, tensor.dim())):
            steps = torch.arange(tensor.shape[dim], device=tensor.device) * tensor.stride(dim)
            offsets = offsets.unsqueeze(-1) + steps
        offsets = offsets.reshape(-1)
    return Rows(
        offsets=offsets, outer=tensor.stride(0), inner=inner or 0, classes=tensor.stride(1), gathered=inner is None
    )


def _target_rows(call: Call) -> Rows:
    if call.options.probability:
        return rows_of(call.target)
    return Rows(offsets=call.target, outer=0, inner=0, classes=call.target.stride(0), gathered=False)


@contextlib.contextmanager
def on_device(tensor: torch.Tensor) -> Iterator[None]:
    """Launch on the device of ``tensor``; under the interpreter, without numpy's warnings.

    It computes both sides of every select, and numpy warns of inf − inf where a GPU does not.
    """
    if tensor.is_cuda:
        with torch.cuda.device(tensor.device):
            yield
        return
    import numpy as np

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def accumulator(call: Call) -> Any:
    """The dtype that kernels of this call compute in, as Triton names it."""
    return tl.float64 if call.dtype == torch.float64 else tl.float32


def divisor_of(call: Call) -> torch.Tensor:
    """What a mean divides by, float64 and 0-dimensional: rows, or the weights of the targets; never on the host."""
    if call.options.probability or call.rows == 0:
        rows = 0 if call.rows == 0 else call.rows
        return torch.full((), rows, dtype=torch.float64, device=call.logits.device)
    parts, per_part, block = plan.reduce_plan(call.rows)
    found = torch.empty(parts, dtype=torch.float64, device=call.logits.device)
    with on_device(call.logits):
        divisor_kernel[(parts,)](
            call.target, call.logits if call.weight is None else call.weight, found, call.rows, call.logits.shape[1],
            call.target.stride(0), 0 if call.weight is None else call.weight.stride(0), call.options.ignore_index,
            per_part, WEIGHTED=call.weight is not None, BLOCK=block, num_warps=8,
        )  # fmt: skip
    return found[0] if parts == 1 else found.sum()


def total_of(call: Call, losses: torch.Tensor, divisor: torch.Tensor | None) -> torch.Tensor:
    """The sum of the losses over the divisor, in float64, rounded once to the dtype of the logits."""
    parts, per_part, block = plan.reduce_plan(call.rows)
    alone = parts == 1
    total = torch.empty(parts, dtype=call.logits.dtype if alone else torch.float64, device=call.logits.device)
    with on_device(call.logits):
        sum_kernel[(parts,)](
            losses, losses if divisor is None else divisor, total, call.rows, per_part,
            MEAN=alone and divisor is not None, WIDE=total.dtype == torch.float64, BLOCK=block, num_warps=8,
        )  # fmt: skip
    if alone:
        return total[0]
    found = total.sum()
    return (found if divisor is None else found / divisor).to(call.logits.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """What a launch writes, or reads as saved: losses, statistics, and the gradient where one is made."""

    losses: torch.Tensor
    kept: Statistics
    gradient: torch.Tensor | None


def empty_buffers(call: Call, *, gradient: bool) -> Buffers:
    """Room for a forward pass."""
    unreduced = call.options.reduction == "none"
    kept = Statistics(maximum=call.buffer(), others=call.buffer(), mass=call.buffer(needed=call.options.mass))
    return Buffers(
        losses=call.buffer(dtype=call.logits.dtype if unreduced else None), kept=kept,
        gradient=torch.empty_like(call.logits) if gradient else None,
    )  # fmt: skip


def launch(
    call: Call, launch: plan.Launch, buffers: Buffers, divisor: torch.Tensor | None, upstream: Upstream | None,
    *, saved: bool = False,
) -> None:  # fmt: skip
    """Carry out ``launch``: statistics and loss unless ``saved``, the gradient if there is a buffer for it."""
    logits, target, options, kept = call.logits, call.target, call.options, buffers.kept
    gradient = logits if buffers.gradient is None else buffers.gradient
    at, to, out = rows_of(logits), _target_rows(call), rows_of(gradient)
    pointers = (
        logits, at.offsets, target, to.offsets, logits if call.weight is None else call.weight,
        logits if upstream is None else upstream.value, kept.maximum if divisor is None else divisor, buffers.losses,
        kept.maximum, kept.others, kept.mass, gradient, out.offsets,
    )  # fmt: skip
    numbers = (
        call.rows, logits.shape[1], prod(logits.shape[2:]), at.outer, at.inner, at.classes, to.outer, to.inner,
        to.classes, out.outer, out.inner, out.classes, 0 if call.weight is None else call.weight.stride(0),
        0 if upstream is None else upstream.stride, options.ignore_index,
    )  # fmt: skip
    constants = {
        "SPREAD": options.label_smoothing / logits.shape[1], "KEEP": 1.0 - options.label_smoothing,
        "Z": options.z_loss, "SOFTCAP": options.softcap, "PROBABILITY": options.probability, "MASS": options.mass,
        "WEIGHTED": call.weight is not None, "MEAN": divisor is not None,
        "UPSTREAM": 0 if upstream is None else 2 if upstream.skip else 1, "LOGITS_GATHERED": at.gathered,
        "TARGET_GATHERED": to.gathered, "GRAD_GATHERED": out.gathered, "GRADIENT": buffers.gradient is not None,
        "ACC": accumulator(call), "BLOCK": launch.block, "num_warps": launch.num_warps, "enable_fp_fusion": True,
    }  # fmt: skip
    with on_device(logits):
        if launch.kernel == "rows":
            vector = 1 if call.problem.edges else call.problem.vector
            rows_kernel[(launch.programs,)](
                *pointers, *numbers, **constants, SAVED=saved, VECTOR=vector, ROWS=launch.rows
            )
        else:
            _sweep(call, launch, pointers, numbers, constants, out)


def _first_sweep(launch: plan.Launch, *, gradient: bool) -> str:
    # what is read once need not stay; what is read again should, where the plan counts on it; else nothing is said
    if launch.cached:
        return "evict_last"
    return "evict_first" if launch.resident or not gradient else ""


def _sweep(
    call: Call, launch: plan.Launch, pointers: tuple[Any, ...], numbers: tuple[Any, ...], constants: dict[str, Any],
    out: Rows,
) -> None:  # fmt: skip
    logits, gradient, problem = call.logits, pointers[11], call.problem
    at = rows_of(logits)
    together = launch.parts > 1 and launch.finish in ("last", "wait")
    partial = torch.empty(4 * call.rows * launch.parts if together else 0, dtype=call.dtype, device=logits.device)
    arrived = torch.zeros(call.rows if together else 0, dtype=torch.int32, device=logits.device)
    aligned = (
        problem.vector > 1 and (out.outer, out.classes, out.gathered) == (at.outer, 1, False)
        and gradient.data_ptr() % 16 == logits.data_ptr() % 16
    )  # fmt: skip
    constants = constants | {
        "VECTOR": problem.vector, "EDGES": problem.edges, "GRAD_ALIGNED": aligned, "PARTS": launch.parts,
        "PARTS_BLOCK": 1 << (launch.parts - 1).bit_length(), "RESIDENT": launch.resident, "STAGES": launch.stages,
        "FIRST": _first_sweep(launch, gradient=constants["GRADIENT"]), "SECOND": "evict_first",
    }  # fmt: skip
    if launch.max_registers is not None:
        constants["maxnreg"] = launch.max_registers
    lead = logits.data_ptr() % 16 // logits.element_size()
    steps: list[tuple[str, bool, int, int]] = [(launch.finish, launch.finish == "wait", launch.programs, launch.groups)]
    if INTERPRETED and launch.finish == "wait":
        # programs run one after another there, and the first would wait for ever: two launches, a program for each part
        steps = [(step, False, call.rows * launch.parts, call.rows) for step in ("publish", "merge")]
    for finish, cooperative, programs, groups in steps:
        made = constants | {"GRADIENT": constants["GRADIENT"] and finish != "publish"}
        sweep_kernel.sweep_kernel[(programs,)](
            *pointers, partial, arrived, *numbers, groups, launch.slice, lead, **made, **sweep_kernel.FLAGS[finish],
            launch_cooperative_grid=cooperative,
        )  # fmt: skip
