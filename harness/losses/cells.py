"""The cells that checks bring themselves for a family that has none of its own: small, and of its own axes. Torch-free.

For cross-entropy each check has its own list (``harness/checks/cases``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case
from harness.core.family import Family

#: Marks a cell on which its check asks everything it knows, as ``--thorough`` wants, rather than a sample.
EVERYTHING = (("sweep", "all"),)
#: Marks a cell whose classes the check ``sizes`` sweeps from 1 to its own number.
SWEPT = (("classes", "swept"),)


def cells(check: str, anchor: Case, thorough: bool) -> Iterator[Case]:
    """Cells of ``check`` for the loss, device and dtype of ``anchor``; none for a check that is not here."""
    from harness.losses.catalogue import family_of  # which lists the families, and they list these cells

    family = family_of(anchor.loss)
    base = family.case(batch=6, classes=11, device=anchor.device, dtype=anchor.dtype)
    every = anchor.dtype == "float32" or thorough
    made = {
        "grad_output": _grad_output, "options": _options, "layout": _layout, "side_effects": _side_effects,
        "repeatability": _repeatability, "honesty": _honesty, "relations": _relations, "sizes": _sizes,
        "composition": _composition,
    }.get(check)  # fmt: skip
    if made is None:
        return
    for case in made(family, base, every):
        if family.refusal(case) is None:
            swept = check in ("options", "layout", "sizes") and thorough
            yield replace(case, options=(*case.options, *EVERYTHING)) if swept else case


def default_cells(loss: str) -> Iterator[Case]:
    """Cells that judge ``loss`` where no suite names any: two shapes, two dtypes, easy and sharp inputs, reductions."""
    from harness.losses.catalogue import family_of

    family = family_of(loss)
    for classes, dims in ((33, ()), (5, (4,))):
        for dtype in ("float32", "bfloat16"):
            for regime in ("normal", "small", "sigma10", "confident"):
                plain = family.case(batch=16, classes=classes, dims=dims, dtype=dtype, regime=regime)
                yield from (case for case in _reductions(family, plain) if family.refusal(case) is None)


def _reductions(family: Family, base: Case) -> list[Case]:
    axis = family.axis("reduction")
    return [base] if axis is None else [replace(base, reduction=one) for one in axis.allowed if one != "batchmean"]


def _targets(family: Family, base: Case) -> list[Case]:
    """One cell for each kind of target that makes another problem; draws of class indices are one kind."""
    axis = family.axis("target")
    if axis is None:
        return [base]
    kinds = [kind for kind in axis.allowed if kind not in ("zipf", "first", "last", "argmax")]
    return [replace(base, target=kind) for kind in kinds]


def _grad_output(family: Family, base: Case, every: bool) -> Iterator[Case]:
    yield from _reductions(family, base)
    if every:
        yield replace(base, batch=2, classes=5, dims=(3,), reduction="none")
        if family.axis("weight") is not None:
            yield replace(base, weight="uniform")
        for axis in family.axes:
            if axis.kind == "bool":
                yield family.with_axes(base, **{axis.name: True})


def _options(family: Family, base: Case, every: bool) -> Iterator[Case]:
    for case in _targets(family, replace(base, batch=12, classes=7, grad_output="random")):
        yield case
        if every:
            yield replace(case, batch=3, classes=5, dims=(2,))


def _layout(family: Family, base: Case, every: bool) -> Iterator[Case]:
    plain = replace(base, batch=5, classes=37, grad_output="random")
    yield plain
    if every and family.axis("weight") is not None:
        yield replace(plain, weight="skewed")
    for dims in ((3,), (3, 4)) if every else ((3,),):
        yield replace(plain, batch=2, classes=7, dims=dims)


def _sizes(family: Family, base: Case, every: bool) -> Iterator[Case]:
    """A sweep over numbers of classes, and many rows; then a single long row, and many logits."""
    plain = replace(base, grad_output="random")
    yield replace(plain, batch=3, classes=1100, options=(*plain.options, *SWEPT))
    yield replace(plain, batch=4097, classes=5)
    if every:
        yield replace(plain, batch=1, classes=4100)
        yield replace(plain, batch=16, classes=65600)
        if family.axis("dim") is not None:
            yield family.with_axes(replace(plain, batch=4097, classes=5), dim=0)


def _composition(family: Family, base: Case, every: bool) -> Iterator[Case]:
    """Eight rows, so that the mean's 1/N is exact in every dtype."""
    if base.dtype in ("float32", "bfloat16") or every:
        yield replace(base, batch=8, classes=12)


def _relations(family: Family, base: Case, every: bool) -> Iterator[Case]:
    """The starting points of relations, unreduced: each kind of target, and the other dimension where there is one."""
    plain = replace(base, classes=12, reduction="none")
    # targets near the first tensor are so for the sake of rounding, which relations between round numbers do without
    yield from (case for case in _targets(family, plain) if case.target not in ("near", "one_hot"))
    if every and family.axis("dim") is not None:
        yield family.with_axes(plain, dim=0)


def _side_effects(family: Family, base: Case, every: bool) -> Iterator[Case]:
    mean = family.axis("reduction") is not None and "mean" in family.axis("reduction").allowed  # type: ignore[union-attr]
    yield replace(base, reduction="mean" if mean else "none")
    yield replace(base, reduction="none", layout="padded")
    if every:
        yield replace(base, reduction="none", layout="sliced")
    if family.axis("weight") is not None:
        yield replace(base, weight="skewed")


def _repeatability(family: Family, base: Case, every: bool) -> Iterator[Case]:
    yield replace(base, batch=8, classes=33, reduction="none")
    if every:
        yield replace(base, batch=8, classes=33)


def _honesty(family: Family, base: Case, every: bool) -> Iterator[Case]:
    if base.dtype not in ("float32", "bfloat16") and not every:
        return
    yield replace(base, batch=8, classes=32)
    if every:
        yield replace(base, batch=256, classes=4096, reduction="none")
