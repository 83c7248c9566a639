"""The relations that cross-entropy obeys, each made for one starting call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.numerics.formats import FORMATS

#: Bits below the leading one that shifted logits keep: shifts by up to 2^(p - 1 - BITS) are exact.
_FRACTION_BITS = 2
#: From this many classes on, a row is more than one tile and a masked prefix as long as a tile is worth the while.
_MANY = 100


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` with logits rounded to quarters, so that shifts and midpoints of them are exact in every dtype."""
    scale = 2.0**_FRACTION_BITS
    rounded = (inputs.logits.to(torch.float64).clamp(-4, 4) * scale).round() / scale
    return replace(inputs, logits=rounded.to(inputs.logits.dtype))


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` (reduction none) on ``start``."""
    if case.target_kind == "probability":
        yield from _of_one_hot(case, start)
    elif case.dims:
        yield from _of_dimensions(case, start)
    else:
        # the rest changes shapes or options, which compiles anew where anything compiles: once, or where size matters
        small = case.classes < _MANY
        yield from _of_same_shape(case, start)
        if small:
            yield from _of_weights(case, start)
        if case.dtype == "float32":
            yield from _of_classes(case, start)
        if case.dtype == "float32" and small:
            yield from _of_batch(case, start)
            yield from _of_reduction(case, start)


def _of_same_shape(case: Case, start: Inputs) -> Iterator[Relation]:
    x, rows, classes = start.logits, case.batch, case.classes
    precision = FORMATS[case.dtype].precision
    for bits in sorted({3, precision - 2 - _FRACTION_BITS}):
        shift = x.new_tensor([(-1.0) ** row * 2.0 ** max(bits - row % 3, 1) for row in range(rows)])
        moved = replace(start, logits=x + shift[:, None])
        yield Relation(
            name=f"shift_{bits}", summary="every row shifted by a number of its own", case=case, inputs=moved
        )
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(case.seed + 3)).to(x.device)
    place = order.argsort()
    moved = replace(start, logits=x[:, order], target=place[start.target])
    yield Relation(name="permuted_classes", summary="classes in another order", case=case, inputs=moved)
    moved = replace(start, logits=x.flip(0), target=start.target.flip(0))
    yield Relation(
        name="reversed_rows", summary="rows in reverse order", case=case, inputs=moved, right=np.eye(rows)[::-1]
    )
    for name, value in (("equal", 0.0), ("equal_high", 1e4), ("equal_low", -1e4)):
        level = replace(start, logits=torch.full_like(x, value))
        yield Relation(
            name=name, summary=f"all logits {value:g}: log C whatever the target", case=replace(case, regime="equal"),
            inputs=level, right=0, plus=math.log(classes),
        )  # fmt: skip
    yield from _of_one_row(case, start)
    yield from _inequalities(case, start)


def _of_one_row(case: Case, start: Inputs) -> Iterator[Relation]:
    """One row replaced by one whose loss is far larger: the others stay."""
    row = case.batch // 2
    logits = start.logits.clone()
    logits[row] = 0.0
    logits[row, (int(start.target[row]) + 1) % case.classes] = 64.0
    others = np.delete(np.eye(case.batch), row, axis=0)
    yield Relation(
        name="one_row", summary="another row changed", case=case, inputs=replace(start, logits=logits),
        left=others, right=others,
    )  # fmt: skip


def _inequalities(case: Case, start: Inputs) -> Iterator[Relation]:
    x, target = start.logits, start.target
    at = torch.arange(case.batch, device=x.device)
    for name, step, sign in (("raised_target", 2.0, 1), ("raised_target_far", 40.0, 1), ("lowered_target", -2.0, -1)):
        logits = x.clone()
        logits[at, target] += step
        summary = "the target's logit raised" if step > 0 else "the target's logit lowered"
        yield Relation(name=name, summary=summary, case=case, inputs=replace(start, logits=logits), sign=sign)
    wide = replace(start, logits=x * 16)
    values = wide.logits.to(torch.float64).cpu().numpy()
    gap = values.max(1) - values[np.arange(case.batch), target.cpu().numpy()]
    yield Relation(
        name="at_least_gap", summary="no loss below the largest logit minus the target's", case=case, inputs=wide,
        right=0, plus=gap, sign=-1,
    )  # fmt: skip
    yield Relation(
        name="at_most_range", summary="no loss above that gap plus log C", case=case, inputs=wide, right=0,
        plus=gap + math.log(case.classes), sign=1,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(case.seed + 4)
    step = torch.randint(-2, 3, x.shape, generator=generator).to(x.dtype).to(x.device)
    both = (replace(start, logits=x + step), replace(start, logits=x - step))
    joined = replace(
        start, logits=torch.cat([each.logits for each in both]), target=torch.cat([target, target]),
        grad_output=torch.cat([start.grad_output] * 2),
    )  # fmt: skip
    half = np.hstack([np.eye(case.batch), np.eye(case.batch)]) / 2
    if case.dtype == "float32":
        yield Relation(
            name="convex", summary="the mean loss of two points either side", case=replace(case, batch=2 * case.batch),
            inputs=joined, left=half, sign=-1,
        )  # fmt: skip


def _of_weights(case: Case, start: Inputs) -> Iterator[Relation]:
    """Weights in magnitudes that a constant slipped into a denominator cannot follow."""
    generator = torch.Generator().manual_seed(case.seed + 5)
    drawn = torch.randint(4, 12, (case.classes,), generator=generator) / 8.0
    narrow = case.dtype == "float16"
    powers = {"weights": 0, "small_weights": -5 if narrow else -36, "large_weights": 3 if narrow else 20}
    means = []
    for name, power in powers.items():
        weight = (drawn * 2.0**power).to(start.logits.dtype).to(start.logits.device)
        own = weight.to(torch.float64).cpu()[start.target.cpu()].numpy()
        weighed = replace(case, weight="uniform")
        yield Relation(
            name=name, summary="each loss times its target's weight", case=weighed,
            inputs=replace(start, weight=weight), right=np.diag(own),
        )  # fmt: skip
        reduced = replace(start, weight=weight, grad_output=start.grad_output.new_ones(()))
        mean = Relation(
            name=f"{name}_mean", summary="the mean by weights, whatever their magnitude",
            case=replace(weighed, reduction="mean"), inputs=reduced, right=own[None] / own.sum(),
        )  # fmt: skip
        means.append(mean)
    yield from means
    for name, reduction in (("equal_weights", "none"), ("equal_weights_sum", "sum")):
        upstream = start.grad_output if reduction == "none" else start.grad_output.new_ones(())
        rows = np.eye(case.batch) if reduction == "none" else np.ones((1, case.batch))
        yield Relation(
            name=name, summary="all weights 0.75", case=replace(case, weight="uniform", reduction=reduction),
            inputs=replace(start, weight=start.logits.new_full((case.classes,), 0.75), grad_output=upstream),
            right=0.75 * rows,
        )  # fmt: skip


def _of_classes(case: Case, start: Inputs) -> Iterator[Relation]:
    x, classes = start.logits, case.classes
    doubled = replace(start, logits=torch.cat([x, x], 1))
    yield Relation(
        name="doubled_classes", summary="every class twice: log 2 more", case=replace(case, classes=2 * classes),
        inputs=doubled, plus=math.log(2.0),
    )  # fmt: skip
    for name, value in (("masked_classes", -math.inf), ("far_classes", -1e4)):
        # behind more classes than a tile holds, a whole tile is masked
        count = 5 if classes < _MANY else 1024
        more = x.new_full((case.batch, count), value)
        grown = replace(case, classes=classes + count, regime="masked")
        yield Relation(
            name=f"{name}_behind", summary=f"{count} classes at {value:g} appended", case=grown,
            inputs=replace(start, logits=torch.cat([x, more], 1)),
        )  # fmt: skip
        yield Relation(
            name=f"{name}_before", summary=f"{count} classes at {value:g} put first", case=grown,
            inputs=replace(start, logits=torch.cat([more, x], 1), target=start.target + count),
        )  # fmt: skip
    pair = torch.stack([x[:, 0], x[:, 1]], 1)
    target = start.target % 2
    values = pair.to(torch.float64).cpu().numpy()
    gap = np.where(target.cpu().numpy() == 0, values[:, 1] - values[:, 0], values[:, 0] - values[:, 1])
    yield Relation(
        name="two_classes", summary="log(1 + exp(other - target))", case=replace(case, classes=2),
        inputs=replace(start, logits=pair, target=target), right=0, plus=np.logaddexp(0.0, gap),
    )  # fmt: skip


def _of_batch(case: Case, start: Inputs) -> Iterator[Relation]:
    rows, cut = case.batch, case.batch // 2 + 1
    for name, part in (("first_part", slice(0, cut)), ("last_part", slice(cut, rows))):
        piece = replace(
            start, logits=start.logits[part], target=start.target[part], grad_output=start.grad_output[part]
        )
        yield Relation(
            name=name, summary="a part of the batch alone", case=replace(case, batch=len(piece.target)), inputs=piece,
            right=np.eye(rows)[part],
        )  # fmt: skip
    ones = start.grad_output.new_ones(())
    twice = replace(start, logits=start.logits.repeat(2, 1), target=start.target.repeat(2), grad_output=ones)
    yield Relation(
        name="doubled_batch_mean", summary="the mean of a batch put twice",
        case=replace(case, batch=2 * rows, reduction="mean"), inputs=twice, right=np.full((1, rows), 1 / rows),
    )  # fmt: skip
    yield Relation(
        name="doubled_batch_sum", summary="the sum over a batch put twice",
        case=replace(case, batch=2 * rows, reduction="sum"), inputs=twice, right=np.full((1, rows), 2.0),
    )  # fmt: skip


def _of_reduction(case: Case, start: Inputs) -> Iterator[Relation]:
    rows, ones = case.batch, start.grad_output.new_ones(())
    whole = replace(start, grad_output=ones)
    for name, row in (("mean", np.full((1, rows), 1 / rows)), ("sum", np.ones((1, rows)))):
        yield Relation(
            name=f"{name}_of_rows", summary=f"the {name} of the rows' losses", case=replace(case, reduction=name),
            inputs=whole, right=row,
        )  # fmt: skip
    kept = np.arange(rows) % 3 != 1
    target = start.target.clone()
    target[torch.from_numpy(~kept).to(target.device)] = case.ignore_index
    yield Relation(
        name="mean_of_kept", summary="the mean of the rows that are not ignored",
        case=replace(case, reduction="mean", ignored=0.25), inputs=replace(whole, target=target),
        right=kept[None] / kept.sum(),
    )  # fmt: skip
    # every class of a row as its target, and from these the smoothed loss
    smoothing, classes = 0.25, case.classes
    yield Relation(
        name="smoothed", summary="label smoothing never lowers the loss below its share of the plain one",
        case=replace(case, label_smoothing=smoothing), inputs=start, right=(1 - smoothing) * np.eye(rows), sign=-1,
    )  # fmt: skip
    level = replace(start, logits=torch.zeros_like(start.logits))
    yield Relation(
        name="smoothed_equal", summary="all logits equal: log C whatever the smoothing",
        case=replace(case, label_smoothing=smoothing), inputs=level, right=0, plus=math.log(classes),
    )  # fmt: skip


def _of_dimensions(case: Case, start: Inputs) -> Iterator[Relation]:
    flat = replace(case, batch=case.rows, dims=())
    moved = replace(
        start,
        logits=start.logits.movedim(1, -1).reshape(-1, case.classes),
        target=start.target.reshape(-1),
        grad_output=start.grad_output.reshape(-1),
    )
    yield Relation(name="flattened", summary="all rows in one dimension", case=flat, inputs=moved)


def _of_one_hot(case: Case, start: Inputs) -> Iterator[Relation]:
    index = replace(start, target=start.target.argmax(1))
    yield Relation(
        name="as_index", summary="the class in place of its one-hot target", case=replace(case, target="uniform"),
        inputs=index,
    )  # fmt: skip
    for name, factor in (("twice_the_mass", 2.0), ("half_the_mass", 0.5)):
        yield Relation(
            name=name, summary=f"target mass times {factor:g}", case=case,
            inputs=replace(start, target=start.target * factor), right=factor * np.eye(case.batch),
        )  # fmt: skip
