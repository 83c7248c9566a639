"""One call made ready: which rows count, what they weigh, what a mean divides by, how many rows a chunk has."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
#: Bytes of one chunk's logits. CPU: past some 100 rows a product gains nothing. CUDA: some 500 rows of a vocabulary of
#: 128,256 fill the device.
_CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 256 << 20}
_LEAST_ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one call."""

    ignore_index: int
    reduction: str
    label_smoothing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The tensors of one call, and per counted row its target, its mass, and which row it is."""

    hidden: torch.Tensor
    linear_weight: torch.Tensor
    linear_bias: torch.Tensor | None
    options: Options
    #: of the arithmetic: float64 for float64, else float32.
    dtype: torch.dtype
    #: which rows count, int64; None where all do.
    counted: torch.Tensor | None
    #: target of each counted row, int64.
    index: torch.Tensor
    #: weight of each counted row's target; None where each is 1.
    row_weight: torch.Tensor | None
    #: mass that smoothing puts on each class, (C,); None without smoothing.
    spread: torch.Tensor | None

    @property
    def rows(self) -> int:
        """How many rows count."""
        return self.index.shape[0]

    @property
    def chunk_rows(self) -> int:
        """Rows of one chunk."""
        row_bytes = max(1, self.linear_weight.shape[0]) * self.dtype.itemsize
        return max(_LEAST_ROWS, _CHUNK_BYTES.get(self.hidden.device.type, _CHUNK_BYTES["cuda"]) // row_bytes)

    def divisor(self) -> float:
        """What the sum of losses is divided by: 1, or for a mean the sum of the targets' weights."""
        if self.options.reduction != "mean":
            return 1.0
        if self.row_weight is None:
            return float(self.rows)
        return float(self.row_weight.sum(dtype=torch.float64))

    def hidden_of(self, start: int, end: int) -> torch.Tensor:
        """Hidden states of counted rows ``start`` to ``end``, in the dtype they came in."""
        if self.counted is None:
            return self.hidden[start:end]
        return self.hidden.index_select(0, self.counted[start:end])


def make_problem(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    linear_bias: torch.Tensor | None,
    weight: torch.Tensor | None,
    options: Options,
) -> Problem:
    """Shapes and options have been checked.

    Raises:
        IndexError: a target outside [0, C) that is not ignored.
    """
    classes = linear_weight.shape[0]
    dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    counts = target != options.ignore_index
    counted = None if bool(counts.all()) else counts.nonzero().squeeze(1)
    index = target if counted is None else target.index_select(0, counted)
    wrong = index[(index < 0) | (index >= classes)]
    if wrong.numel():
        raise IndexError(f"Target {int(wrong[0])} is out of bounds.")
    spread = None
    if options.label_smoothing > 0.0:
        even = torch.ones(classes, dtype=dtype, device=hidden.device) if weight is None else weight.to(dtype)
        spread = even * (options.label_smoothing / classes)
    return Problem(
        hidden=hidden, linear_weight=linear_weight, linear_bias=linear_bias, options=options, dtype=dtype,
        counted=counted, index=index, row_weight=None if weight is None else weight.to(dtype)[index], spread=spread,
    )  # fmt: skip
