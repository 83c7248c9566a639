import numpy as np

from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import FORMATS
from harness.numerics.tally import Comparison, Tally


def compare(truth, found, budgets, fmt="float32", tally=None, **kwargs):
    tally = tally or Tally("loss", "loss", FORMATS[fmt])
    compared = Comparison(truth=np.asarray(truth), found=np.asarray(found), locate=lambda at: (at,))
    made = {grade: (lambda b=b: np.array(b, dtype=float)) for grade, b in budgets.items()}
    tally.add(compared, made, **kwargs)
    return tally


def test_the_worst_entry_is_that_of_the_largest_ratio():
    report = compare([1.0, 2.0, 3.0], [1.1, 2.3, 3.2], {"standard": [1.0, 0.1, 0.01]}).report()
    worst = report.worst["standard"]
    assert worst.index == (2,)
    assert (round(worst.error, 12), worst.expected, worst.found, worst.violations) == (0.2, 3.0, 3.2, 2)
    assert report.ulp_error == worst.error / 2.0**-22


def test_a_stricter_grade_keeps_its_count_where_a_later_block_gives_none():
    tally = compare([1.0], [1.5], {"standard": [1.0], "tight": [0.1]})
    compare([1.0], [1.0], {"standard": [0.0]}, tally=tally)
    report = tally.report()
    assert [report.worst[g].violations for g in ("relative", "tight", "standard")] == [1, 1, 0]
    assert report.entries == 2
    assert Evaluation(regions=(report,)).grade == "standard"


def test_an_exact_region_allows_no_error():
    exact = {"standard": [0.0, 0.0]}
    assert compare([0.0, 0.0], [0.0, -0.0], exact).report().earns("relative")
    report = compare([0.0, 0.0], [0.0, 1e-300], exact).report()
    assert report.worst["standard"].ratio == np.inf
    assert not report.earns("standard")


def test_classes_that_differ_are_mismatches_whatever_the_budget():
    inf, nan = np.inf, np.nan
    report = compare([inf, nan, -inf, 1.0, 1.0], [inf, nan, inf, nan, inf], {"standard": [inf] * 5}).report()
    # the budget of the last entry reaches beyond the largest value, so its inf is right
    assert report.mismatches == 2
    assert report.first_mismatch.index == (2,)


def test_inf_is_right_for_an_exact_result_beyond_the_largest_value():
    budgets = {"standard": [40.0, 40.0, 40.0, 40.0]}
    report = compare(
        [70000.0, 65490.0, 65400.0, 70000.0], [np.inf, np.inf, np.inf, 69990.0], budgets, "float16"
    ).report()
    assert (report.mismatches, report.first_mismatch.index) == (1, (2,))
    assert report.worst["standard"].error == 10.0


def test_an_intermediate_that_overflows_in_half_precision_earns_standard_alone():
    budgets = {"standard": [1.0], "tight": [1.0]}
    half = compare([100.0], [np.inf], budgets, "float16", overflow=True).report()
    assert (half.earns("standard"), half.earns("tight"), half.earns("relative")) == (True, False, False)
    assert compare([100.0], [np.inf], budgets, "float32", overflow=True).report().earns("relative")
    assert compare([100.0], [-np.inf], budgets, "float16", overflow=True).report().mismatches == 1


def test_skipped_entries_do_not_count():
    report = compare(
        [[1.0, 2.0]], [[np.nan, 2.0]], {"standard": [[1.0, 1.0]]}, skip=(np.array([0]), np.array([0]))
    ).report()
    assert (report.entries, report.mismatches) == (1, 0)


def test_no_entries_no_report():
    assert compare([], [], {"standard": []}).report() is None
