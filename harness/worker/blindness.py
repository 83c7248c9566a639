"""Blindness jobs: what the checks of each case would catch; no implementation has a part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from harness.checks.blindness import sample_of, sights
from harness.core.case import case_from_dict
from harness.worker.child import Say
from harness.worker.trials import rounding_ulps


def blindness(job: Mapping[str, Any], say: Say) -> None:
    """Send ``{"seen": {"cell": …, "sights": […]}}`` for each of the job's cases."""
    torch.set_num_threads(job["threads"])
    for values in job["cases"]:
        case = case_from_dict(values)
        say({"stage": f"blindness of {case.cell}", "cell": case.cell})
        asked, inputs = sample_of(case)
        found = sights(asked, inputs, grade=job["grade"], rounding_ulps=rounding_ulps(case))
        say({"seen": {"cell": case.cell, "sights": [asdict(sight) for sight in found]}})
