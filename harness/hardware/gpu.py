"""Clocks and throttling of a CUDA device, by nvidia-ml-py where it is installed. Torch-free."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

#: Reasons of NVML for a lowered clock that make a sample worthless: hardware slowdown, power brake, too hot.
_THROTTLED = 0x08 | 0x20 | 0x40 | 0x80


def gpu_clocks(index: int = 0, uuid: str = "") -> dict[str, Any]:
    """Clocks now and at most, throttle reasons, temperature and power of a CUDA device; empty where nobody tells.

    The device is that of ``uuid`` where it is given, else number ``index`` of NVML's.
    """
    nvml = _nvml()
    if nvml is None:
        return {}
    try:
        handle = _handle(nvml, index, uuid)
        return {
            "sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "sm_clock_max_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "throttle_reasons": _reasons(nvml, handle),
            "temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": round(nvml.nvmlDeviceGetPowerUsage(handle) / 1000, 1),
        }
    except nvml.NVMLError:
        return {}


def throttle_reader(device: str, uuid: str = "") -> Callable[[], bool]:
    """A function that says whether samples taken just now count: False while ``device`` throttles.

    The device is that of ``uuid`` where it is given.

    Always True on the CPU, and where nvidia-ml-py is not installed (``gpu_clocks`` is then empty, and the run says so).
    """
    nvml = _nvml() if device.startswith("cuda") else None
    if nvml is None:
        return lambda: True
    try:
        handle = _handle(nvml, int(device.partition(":")[2] or 0), uuid)
    except nvml.NVMLError:
        return lambda: True

    def acceptable() -> bool:
        try:
            return not _reasons(nvml, handle) & _THROTTLED
        except nvml.NVMLError:
            return True

    return acceptable


def _handle(nvml: ModuleType, index: int, uuid: str) -> Any:
    if uuid:
        with contextlib.suppress(nvml.NVMLError):
            return nvml.nvmlDeviceGetHandleByUUID(uuid if "-" in uuid[:4] else f"GPU-{uuid}")
    return nvml.nvmlDeviceGetHandleByIndex(index)


def _reasons(nvml: ModuleType, handle: Any) -> int:
    read = (
        getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None) or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    )
    return int(read(handle))


def _nvml() -> ModuleType | None:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
