"""Clocks and throttling as a fake NVML tells them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from harness.hardware.gpu import gpu_clocks, throttle_reader


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """A machine of two GPUs; ``reasons`` says why each runs slower than it could."""
    fake = ModuleType("pynvml")
    fake.NVMLError, fake.NVML_CLOCK_SM, fake.NVML_CLOCK_MEM, fake.NVML_TEMPERATURE_GPU = NVMLError, 1, 2, 0
    fake.nvmlInit = lambda: None
    fake.reasons = {0: 0, 1: 0}
    fake.nvmlDeviceGetHandleByIndex = lambda index: index

    def by_uuid(uuid):
        if uuid not in ("GPU-aaaaaaaa-1", "GPU-bbbbbbbb-2"):
            raise NVMLError(uuid)
        return 0 if uuid == "GPU-aaaaaaaa-1" else 1

    fake.nvmlDeviceGetHandleByUUID = by_uuid
    fake.nvmlDeviceGetClockInfo = lambda handle, kind: 1000 * handle + kind
    fake.nvmlDeviceGetMaxClockInfo = lambda handle, kind: 1980
    fake.nvmlDeviceGetTemperature = lambda handle, kind: 50
    fake.nvmlDeviceGetPowerUsage = lambda handle: 123_456
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: fake.reasons[handle]
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_clocks_are_those_of_the_device_that_torch_means(nvml):
    assert gpu_clocks(0)["sm_clock_mhz"] == 1
    assert gpu_clocks(0, "bbbbbbbb-2")["sm_clock_mhz"] == 1001
    assert gpu_clocks(1, "unknown-0")["sm_clock_mhz"] == 1001
    assert gpu_clocks(0)["power_w"] == 123.5


@pytest.mark.parametrize("reason", [0x08, 0x20, 0x40, 0x80])
def test_samples_of_a_throttled_device_do_not_count(nvml, reason):
    acceptable = throttle_reader("cuda:0", "bbbbbbbb-2")
    assert acceptable()
    nvml.reasons = {0: reason, 1: 0}
    assert acceptable()
    nvml.reasons = {0: 0, 1: reason}
    assert not acceptable()


def test_idle_clocks_and_a_power_cap_are_no_throttling(nvml):
    nvml.reasons = {0: 0x01 | 0x02 | 0x04, 1: 0}
    assert throttle_reader("cuda")()


def test_a_driver_that_does_not_tell_discards_nothing(nvml):
    def fails(handle):
        raise NVMLError

    acceptable = throttle_reader("cuda")
    nvml.nvmlDeviceGetCurrentClocksEventReasons = fails
    assert acceptable()
