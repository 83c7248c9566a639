"""What fused_triton plans, at an H200's size: 132 multiprocessors of 65,536 registers and 2048 threads, 50 MB of L2."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

PLAN = Path(__file__).parents[2] / "implementations" / "fused_triton" / "plan.py"
SPEC = importlib.util.spec_from_file_location("fused_triton_plan_under_test", PLAN)
plan = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = plan
SPEC.loader.exec_module(plan)

H200 = plan.H200
ROWS = [1, 7, 8, 131, 264, 8192, 65536]
CLASSES = [1, 2, 10, 17, 513, 1000, 4096, 4097, 8192, 8193, 32000, 50257, 128256, 262144, 2**31]
STRATEGIES = ["auto", "recompute", "resident", "capped", "three_pass"]


def problem(rows, classes, itemsize=2, **changes):
    vector = 16 // itemsize
    made = plan.Problem(rows=rows, classes=classes, itemsize=itemsize, vector=vector, edges=classes % vector != 0)
    return replace(made, **changes)


def every_launch(asked, device):
    yield plan.forward_launch(asked, device)
    for skippable in (False, True):
        yield plan.backward_launch(asked, device, skippable=skippable)
    for strategy in STRATEGIES:
        yield plan.fused_launch(asked, device, strategy)


@pytest.mark.parametrize("device", [H200, plan.INTERPRETER, plan.Device(multiprocessors=1, l2_bytes=1, tile=64)])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_every_launch_covers_every_class_of_every_row(device, itemsize):
    for rows, classes in itertools.product(ROWS, CLASSES):
        asked = problem(rows, classes, itemsize)
        for launch in every_launch(asked, device):
            assert launch.block & (launch.block - 1) == 0
            assert launch.num_warps in (4, 8, 16, 32)
            if launch.kernel == "rows":
                assert launch.block >= classes
                assert launch.programs * launch.rows >= rows
                continue
            assert launch.parts * launch.slice >= classes
            assert launch.slice % 16 == 0
            assert launch.programs == launch.parts * launch.groups
            assert 1 <= launch.groups <= rows
            assert launch.slice <= launch.block or not launch.resident
            assert launch.programs < 2**31


@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_programs_that_wait_for_one_another_all_fit_the_device(itemsize):
    waiting = 0
    for rows, classes, strategy in itertools.product(ROWS, CLASSES, STRATEGIES):
        launch = plan.fused_launch(problem(rows, classes, itemsize), H200, strategy)
        if launch.finish != "wait":
            assert launch.parts == 1
            continue
        waiting += 1
        together = -(-launch.programs // H200.multiprocessors)
        assert together * 32 * launch.num_warps <= H200.threads
        assert together * 32 * launch.num_warps * launch.max_registers <= H200.registers
    assert waiting > 20


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("streams", [1, 2, 3])
def test_tiles_under_way_of_programs_that_wait_fit_shared_memory(itemsize, streams):
    stages = []
    for shared in (48, 99, 164, 227):
        device = replace(H200, shared_bytes=shared * 1024)
        launch = plan.fused_launch(problem(8192, 128256, itemsize, streams=streams), device, "capped")
        together = -(-launch.programs // H200.multiprocessors)
        tile = launch.block * itemsize * streams
        assert together * (1024 + (launch.stages - 1) * tile) <= device.shared_bytes
        stages.append(launch.stages)
    assert stages == sorted(stages)
    assert stages[-1] == 3


@pytest.mark.parametrize(("rows", "classes", "itemsize"), [
    (8192, 32000, 2), (8192, 128256, 2), (8192, 128256, 4), (8192, 262144, 4), (8192, 50257, 2), (300, 1000003, 4)
])  # fmt: skip
def test_live_rows_of_the_cached_kernel_take_at_most_0_56_of_the_second_level_cache(rows, classes, itemsize):
    launch = plan.fused_launch(problem(rows, classes, itemsize), H200, "auto")
    assert launch.cached
    assert launch.groups * classes * itemsize <= 0.56 * H200.l2_bytes
    assert launch.programs > H200.multiprocessors


def test_what_is_planned_for_the_shapes_of_the_published_tables():
    def seen(rows, classes, itemsize):
        launch = plan.fused_launch(problem(rows, classes, itemsize), H200, "auto")
        return launch.kernel, launch.rows, launch.parts, launch.finish, launch.resident

    assert seen(65536, 10, 2) == ("rows", 128, 1, "alone", False)
    assert seen(32768, 256, 2) == ("rows", 16, 1, "alone", False)
    assert seen(32768, 4096, 4) == ("rows", 1, 1, "alone", False)
    assert seen(8192, 8192, 2) == ("sweep", 1, 1, "alone", True)
    assert seen(32768, 16384, 2) == ("sweep", 1, 1, "alone", False)
    assert seen(8192, 128256, 2) == ("sweep", 1, 3, "wait", False)
    assert seen(8192, 128256, 4) == ("sweep", 1, 5, "wait", False)
    assert seen(8192, 262144, 4) == ("sweep", 1, 10, "wait", False)


def test_few_rows_are_split_over_the_device_forward_and_back():
    for rows, classes in ((1, 262144), (8, 128256), (32, 128256)):
        forward = plan.forward_launch(problem(rows, classes), H200)
        assert forward.finish == "last"
        assert min(4 * H200.multiprocessors, rows * classes // 2048) <= forward.programs + rows
        backward = plan.backward_launch(problem(rows, classes), H200, skippable=False)
        assert backward.programs >= H200.multiprocessors - 4
    assert plan.forward_launch(problem(8192, 128256), H200).finish == "alone"


def test_the_gradient_is_made_in_the_forward_pass_where_the_logits_outgrow_the_cache():
    assert not plan.gradient_in_forward(problem(32768, 256, 2), H200, "auto")
    assert plan.gradient_in_forward(problem(32768, 256, 4), H200, "auto")
    assert plan.gradient_in_forward(problem(8192, 128256, 2), H200, "auto")
    assert not plan.gradient_in_forward(problem(8192, 128256, 2), H200, "recompute")
    assert plan.gradient_in_forward(problem(8, 10, 2), H200, "three_pass")


def test_a_skipped_backward_pass_starts_few_programs():
    for rows, classes in ((8192, 32000), (8192, 262144), (65536, 50257)):
        launch = plan.backward_launch(problem(rows, classes), H200, skippable=True)
        assert launch.programs <= 8 * H200.multiprocessors


def test_rows_off_their_boundaries_share_a_program_only_while_short():
    assert plan.forward_launch(problem(8192, 511), H200).kernel == "rows"
    assert plan.forward_launch(problem(8192, 1023), H200).kernel == "sweep"
    assert plan.forward_launch(problem(8192, 1024), H200).kernel == "rows"
    assert plan.forward_launch(problem(8192, 1023, vector=1, edges=False), H200).kernel == "rows"


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 512, 513, 8192, 100_000])
def test_the_parts_of_the_weight_gradient_cover_every_row_once(rows):
    tile_rows, _, per_part = plan.weight_gradient_plan(rows, 50257)
    parts = -(-rows // per_part)
    assert per_part % tile_rows == 0
    assert (parts - 1) * per_part < rows <= parts * per_part
    assert parts <= 64


@pytest.mark.parametrize("rows", [0, 1, 7, 4096, 65536, 65537, 1_000_000])
def test_the_parts_of_a_sum_cover_every_row_once(rows):
    parts, per_part, block = plan.reduce_plan(rows)
    assert block & (block - 1) == 0
    assert parts == 1 or rows > 65536
    assert (parts - 1) * per_part < max(rows, 1)
    assert parts * per_part >= rows


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
