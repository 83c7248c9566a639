"""Recorded calls on a CUDA device that is a fake: what is warmed up, recorded, replayed and put on the clock."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.arm import Arm
from harness.timing.meter import Meter
from harness.timing.replay import NoGraphError
from harness.timing.ring import make_ring

CASE = Case(batch=8, classes=16, pass_="forward")


class Device:
    """Records what runs between a graph's begin and end, and runs it again on replay."""

    def __init__(self, monkeypatch, refuses=False):
        self.log, self.refuses, device = [], refuses, self

        class Graph:
            calls: tuple[str, ...] = ()

            def replay(self):
                device.log.append(f"replay {len(self.calls)}")

        @contextlib.contextmanager
        def graph(recording, pool):
            if device.refuses:
                raise RuntimeError("operation not permitted when stream is capturing\nmore")
            before = len(device.log)
            yield
            recording.calls = tuple(device.log[before:])

        stream = SimpleNamespace(wait_stream=lambda other: None)
        for name, value in {
            "CUDAGraph": Graph, "graph": graph, "graph_pool_handle": object, "Stream": lambda: stream,
            "current_stream": lambda: stream, "stream": lambda one: contextlib.nullcontext(),
            "synchronize": lambda *_: device.log.append("wait"),
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)


def arm_on(device, pass_="forward"):
    case = CASE.with_pass(pass_)
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="cold", cache_bytes=8 * 16 * 4, requires_grad=True)

    def called(logits, target):
        device.log.append("call")
        return F.cross_entropy(logits, target)

    return Arm(called, case, ring, inputs.grad_output, meter=Meter(clock=lambda: 0, gauges=lambda: (0, 0))), ring


def test_one_graph_is_recorded_for_each_view_and_replayed_in_turn(monkeypatch):
    device = Device(monkeypatch)
    arm, ring = arm_on(device)
    arm.record()
    assert device.log.count("call") == 3 + len(ring.pairs)
    device.log.clear()
    arm(4)
    assert device.log == ["replay 1"] * 4


def test_a_backward_alone_is_not_recorded(monkeypatch):
    device = Device(monkeypatch)
    arm, ring = arm_on(device, "backward")
    arm.record()
    arm(len(ring.pairs))
    assert device.log == ["call"] * len(ring.pairs)


def test_calls_that_cannot_be_recorded_are_named(monkeypatch):
    arm, _ = arm_on(Device(monkeypatch, refuses=True))
    with pytest.raises(
        NoGraphError, match=r"cannot be recorded as a CUDA graph: operation not permitted .* capturing$"
    ):
        arm.record()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pass_", ["forward_no_grad", "forward", "forward_backward"])
def test_a_replay_takes_no_longer_on_the_device_and_far_less_on_the_host(pass_):
    case = Case(batch=512, classes=1000, device="cuda", pass_=pass_)
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="warm", cache_bytes=1, requires_grad=pass_ != "forward_no_grad")
    figures = []
    for record in (False, True):
        arm = Arm(F.cross_entropy, case, ring, inputs.grad_output)
        arm(20)
        if record:
            arm.record()
            arm(20)
        arm.meter.forget()
        times = [arm(20) for _ in range(9)]
        figures.append((min(times), arm.meter.figures(20)["host_ns"]))
    assert figures[1][0] < 1.5 * figures[0][0]
    assert figures[1][1] < figures[0][1]
