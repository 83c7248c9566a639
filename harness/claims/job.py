"""The worker's side: make a claim's values, put its questions, and send the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from harness.claims import sweeps, verbs
from harness.claims.steps import make_values
from harness.core.errors import HarnessError
from harness.worker.child import Say

VERBS = {**verbs.VERBS, **sweeps.VERBS}


def answer(job: Mapping[str, Any], say: Say) -> None:
    """Answer the questions of one claim, each as one message: whether it holds, and the evidence."""
    torch.set_num_threads(int(job["threads"]))
    try:
        values = make_values(job["given"])
        for index, question in enumerate(job["questions"]):
            say({"stage": f"question {index + 1} ({question['verb']})", "culprit": job["id"]})
            holds, lines = VERBS[question["verb"]](question["parameters"], values)
            say({"question": index, "holds": holds, "evidence": [asdict(line) for line in lines]})
    except HarnessError as error:
        say({"fault": str(error)})
    except Exception as error:  # torch refuses a step: the file asks what cannot be
        say({"fault": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"})
