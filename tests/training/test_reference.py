"""The reference runs: the oracle's loss trains, perturbations stay within the budget, planted errors do not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.losses.cross_entropy.evaluate import evaluate
from harness.training.names import PERTURBATIONS
from harness.training.reference import Capture, Deviation, oracle_loss


def answer(deviation: Deviation, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = logits.clone().requires_grad_()
    loss = oracle_loss(deviation)(x, target)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(20, (64,), generator=generator)
    target[::4] = -100
    return 3 * torch.randn(64, 20, generator=generator), target


def grade(rows: tuple[torch.Tensor, torch.Tensor], found: tuple[torch.Tensor, torch.Tensor]) -> str | None:
    case = Case(batch=64, classes=20, regime="captured")
    inputs = SimpleNamespace(logits=rows[0], target=rows[1], weight=None, grad_output=torch.ones(()))
    return evaluate(case, inputs, found[0], {"logits": found[1]}).grade


def test_the_oracle_backed_loss_is_cross_entropy_with_its_gradient(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    wide = rows[0].double().requires_grad_()
    loss = F.cross_entropy(wide, rows[1])
    (gradient,) = torch.autograd.grad(loss, wide)
    found = answer(Deviation(name="baseline"), *rows)
    torch.testing.assert_close(found[0], loss.detach().float(), rtol=2**-23, atol=0)
    torch.testing.assert_close(found[1], gradient.float(), rtol=2**-20, atol=1e-12)
    assert grade(rows, found) == "relative"


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_perturbed_loss_differs_and_is_one_that_the_judge_accepts(
    name: str, rows: tuple[torch.Tensor, torch.Tensor]
) -> None:
    exact, found = answer(Deviation(name="baseline"), *rows), answer(Deviation(name=name, signs=name), *rows)
    assert float((found[1] - exact[1]).abs().max()) > 0
    assert found[0] != exact[0]
    assert grade(rows, found) is not None
    assert bool((found[1][rows[1] == -100] == 0).all())


def test_a_planted_error_is_one_that_the_judge_refuses(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert grade(rows, answer(replace(Deviation(name="planted"), factor=1 + 1e-4), *rows)) is None


def test_a_capture_keeps_rows_that_count_evenly_over_the_calls() -> None:
    capture = Capture(calls=4, rows=40)
    for _ in range(4):
        target = torch.arange(50) % 3
        target[::2] = -100
        capture(torch.randn(50, 3), target)
    arrays = capture.arrays()
    assert arrays["logits"].shape == (40, 3)
    assert arrays["target"].min() >= 0
