from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

PLAN = Path(__file__).parents[2] / "implementations" / "fused_triton" / "plan.py"
SPEC = importlib.util.spec_from_file_location("fused_triton_plan_under_test", PLAN)
plan = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = plan
SPEC.loader.exec_module(plan)

CLASSES = [1, 2, 10, 16, 17, 1000, 4096, 8192, 8193, 32000, 50257, 262144, 2**31]


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_tiles_are_powers_of_two_that_registers_hold(classes, itemsize):
    tile = plan.launch_plan(classes, itemsize)
    for size in (tile.rows, tile.block, tile.num_warps):
        assert size & (size - 1) == 0
    assert 16 <= tile.block <= 8192
    assert tile.rows * tile.block * max(4, itemsize) <= 32768
    assert tile.num_warps in (4, 8)


@pytest.mark.parametrize("classes", CLASSES)
def test_long_rows_have_a_program_of_their_own_and_short_ones_fit_one_block(classes):
    tile = plan.launch_plan(classes, 4)
    assert (tile.block >= classes) or (tile.rows == 1)


def test_the_grid_covers_every_row_and_class():
    tile = plan.launch_plan(10, 4)
    assert tile.grid(1, 10) == (1, 1)
    assert tile.grid(tile.rows + 1, 10) == (2, 1)
    assert plan.launch_plan(32000, 2).grid(7, 32000) == (7, 4)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 512, 513, 8192, 100_000])
def test_the_parts_of_the_weight_gradient_cover_every_row_once(rows):
    tile, per_part = plan.weight_gradient_plan(rows, 50257)
    parts = -(-rows // per_part)
    assert per_part % tile.rows == 0
    assert (parts - 1) * per_part < rows <= parts * per_part
    assert parts <= 64


def test_dimensions_collapse_exactly_when_one_stride_walks_them():
    tensor = torch.empty(2, 5, 3, 4)
    shape = tensor.shape[2:]
    assert plan.collapsed_stride(shape, tensor.stride()[2:]) == 1
    assert plan.collapsed_stride(shape, tensor.movedim(1, -1).contiguous().movedim(-1, 1).stride()[2:]) == 5
    assert plan.collapsed_stride(shape, tensor.transpose(2, 3).contiguous().transpose(2, 3).stride()[2:]) is None
    assert plan.collapsed_stride((), ()) == 0
    assert plan.collapsed_stride((1, 1), (99, 7)) == 0
    assert plan.collapsed_stride((3, 1), (8, 99)) == 8
    assert plan.collapsed_stride((2, 3), (0, 0)) == 0
    assert plan.collapsed_stride((2, 3), (0, 1)) is None
