from pathlib import Path

from harness.suite import expand
from harness.suite.estimate import estimate
from harness.suite.schema import suite_of
from harness.suite.sizes import format_bytes, parse_bytes
from harness.suite.yaml_text import parse_document
from tests.suite.families import FAMILIES

CASES = (
    "cases: [{loss: cross_entropy, batch: 8, classes: 1000, device: [cpu, triton-interpreter], "
    "dtype: [float32, float16], regime: [normal, wide]}]"
)


def _estimate(extra: str = "", implementations: int = 3):
    suite = suite_of(parse_document(f"suite: x\ndescription: y\n{CASES}\n{extra}", Path("x.yaml")), FAMILIES)
    return estimate(suite, expand(suite, FAMILIES), FAMILIES, implementations=implementations)


def test_refused_cells_cost_nothing_and_interpreted_ones_are_not_timed() -> None:
    found = _estimate("timing: {max_seconds_per_cell: 4}")
    assert (found.cells, found.refused, found.timed) == (8, 2, 3)
    assert found.timing_seconds == 12
    assert found.peak_bytes == 800_000
    assert found.line() == (
        "8 cells (2 without meaning) × 3 implementations: "
        "judging about 1 s, timing 3 cells up to 12 s; memory up to 781 KiB"
    )


def test_what_is_not_asked_for_costs_nothing() -> None:
    assert _estimate("timing: none").timing_seconds == 0
    assert _estimate("checks: none").judging_seconds == 0
    assert "nothing to do" in _estimate("checks: none\ntiming: none").line()


def test_judging_grows_with_the_implementations() -> None:
    assert _estimate(implementations=6).judging_seconds == 2 * _estimate(implementations=3).judging_seconds


def test_cases_that_are_put_to_nobody_cost_nothing() -> None:
    suite = suite_of(parse_document(f"suite: x\ndescription: y\n{CASES}", Path("x.yaml")), FAMILIES)
    cases = expand(suite, FAMILIES)
    every = estimate(suite, cases, FAMILIES, implementations=3)
    one = estimate(suite, cases, FAMILIES, implementations=3, asked={cases[0]: 1})
    assert 0 < one.judging_seconds < every.judging_seconds / 3
    assert one.timed == 1
    nobody = estimate(suite, cases, FAMILIES, implementations=3, asked={})
    assert (nobody.judging_seconds, nobody.timed, nobody.peak_bytes, nobody.refused) == (0, 0, 0, 2)


def test_sizes_read_and_write() -> None:
    assert parse_bytes("8GiB") == 8 * 2**30
    assert parse_bytes("1.5 kb") == 1500
    assert parse_bytes(4096) == 4096
    assert [format_bytes(size) for size in (0, 1023, 1536, 3 * 2**30, 2**41)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3 GiB",
        "2 TiB",
    ]
