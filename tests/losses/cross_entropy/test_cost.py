"""Least bytes and memory against figures worked out by hand."""

import pytest

from harness.core.case import PASSES, Case
from harness.losses.cross_entropy.cost import cost, memory


@pytest.mark.parametrize(
    ("pass_", "read", "write"),
    [
        ("forward_no_grad", 2 * 4096 * 1000 + 8 * 4096, 2),
        ("forward", 2 * 4096 * 1000 + 8 * 4096, 2),
        ("backward", 2 * 4096 * 1000 + 8 * 4096 + 2, 2 * 4096 * 1000),
        ("forward_backward", 2 * 4096 * 1000 + 8 * 4096, 2 + 2 * 4096 * 1000),
    ],
)
def test_each_pass_reads_and_writes_the_logits_once_at_most(pass_: str, read: int, write: int) -> None:
    found = cost(Case(batch=4096, classes=1000, dtype="bfloat16", pass_=pass_))
    assert (found.read_bytes, found.write_bytes, found.flops) == (read, write, 0)


@pytest.mark.parametrize(("dtype", "per_logit"), [("bfloat16", (2, 4, 4)), ("float32", (4, 8, 8))])
def test_large_vocabularies_cost_the_published_bytes_per_logit(dtype: str, per_logit: tuple[int, ...]) -> None:
    for pass_, expected in zip(("forward", "backward", "forward_backward"), per_logit, strict=True):
        case = Case(batch=8192, classes=128256, dtype=dtype, pass_=pass_)
        assert cost(case).total_bytes / case.elements == pytest.approx(expected, rel=1e-3)


def test_at_ten_classes_targets_and_row_losses_count() -> None:
    found = cost(Case(batch=65536, classes=10, dtype="bfloat16", pass_="forward", reduction="none"))
    assert found.read_bytes == 65536 * (20 + 8)
    assert found.write_bytes == 65536 * 2


def test_probability_targets_are_read_like_logits_and_weights_once() -> None:
    plain = cost(Case(batch=8, classes=10, pass_="forward"))
    soft = cost(Case(batch=8, classes=10, pass_="forward", target="probability"))
    weighted = cost(Case(batch=8, classes=10, pass_="forward", weight="skewed"))
    assert soft.read_bytes - plain.read_bytes == 8 * 10 * 4 - 8 * 8
    assert weighted.read_bytes - plain.read_bytes == 10 * 4


def test_logits_of_ignored_rows_need_not_be_read_but_their_gradient_is_written() -> None:
    found = cost(Case(batch=8, classes=10, ignored=1.0, pass_="backward"))
    assert found.read_bytes == 8 * 8 + 4
    assert found.write_bytes == 8 * 10 * 4


def test_an_empty_batch_and_dims_are_counted() -> None:
    assert cost(Case(batch=0, classes=10)).total_bytes == 4
    assert cost(Case(batch=2, classes=3, dims=(4, 5))).write_bytes == 4 + 2 * 3 * 4 * 5 * 4


@pytest.mark.parametrize("pass_", PASSES)
def test_judging_needs_more_than_the_inputs_and_less_than_fifty_copies(pass_: str) -> None:
    for device in ("cpu", "cuda"):
        case = Case(batch=4096, classes=32000, device=device, pass_=pass_)
        logits = case.elements * 4
        assert 4 * logits <= memory(case) <= 50 * logits


def test_on_the_cpu_the_oracle_counts_too() -> None:
    assert memory(Case(batch=64, classes=1000)) > memory(Case(batch=64, classes=1000, device="cuda:0"))
