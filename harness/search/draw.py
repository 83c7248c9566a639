"""Cells over all axes of a loss, as a Hypothesis strategy whose smallest examples are the simplest cells (torch-free).

Each axis shrinks to its default: smaller sizes, fewer options, the plainest regime and layout.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from harness.checks.cases import OWN_CASES
from harness.checks.catalogue import own_cases
from harness.core.case import DTYPES, REDUCTIONS, Case
from harness.core.family import Family

Question = tuple[Case, str]
#: The question that asks a drawn cell by the cell checks; any other is a check, on a cell of its own.
CELLS = "cells"
#: Checks that are asked too: those which neither fill memory nor compile.
OWN_CHECKS = tuple(name for name in OWN_CASES if name not in ("large_index", "composition"))
#: Logits of one drawn cell; more take longer than they are worth in a search.
MOST_ELEMENTS = 1 << 18
#: Cells of up to this many logits may get further dimensions.
_SMALL = 2000
_DTYPES = ("float32", *(dtype for dtype in DTYPES if dtype != "float32"))
#: Axes of every cell, drawn apart.
_DRAWN = frozenset({"dtype", "device", "regime", "pass", "reduction"})
_EDGES = sorted({(1 << power) + off for power in range(2, 17) for off in (-1, 0, 1)})


@st.composite
def plain_questions(draw: st.DrawFn, family: Family, device: str) -> Question:
    """Any cell of ``family`` on ``device``, asked by the cell checks; it may have no meaning (see ``meaningless``)."""
    return draw(cells(family, device)), CELLS


@st.composite
def own_questions(draw: st.DrawFn, family: Family, device: str) -> Question:
    """A check of :data:`OWN_CHECKS` on a cell that it brings itself."""
    dtype, check = draw(st.sampled_from(_DTYPES)), draw(st.sampled_from(OWN_CHECKS))
    own = list(own_cases(check, family.case(device=device, batch=4, classes=5, dtype=dtype), False))
    if not own:
        return draw(cells(family, device)), CELLS
    return replace(draw(st.sampled_from(own)), seed=draw(st.integers(0, 7))), check


@st.composite
def cells(draw: st.DrawFn, family: Family, device: str) -> Case:
    """A case of ``family`` on ``device``; it may have no meaning."""
    classes = draw(
        st.integers(1, 40) | st.sampled_from(_EDGES) | st.integers(1, 5000) | st.sampled_from((32000, 50257))
    )
    most = max(1, MOST_ELEMENTS // classes)
    batch = draw(
        st.integers(0, min(9, most)) | st.integers(0, min(300, most)) | st.integers(min(4000, most), min(4200, most))
    )
    plain = family.case(device=device, batch=batch, classes=classes)
    regimes = [name for name in _names(family, "regime") if "*" not in name] or [plain.regime]
    case = replace(
        plain,
        features=draw(st.integers(1, 40)) if family.axis("features") is not None else 0,
        dtype=draw(st.sampled_from(_DTYPES)),
        regime=draw(st.just(plain.regime) | st.sampled_from(regimes)),
        pass_=draw(st.sampled_from(("forward_backward", "forward", "forward_no_grad"))),
        reduction=draw(st.sampled_from(("mean", *(r for r in REDUCTIONS if r != "mean")))),
        seed=draw(st.integers(0, 7)),
    )  # fmt: skip
    return _with_options(draw, family, case)


def _with_options(draw: st.DrawFn, family: Family, case: Case) -> Case:
    """``case`` with drawn options, each of which is mostly away."""
    known = {axis.name for axis in family.axes}
    changes: dict[str, object] = {}
    numbers = {
        "label_smoothing": (0.1, 1.0, 0.5), "ignored": (0.25, 0.9, 1.0),
        "ignore_index": (0, -1, 1, case.classes + 5, case.classes - 1),
    }  # fmt: skip
    for axis in family.axes:
        values = numbers.get(axis.name, axis.allowed if axis.kind == "choice" else ())
        if values and axis.name not in _DRAWN:
            usual = family.value(case, axis.name)
            changes[axis.name] = draw(st.just(usual) | st.just(usual) | st.sampled_from(values))
    case = family.with_axes(case, **changes)
    # drawn whatever the size: a smaller case must not need more choices, or Hypothesis takes it for a more complex one
    dims = draw(st.just([]) | st.just([]) | st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return replace(case, dims=tuple(dims)) if "classes" in known and case.elements <= _SMALL else case


def _names(family: Family, axis: str) -> tuple[str, ...]:
    found = family.axis(axis)
    return () if found is None else found.allowed


def simplicity(case: Case, question: str) -> tuple[int, ...]:
    """What makes one failing question simpler than another: a plain cell, fewer options away from default, fewer
    logits."""
    plain = Case(loss=case.loss, device=case.device, batch=case.batch, classes=case.classes)
    away = len(case.options) + sum(
        getattr(case, name) != getattr(plain, name)
        for name in ("dtype", "regime", "reduction", "target", "ignored", "weight", "ignore_index", "label_smoothing",
                     "layout", "grad_output", "dims", "seed", "pass_")
    )  # fmt: skip
    return (question != CELLS, away, case.elements, case.rows, case.classes, case.features, case.seed)


def meaningless(family: Family, case: Case) -> bool:
    """Whether no inputs can be made for ``case``."""
    return family.refusal(case) is not None
