"""The terms of a budget add up to it, whatever the options, and each stands for what it says."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.losses.cross_entropy.evaluate import evaluate, truth
from harness.losses.cross_entropy.explain import DEPTH, FINAL, ORDER, REDUCE, SPREAD, STORED, explain

CASES = [
    Case(batch=6, classes=10),
    Case(batch=6, classes=10, reduction="none", dtype="float64"),
    Case(batch=6, classes=1000, reduction="none", regime="offset"),
    Case(batch=6, classes=10, reduction="sum", weight="skewed", ignored=0.25),
    Case(batch=6, classes=10, weight="skewed", label_smoothing=0.1, ignored=0.25),
    Case(batch=6, classes=10, reduction="none", dtype="bfloat16"),
    Case(batch=6, classes=33, dtype="bfloat16", label_smoothing=0.1),
    Case(batch=6, classes=10, dtype="float16", weight="uniform"),
    Case(batch=3, classes=5, dims=(4,), target="probability", weight="uniform", reduction="none"),
    Case(batch=6, classes=10, regime="confident", reduction="none"),
    Case(batch=6, classes=10, regime="wide", reduction="none", dtype="bfloat16"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.cell)
@pytest.mark.parametrize("grade", ["standard", "tight"])
def test_the_terms_add_up_to_the_budget_of_the_entry(case: Case, grade: str) -> None:
    inputs = build_inputs(case)
    true = truth(case, inputs)
    found = evaluate(case, inputs, true.loss, {"logits": true.gradients["logits"]})
    for region in found.regions:
        if region.region == "ignored" or (region.value == "loss" and region.region != "loss"):
            continue
        worst = region.worst[grade]
        terms = explain(
            case, inputs, value=region.value, region=region.region, index=worst.index, grade=grade
        )  # fmt: skip
        assert sum(terms.values()) == pytest.approx(worst.budget, rel=1e-5), region
        assert all(size > 0 for size in terms.values())
        assert list(terms.values()) == sorted(terms.values(), reverse=True)


def test_what_makes_a_budget_large_is_told_first() -> None:
    def first(case: Case, value: str = "loss", index: tuple[int, ...] = (1,)) -> str:
        region = "loss" if value == "loss" else "other"
        return next(iter(explain(case, build_inputs(case), value=value, region=region, index=index, grade="standard")))

    assert first(Case(batch=4, classes=50000, reduction="none", regime="sorted_descending")) == DEPTH
    assert first(Case(batch=4, classes=10, reduction="none", regime="offset")) == ORDER
    assert first(Case(batch=4, classes=10, reduction="none", dtype="bfloat16")) == STORED
    assert first(Case(batch=4, classes=10, dtype="bfloat16"), index=()) in (FINAL, STORED)
    assert first(Case(batch=2400, classes=2), index=()) == REDUCE
    case = Case(batch=4, classes=10, dtype="bfloat16", label_smoothing=0.1, reduction="none")
    assert STORED in explain(case, build_inputs(case), value="loss", region="loss", index=(1,), grade="standard")
    assert SPREAD in explain(CASES[0], build_inputs(CASES[0]), value="loss", region="loss", index=(), grade="standard")


def test_what_the_terms_leave_open_is_told_as_a_residue() -> None:
    case = CASES[0]
    terms = explain(case, build_inputs(case), value="loss", region="loss", index=(), grade="standard", budget=1.0)
    assert next(iter(terms)).startswith("residue")
    assert sum(terms.values()) == pytest.approx(1.0)


def test_an_exact_region_has_no_terms() -> None:
    case = Case(batch=6, classes=10, ignored=0.5, reduction="none")
    inputs = build_inputs(case)
    with pytest.raises(ValueError, match="exactly"):
        explain(case, inputs, value="loss", region="ignored", index=(0,), grade="standard")
    row = int((inputs.target == case.ignore_index).nonzero()[0])
    with pytest.raises(ValueError, match="is ignored"):
        explain(case, inputs, value="loss", region="loss", index=(row,), grade="standard")
