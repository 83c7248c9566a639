"""Machine jobs: ceilings and the self-check of a timing process, for a run and for the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.hardware.gpu import gpu_clocks
from harness.timing.ceilings import measure_ceilings
from harness.timing.selfcheck import case_for, facts, sample_planted, self_check
from harness.worker.child import Say


def measure_machine(job: Mapping[str, Any], say: Say) -> None:
    """Do each of the job's ``tasks`` on its ``device``.

    ``ready`` loads torch, ``ceilings`` and ``selfcheck`` measure, ``noise`` sends per-call times of a baseline,
    its twin and a planted slowdown, as many rounds as the seconds hold.
    """
    device = job["device"]
    torch.set_num_threads(job["threads"])
    cache_bytes = _cache_bytes(device, job["cache_bytes"])
    for task in job["tasks"]:
        say({"stage": f"{task} of {device}", "culprit": ""})
        if task == "ceilings":
            found = measure_ceilings(
                device, cache_bytes=cache_bytes, dtypes=job["dtypes"], matrices=job.get("matrices", False)
            )
            if device.startswith("cuda"):
                found["clocks"] = gpu_clocks(torch.device(device).index or 0, cuda_uuid(device))
            say({"ceilings": found})
        elif task == "selfcheck":
            say({"selfcheck": facts(self_check(device, cache_bytes=cache_bytes, seconds=job.get("seconds", 1.5)))})
        elif task == "noise":
            samples = sample_planted(
                case_for(device),
                cache_bytes=cache_bytes,
                seconds=job["seconds"],
                max_rounds=job["max_rounds"],
                width=0.0,
            )
            per_call = {name: samples.per_call_ns(name) for name in samples.total_ns}
            say({"noise": per_call, "sampled_seconds": samples.sampled_ns / 1e9})
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def cuda_uuid(device: str) -> str:
    """What NVML knows ``device`` by; empty on the CPU.

    Its number there is another one where CUDA_VISIBLE_DEVICES or CUDA's own order of devices differ.
    """
    if not device.startswith("cuda"):
        return ""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))


def _cache_bytes(device: str, host: int) -> int:
    if device.startswith("cuda"):
        return int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)) or host
    return host
