import subprocess
import sys

import pytest

from harness.core.case import Case
from harness.core.errors import UnknownReferenceError
from harness.inputs.catalogue import REGIMES, find_regime, refusal, regime_names
from harness.inputs.regimes import RECIPES


def test_the_catalogue_and_its_refusals_need_no_torch():
    code = (
        "import sys\n"
        "from harness.core.case import Case\n"
        "from harness.inputs.catalogue import refusal\n"
        "assert refusal(Case(batch=4, classes=10, regime='captured')) is None\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_catalogue_needs_no_numpy():
    code = "import sys, harness.inputs.catalogue; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_regime_has_a_recipe_and_a_one_line_summary():
    assert set(RECIPES) == set(REGIMES) - {"captured"}
    for name, regime in REGIMES.items():
        assert regime.name == name
        assert regime.summary
        assert "\n" not in regime.summary


def test_only_regimes_of_independent_entries_say_so():
    independent = {name for name, regime in REGIMES.items() if regime.independent}
    assert independent == {"normal", "small", "uniform", "sigma10"}


def test_a_captured_file_is_the_captured_regime():
    assert find_regime("captured:some/where.npz") is REGIMES["captured"]
    assert regime_names()[0] == "normal"


@pytest.mark.parametrize("text", ["confidant", "normal:x", "captured:", ""])
def test_an_unknown_regime_is_named_with_what_is_allowed(text):
    with pytest.raises(UnknownReferenceError, match=r"unknown regime .*\n  allowed: normal, "):
        find_regime(text)


def test_a_misspelt_regime_gets_a_suggestion():
    with pytest.raises(UnknownReferenceError, match=r"did you mean confident\?"):
        find_regime("confidant")


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"regime": "captured", "classes": 11}, "holds logits of 10 classes, not 11"),
        ({"regime": "captured", "target": "zipf"}, "brings its own targets"),
        ({"regime": "captured:missing.npz"}, "no such capture file"),
        ({"regime": "masked", "classes": 1}, "at least 2 classes"),
        ({"regime": "nonfinite", "batch": 1}, "at least 2 rows"),
        ({"regime": "wrong", "target": "argmax"}, "target=argmax undoes"),
        ({"regime": "masked_target", "target": "argmax"}, "target=argmax undoes"),
        ({"target": "probability", "ignored": 0.5}, "no row of it can be ignored"),
        ({"target": "one_hot", "ignore_index": 3}, "ignore_index=3 has no meaning"),
        ({"ignored": 1.5}, "no share of the rows"),
        ({"ignored": float("nan")}, "no share of the rows"),
        ({"classes": 1, "ignore_index": 0}, "say ignored=1.0"),
        ({"classes": 1, "weight": "zeros"}, "at least 2 classes"),
        ({"layout": "ragged"}, "unknown layout 'ragged'; allowed: contiguous"),
        ({"target": "median"}, "unknown target"),
        ({"regime": "odd"}, "unknown regime"),
    ],
)
def test_a_combination_without_meaning_is_refused_with_the_reason(axes, why):
    assert why in refusal(Case(**{"batch": 4, "classes": 10, **axes}))


@pytest.mark.parametrize(
    "axes",
    [
        {},
        {"regime": "captured", "target": "one_hot"},
        {"regime": "lone", "target": "argmax"},
        {"ignored": 1.0, "classes": 1, "ignore_index": 0},
        {"target": "probability", "regime": "confident"},
    ],
)
def test_a_combination_with_meaning_is_not_refused(axes):
    assert refusal(Case(**{"batch": 4, "classes": 10, **axes})) is None
