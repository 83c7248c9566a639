"""Explain jobs: the terms of one verdict's budget; no implementation has a part in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.case import case_from_dict
from harness.losses.evaluators import explainer
from harness.losses.inputs import build_inputs
from harness.worker.child import Say
from harness.worker.trials import rounding_ulps


def explain(job: Mapping[str, Any], say: Say) -> None:
    """Send ``{"terms": {name: amount}}`` for the entry that the job names, or ``{"refused": why}``."""
    case = case_from_dict(job["case"])
    say({"stage": f"explaining {case.cell}", "cell": case.cell})
    try:
        terms = explainer(case.loss)(
            case, build_inputs(case), value=job["value"], region=job["region"], index=tuple(job["index"]),
            grade=job["grade"], rounding_ulps=rounding_ulps(case), budget=job["budget"],
        )  # fmt: skip
    except ValueError as error:
        say({"refused": str(error)})
        return
    say({"terms": terms})
