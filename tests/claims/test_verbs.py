"""Each verb can come out both ways: what holds is told from what does not, with the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.claims.job import VERBS
from harness.claims.schema import VERBS as MODELS
from harness.claims.steps import make_values
from harness.core.errors import UsageError

TABLES = {
    "along_0": "-0.0889 -1.0106 -0.4296 -0.7947 -0.8084\n-2.4647 -0.4526 -1.0521 -0.6009 -0.5898",
    "along_1": "-0.2800 -2.7624 -2.4444 -2.7047 -3.5961\n-1.5842 -1.1328 -1.9953 -1.4392 -2.3059",
    "drawn": "x",
}
GIVEN: Mapping[str, Any] = {
    "x": {"draw": "randn", "shape": [2, 5], "seed": 7777},
    "target": {"values": [2, 1], "dtype": "int64"},
    "loss": {"cross_entropy": ["x", "target"]},
    "half": {"multiply": ["loss", 0.5]},
    "printed": {"printed": "0.1143 -0.0508 0.0701"},
    "smooth": {"softmax": ["printed"], "dim": 0},
}


def ask(verb: str, parameters: Mapping[str, Any], given: Mapping[str, Any] = GIVEN):
    values = make_values(given)
    return VERBS[verb](MODELS[verb].model_validate(parameters).model_dump(), values)


def test_every_verb_of_the_schema_has_a_procedure() -> None:
    assert set(VERBS) == set(MODELS)


@pytest.mark.parametrize(
    ("verb", "right", "wrong"),
    [
        ("equal_to_figure", {"value": "loss", "published": "1.7886"}, {"value": "loss", "published": "1.7887"}),
        ("same_value", {"first": "loss", "second": "loss"}, {"first": "loss", "second": "half"}),
        ("different", {"first": "loss", "second": "half"}, {"first": "loss", "second": "loss"}),
        ("between", {"value": "loss", "low": 1.7, "high": 1.8}, {"value": "loss", "high": 1.7}),
        ("runs", {"call": {"softmax": ["x"], "dim": 1}}, {"call": {"softmax_without_dim": ["x"]}}),
        (
            "warns",
            {"call": {"mse_loss": ["x", "printed"]}, "says": "different to the input size"},
            {"call": {"mse_loss": ["x", "x"]}, "says": "different to the input size"},
        ),
        ("common_input", TABLES, {**TABLES, "along_1": TABLES["along_1"].replace("-2.7624", "-2.7634")}),
        (
            "consistent",
            {"lines": [{"what": "loss", "value": "loss", "published": "1.7886"}, {"what": "half", "value": "half"}]},
            {"lines": [{"what": "loss", "value": "loss", "published": "1.78"}]},
        ),
        (
            "identity",
            {"first": "cross_entropy", "second": "nll_of_log_softmax", "dtypes": ["float32"], "regimes": ["wide"]},
            {"first": "nll_of_log_of_softmax", "second": "cross_entropy", "dtypes": ["float32"], "regimes": ["wide"]},
        ),
    ],
)
def test_a_verb_tells_what_holds_from_what_does_not(
    verb: str, right: Mapping[str, Any], wrong: Mapping[str, Any]
) -> None:
    given = (
        GIVEN
        if verb != "warns"
        else {**GIVEN, "printed": {"values": [1.0, 0.0, 2.0, 1.0, 0.0]}, "smooth": {"exp": "x"}}
    )
    held, evidence = ask(verb, right, given)
    assert held is True
    assert all(line.agrees is not False for line in evidence)
    held, evidence = ask(verb, wrong, given)
    assert held is False
    assert any(line.agrees is False for line in evidence)


def test_the_rounding_of_printed_inputs_widens_what_is_allowed() -> None:
    exact = {**GIVEN, "printed": {"values": [0.1143, -0.0508, 0.0701], "requires_grad": True}}
    far = {"value": "smooth", "published": "0.3565 0.3023 0.3411"}
    assert ask("equal_to_figure", far)[0] is True
    assert ask("equal_to_figure", far, exact)[0] is False


def test_the_second_draw_is_not_the_one_of_the_tables() -> None:
    given = {"x": {"draw": "randn", "shape": [2, 5], "seed": 7777, "nth": 2}}
    held, evidence = ask("common_input", TABLES, given)
    assert held is False
    assert [line.agrees for line in evidence] == [True, True, True, False]


def test_a_time_that_cannot_be_told_apart_is_left_open_or_the_same_never_a_win() -> None:
    held, evidence = ask(
        "faster", {"first": "cross_entropy", "second": "cross_entropy", "shapes": [[16, 50]], "max_seconds": 0.2}
    )
    assert held is not True
    assert "× as fast" in evidence[0].found


@pytest.mark.parametrize("step", [{"sofmax": ["x"]}, {"softmax": ["nothing"], "dim": 1}, {"draw": "rand", "seed": 0}])
def test_a_step_that_means_nothing_is_refused(step: Mapping[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"operations|no earlier step|randn"):
        make_values({"x": {"values": [[1.0, 2.0]]}, "y": step})
