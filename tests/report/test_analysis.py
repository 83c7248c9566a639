"""Short frames and the choice: what they say of a run whose figures are known."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import harness
from harness.core.case import Case
from harness.core.status import Status
from harness.report.rows import collect
from harness.report.tables import speed_groups
from harness.store import read_run
from tests.report.synthetic import judged, make_run, outcomes, timed, two_losses

SHAPES = ((64, 10), (64, 1000), (64, 100_000))


def found(ratios: dict[str, tuple[float, ...]], **figures: dict[str, float]) -> list:
    """One forward cell per shape; ``ratios`` has a speedup for each of them."""
    lines = []
    for place, (batch, classes) in enumerate(SHAPES):
        case = Case(batch=batch, classes=classes, pass_="forward")
        for name, values in {"torch": (1.0,) * 3, **ratios}.items():
            ratio = values[place]
            lines.append(
                judged(
                    case,
                    name,
                    "agreement",
                    Status.FAILED if math.isnan(ratio) else Status.PASSED,
                    **figures.get(name, {}),
                )
            )
            if not math.isnan(ratio):
                lines.append(
                    timed(
                        case,
                        name,
                        ratio,
                        speedup_low=ratio * 0.999,
                        speedup_high=ratio * 1.001,
                        **figures.get(name, {}),
                    )
                )
    return lines


def load(tmp_path, lines) -> pd.DataFrame:
    return harness.load(make_run(tmp_path, lines))


@pytest.fixture(scope="module")
def frame(tmp_path_factory) -> pd.DataFrame:
    return harness.load(make_run(tmp_path_factory.mktemp("results"), outcomes(50)))


def test_speedup_has_a_row_per_cell_and_a_column_per_rival_beside_the_baseline(frame):
    table = harness.speedup(frame)
    assert table.columns[0] == "baseline_median_ns"
    assert set(table.columns[1:]) == {"naive", "log_softmax_nll", "torch_compile"}
    assert len(table) == 50
    shapes = list(dict.fromkeys(table.index.get_level_values("shape")))
    assert shapes[:2] == ["64x10", "64x1000"]


def test_speedup_shows_nothing_where_the_answer_was_wrong(tmp_path):
    table = harness.speedup(load(tmp_path, found({"mine": (2.0, math.nan, 4.0)})))
    assert table["mine"].isna().tolist() == [False, True, False]


def test_short_frames_print_every_column(frame):
    for table in (harness.speedup(frame), harness.accuracy(frame), harness.compare(frame, frame)):
        text = str(table)
        assert "..." not in text.splitlines()[0]
        assert all(str(name) in text for name in table.columns)


def test_accuracy_names_the_worst_cell(tmp_path):
    case = Case(batch=4, classes=5)
    lines = [
        judged(case, "mine", "agreement"),
        judged(case, "mine", "gradient", ratio=0.9, ulp_error=7.0, region="target"),
    ]
    row = harness.accuracy(load(tmp_path, lines)).loc[("mine", "float32", "gradient")]
    assert (row["ulp_error"], row["ratio"], row["region"], row["grade"], row["cell"]) == (
        7.0,
        0.9,
        "target",
        "tight",
        case.cell,
    )


def test_frames_of_a_run_of_nothing_are_empty(tmp_path):
    empty = load(tmp_path, [])
    for table in (
        harness.speedup(empty),
        harness.accuracy(empty),
        harness.compare(empty, empty),
        harness.choose(empty).winners,
    ):
        assert len(table) == 0
        assert str(table) is not None


def test_compare_tells_what_got_slower_faster_wrong_and_right(tmp_path):
    old = load(tmp_path / "a", found({"mine": (2.0, 2.0, math.nan), "other": (1.0, 1.0, 1.0)}))
    new = load(tmp_path / "b", found({"mine": (2.5, math.nan, 2.0), "other": (0.8, 1.0005, 1.0)}))
    changes = harness.compare(old, new).reset_index().set_index(["implementation", "cell"])["change"]
    mine = [changes["mine", Case(batch=b, classes=c, pass_="forward").cell] for b, c in SHAPES]
    other = [changes["other", Case(batch=b, classes=c, pass_="forward").cell] for b, c in SHAPES]
    assert mine == ["faster", "wrong", "right"]
    assert other == ["slower", "same", "same"]


def test_compare_tells_what_is_new_and_what_is_gone(tmp_path):
    old, new = load(tmp_path / "a", found({"mine": (2.0,) * 3})), load(tmp_path / "b", found({"other": (2.0,) * 3}))
    counts = harness.compare(old, new)["change"].value_counts()
    assert (counts["new"], counts["gone"], counts["same"]) == (3, 3, 3)


def test_compare_is_ambiguous_where_the_intervals_are_wide(tmp_path):
    def wide(folder):
        case = Case(batch=4, classes=5, pass_="forward")
        lines = [judged(case, n, "agreement") for n in ("torch", "mine")]
        return load(
            folder, [*lines, timed(case, "torch", 1.0), timed(case, "mine", 2.0, speedup_low=1.0, speedup_high=4.0)]
        )

    table = harness.compare(wide(tmp_path / "a"), wide(tmp_path / "b"))
    assert "ambiguous" in set(table["change"])


def test_the_winner_is_the_fastest_that_is_right_in_every_regime(tmp_path):
    lines = found({"mine": (2.0, 2.0, 2.0)})
    wrong = Case(batch=64, classes=10, pass_="forward", regime="confident")
    lines += [judged(wrong, "torch", "agreement"), judged(wrong, "mine", "agreement", Status.FAILED)]
    choice = harness.choose(load(tmp_path, lines))
    assert choice.winners["winner"].tolist() == ["torch", "mine", "mine"]
    out = choice.candidates.set_index(["shape", "implementation"])["excluded"]
    assert out["64x10", "mine"] == "failed at confident"


def test_limits_of_memory_and_error_exclude(tmp_path):
    lines = found(
        {"lean": (1.5,) * 3, "rough": (3.0,) * 3}, lean={"peak_bytes": 10}, rough={"ulp_error": 100.0, "peak_bytes": 5}
    )
    frame = load(tmp_path, lines)
    assert set(harness.choose(frame).winners["winner"]) == {"rough"}
    assert set(harness.choose(frame, max_ulp=8).winners["winner"]) == {"lean"}
    assert set(harness.choose(frame, max_ulp=8, max_memory_bytes=9).winners["winner"]) == {"none"}
    assert harness.choose(frame, pass_="backward").winners.empty


def test_crossovers_say_between_which_sizes_the_winner_changes_and_about_where(tmp_path):
    choice = harness.choose(load(tmp_path, found({"mine": (0.5, 2.0, 2.0)})))
    row = choice.crossovers.iloc[0]
    assert (row["below"], row["above"], row["axis"], row["from"], row["to"]) == ("torch", "mine", "classes", 10, 1000)
    assert row["crossover"] == pytest.approx(100, rel=0.05)


def test_the_pareto_set_holds_who_is_not_both_slower_and_larger(tmp_path):
    peaks = {"torch": 100, "fast": 200, "lean": 10, "bad": 300}
    ratios = {"fast": (3.0,) * 3, "lean": (0.5,) * 3, "bad": (0.4,) * 3}
    lines = found(ratios, **{name: {"peak_bytes": peak} for name, peak in peaks.items()})
    row = harness.choose(load(tmp_path, lines)).winners.iloc[0]
    assert set(row["pareto"].split(", ")) == {"torch", "fast", "lean"}


def test_the_largest_batch_that_fits_grows_with_the_limit(tmp_path):
    frame = load(tmp_path, found({}, torch={"peak_bytes": 6400}))
    largest = harness.choose(frame, max_memory_bytes=1 << 20).largest
    assert set(largest["largest_batch"]) == {(1 << 20) // 100}


def test_raw_samples_come_as_one_row_per_sample_in_ns_of_one_call(tmp_path):
    path = make_run(tmp_path, outcomes(2))
    samples = harness.samples(path)
    assert list(samples.columns) == ["cell", "implementation", "half", "round", "ns"]
    assert samples["ns"].tolist()[:3] == [25.0, 25.25, 24.75]
    assert harness.samples(path, cell="no such").empty


def test_several_losses_are_chosen_for_apart(tmp_path):
    frame = load(tmp_path, two_losses())
    choice = harness.choose(frame)
    won = choice.winners.set_index(["loss", "shape"])["winner"]
    assert set(won["cross_entropy"]) == {"naive"}
    assert set(won["mse_loss"]) == {"mine_mse"}
    assert set(harness.speedup(frame).index.get_level_values("loss")) == {"cross_entropy", "mse_loss"}


def test_without_an_interval_nobody_is_called_as_fast_and_the_fastest_median_is_marked(tmp_path):
    case = Case(batch=4, classes=5, pass_="forward")
    endless = {"speedup_low": 0.0, "speedup_high": math.inf}
    lines = [judged(case, name, "agreement") for name in ("torch", "mine", "slow")]
    lines += [timed(case, "torch", 1.0), timed(case, "mine", 4.0, **endless), timed(case, "slow", 0.4, **endless)]
    path = make_run(tmp_path, lines)
    assert set(harness.choose(harness.load(path)).winners["as_fast"]) == {"not told (too few rounds)"}
    assert speed_groups(collect(read_run(path)), {})[0].lines[0].best == {"mine"}
