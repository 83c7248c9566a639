"""Cells over all axes of a loss, as a Hypothesis strategy whose smallest examples are the simplest cells (torch-free).

Each axis shrinks to its default: smaller sizes, fewer options, the plainest regime and layout.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from harness.core.case import DTYPES, REDUCTIONS, Case
from harness.core.family import Family
from harness.inputs import catalogue

#: What a cell is asked by: the cell checks, or one that asks about the call itself.
QUESTIONS = ("cells", "grad_output", "side_effects", "targets", "repeatability")
#: Logits of one drawn cell; more take longer than they are worth in a search.
MOST_ELEMENTS = 1 << 18
_EDGES = sorted({(1 << power) + off for power in range(2, 17) for off in (-1, 0, 1)})


@st.composite
def cells(draw: st.DrawFn, family: Family, device: str) -> tuple[Case, str]:
    """A case of ``family`` on ``device``, and one of :data:`QUESTIONS`; it may have no meaning (see ``refusal``)."""
    classes = draw(
        st.integers(1, 40) | st.sampled_from(_EDGES) | st.integers(1, 5000) | st.sampled_from((32000, 50257))
    )
    most = max(1, MOST_ELEMENTS // classes)
    batch = draw(st.integers(0, min(9, most)) | st.integers(0, min(300, most)) | st.just(min(4097, most)))
    case = Case(
        loss=family.name, device=device, batch=batch, classes=classes,
        dtype=draw(st.sampled_from(("float32", *(d for d in DTYPES if d != "float32")))),
        regime=draw(st.just("normal") | st.sampled_from([r for r in _names(family, "regime") if "*" not in r])),
        pass_=draw(st.sampled_from(("forward_backward", "forward", "forward_no_grad"))),
        reduction=draw(st.sampled_from(("mean", *(r for r in REDUCTIONS if r != "mean")))),
        seed=draw(st.integers(0, 7)),
    )  # fmt: skip
    return _with_options(draw, family, case), draw(st.just("cells") | st.sampled_from(QUESTIONS))


def _with_options(draw: st.DrawFn, family: Family, case: Case) -> Case:
    """``case`` with drawn options, each of which is mostly away."""
    known = {axis.name for axis in family.axes}
    changes: dict[str, object] = {}
    for name, usual, other in (
        ("target", "uniform", st.sampled_from(_names(family, "target") or ("uniform",))),
        ("weight", "none", st.sampled_from(_names(family, "weight") or ("none",))),
        ("label_smoothing", 0.0, st.sampled_from((0.1, 1.0, 0.5))),
        ("ignored", 0.0, st.sampled_from((0.25, 0.9, 1.0))),
        ("ignore_index", -100, st.sampled_from((0, -1, 1, case.classes + 5, case.classes - 1))),
        ("layout", "contiguous", st.sampled_from(_names(family, "layout") or ("contiguous",))),
        ("grad_output", "one", st.sampled_from(_names(family, "grad_output") or ("one",))),
    ):
        if name in known:
            changes[name] = draw(st.just(usual) | st.just(usual) | other)
    case = replace(case, **changes)  # type: ignore[arg-type]
    if "classes" in known and case.elements <= 2000 and draw(st.sampled_from((False, False, True))):
        case = replace(case, dims=tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))))
    return case


def _names(family: Family, axis: str) -> tuple[str, ...]:
    found = family.axis(axis)
    return () if found is None else found.allowed


def simplicity(case: Case) -> tuple[int, ...]:
    """What makes one failing cell simpler than another: fewer options away from default, then fewer logits."""
    plain = Case(loss=case.loss, device=case.device, batch=case.batch, classes=case.classes)
    away = sum(
        getattr(case, name) != getattr(plain, name)
        for name in ("dtype", "regime", "reduction", "target", "ignored", "weight", "ignore_index", "label_smoothing",
                     "layout", "grad_output", "dims", "seed", "pass_")
    )  # fmt: skip
    return (away, case.elements, case.rows, case.classes, case.seed)


def meaningless(family: Family, case: Case) -> bool:
    """Whether no inputs can be made for ``case``."""
    return family.refusal(case) is not None or catalogue.refusal(case) is not None
