"""Nouns: cell ids that read back, expectations that cover what they say, exit statuses in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.case import DTYPES, PASSES, REDUCTIONS, Case, case_from_dict, case_to_dict, parse_cell
from harness.core.errors import HarnessError, UnknownReferenceError, UsageError
from harness.core.expectation import parse_expectation
from harness.core.implementation import Implementation, implementation_from_dict, implementation_to_dict
from harness.core.outcome import JUDGED, Outcome, outcome_from_dict, outcome_to_dict
from harness.core.status import Status, exit_code, worst

CASES = st.builds(
    Case,
    batch=st.integers(0, 10**6),
    classes=st.integers(1, 10**6),
    dims=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    dtype=st.sampled_from(DTYPES),
    device=st.sampled_from(["cpu", "cuda", "cuda:1", "triton-interpreter"]),
    regime=st.sampled_from(["normal", "captured:a/b c#1.npz"]),
    pass_=st.sampled_from(PASSES),
    reduction=st.sampled_from(REDUCTIONS),
    ignored=st.floats(0, 1),
    ignore_index=st.integers(-(2**63), 2**63 - 1),
    label_smoothing=st.floats(0, 1),
    seed=st.integers(0, 2**63),
    options=st.sampled_from([(), (("log_target", True),), (("alpha", 0.5), ("mode", "x"))]),
)


@given(CASES)
def test_a_cell_id_reads_back_as_its_case(case):
    assert parse_cell(case.cell) == case
    assert parse_cell(case.cell + "#variant") == case
    assert case_from_dict(case_to_dict(case)) == case


def test_the_documented_id():
    case = Case(batch=1024, classes=32000, dtype="bfloat16", regime="confident")
    assert case.cell == "cross_entropy/1024x32000/bfloat16/cpu/confident/forward_backward/mean"


def test_axes_away_from_their_default_are_appended_in_order():
    case = Case(batch=4, classes=5, weight="zeros", ignored=0.5)
    assert case.cell.endswith("/mean/ignored=0.5/weight=zeros")


def test_a_linear_loss_has_features_between_batch_and_classes():
    case = Case(loss="linear_cross_entropy", batch=4, features=8, classes=16)
    assert parse_cell(case.cell) == case


@pytest.mark.parametrize("text", ["", "nonsense", "a/b/c/d/e/f/g", "cross_entropy/4/float32/cpu/normal/forward/mean"])
def test_what_is_no_cell_id_is_refused(text):
    with pytest.raises(UnknownReferenceError, match="cell id"):
        parse_cell(text)


CASE = Case(batch=8, classes=4096, dtype="bfloat16", device="cuda:1")


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("gradient", True),
        ("grad*", True),
        ("agreement|gradient", True),
        ("agreement", False),
        ("gradient[dtype=bfloat16]", True),
        ("gradient[dtype=float16|bfloat16,device=cuda]", True),
        ("gradient[device=cpu]", False),
        ("gradient[dtype!=bfloat16]", False),
        ("gradient[classes>=4096]", True),
        ("gradient[classes>4096]", False),
        ("gradient[label_smoothing=0]", True),
        ("gradient[label_smoothing>0]", False),
        ("gradient[region=target]", False),
        ("gradient[dims=0]", True),
    ],
)
def test_expectations_cover_what_they_say(text, covered):
    assert parse_expectation(text, "why").covers("gradient", CASE) is covered


@pytest.mark.parametrize("text", ["", "gradient[", "gradient[dtype]", "gradient[colour=red]", "gradient[classes>many]"])
def test_unreadable_expectations_are_refused(text):
    with pytest.raises(UsageError):
        parse_expectation(text, "why")


def test_an_expectation_needs_a_reason():
    with pytest.raises(UsageError, match="reason"):
        parse_expectation("gradient", " ")


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.PASSED, Status.DECLARED, Status.UNSUPPORTED], 0),
        ([Status.PASSED, Status.FAILED], 1),
        ([Status.PASSED, Status.CRASHED], 1),
        ([Status.UNAVAILABLE], 3),
        ([Status.UNSUPPORTED, Status.SKIPPED], 3),
        ([], 3),
    ],
)
def test_exit_statuses(statuses, code):
    assert exit_code(statuses) == code


def test_the_worst_status_is_the_most_severe():
    assert worst([Status.PASSED, Status.RAISED, Status.DECLARED]) is Status.RAISED


def test_outcomes_and_descriptions_survive_json():
    outcome = Outcome(
        case=CASE,
        implementation="x",
        kind=JUDGED,
        check="gradient",
        status=Status.FAILED,
        reason="r",
        variant="v",
        metrics={"error": 1.0},
        traceback="t",
    )
    assert outcome_from_dict(outcome_to_dict(outcome)) == outcome
    description = Implementation(
        name="x",
        loss="cross_entropy",
        reference="m:x",
        options=("weight",),
        expect=(parse_expectation("gradient", "r"),),
    )
    assert implementation_from_dict(implementation_to_dict(description)) == description


def test_every_error_has_an_exit_status():
    def tree(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    assert {kind.exit_code for kind in tree(HarnessError)} <= {1, 2, 3}
