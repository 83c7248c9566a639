"""Equal values: NaN with NaN, and nothing across shapes and dtypes."""

import math

import pytest
import torch

from harness.numerics.same import same_values

NAN = math.nan


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN]), True),
        (torch.tensor([1.0, NAN]), torch.tensor([NAN, 1.0]), False),
        (torch.tensor([1.0, NAN]), torch.tensor([2.0, NAN]), False),
        (torch.tensor([0.0]), torch.tensor([-0.0]), True),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), True),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), False),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), False),
        (torch.tensor([1.0]), torch.tensor([[1.0]]), False),
        (torch.zeros(1).expand(3), torch.zeros(3), True),
        (torch.zeros(0), torch.zeros(0), True),
    ],
)
def test_same_values(one, other, same):
    assert same_values(one, other) is same
