"""Fit jobs: does one call on so many rows fit into memory? Values do not matter, so rows are repeated, not drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness.core.case import Case, case_from_dict
from harness.core.implementation import implementation_from_dict
from harness.inputs.build import Inputs
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs
from harness.registry.load import load_callable
from harness.timing.memory import measure_memory
from harness.worker.candidate import Candidate, CandidateError, is_out_of_memory
from harness.worker.child import Say

#: Rows that are drawn; a prime, so that no other size is taken for the number of rows.
DRAWN = 61


def probe_or_try(job: Mapping[str, Any], say: Say) -> None:
    """Call the implementation once on ``batch`` rows.

    Sends ``{"fits"}``; with ``probe``, ``{"per_row_bytes", "own_bytes", "free_bytes"}``: what a row of inputs and of
    the call takes, what this process takes without them, and (CUDA) what is free. Another failure is ``{"raised"}``.
    """
    case = case_from_dict(job["case"])
    description = implementation_from_dict(job["implementation"])
    torch.set_num_threads(job["threads"])
    if case.device.startswith("cuda") and job.get("limit_bytes"):
        total = torch.cuda.get_device_properties(case.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, job["limit_bytes"] / total), case.device)
    say({"stage": f"call of {description.name} on {case.batch} rows", "culprit": description.name, "cell": case.cell})
    try:
        candidate = Candidate(description=description, target=load_callable(description), family=families()[case.loss])
        if job["probe"]:
            say(_probe(candidate, case))
            return
        inputs = enlarged(build_inputs(replace(case, batch=DRAWN)), case.batch)
        candidate.answer(case, inputs)
        if case.device.startswith("cuda"):
            torch.cuda.synchronize(case.device)
    except BaseException as error:  # strangers' code
        full = error.status.value == "out_of_memory" if isinstance(error, CandidateError) else is_out_of_memory(error)
        say({"fits": False} if full else {"raised": str(error)})
        return
    say({"fits": True})


def enlarged(inputs: Inputs, batch: int) -> Inputs:
    """``inputs`` of ``DRAWN`` rows with those rows over and over, ``batch`` in all."""
    rows = {
        name: tensor for name, tensor in inputs.tensors().items()
        if tensor.dim() and len(tensor) == DRAWN and name != "weight"
    }  # fmt: skip
    return inputs.changed({name: _repeated(tensor, batch) for name, tensor in rows.items()})


def _repeated(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    into = torch.empty((batch, *tensor.shape[1:]), dtype=tensor.dtype, device=tensor.device)
    for start in range(0, batch, len(tensor)):
        block = into[start : start + len(tensor)]
        block.copy_(tensor[: len(block)])
    return into


def _probe(candidate: Candidate, case: Case) -> dict[str, Any]:
    own = _own_bytes(case)
    small = replace(case, batch=DRAWN)
    inputs = build_inputs(small)
    function = candidate.function(small, inputs)
    trained = candidate.family.gradients(small)[1:]
    measure_memory(function, small, inputs, trained)  # what is allocated once, at the first call, is no row's
    peak = measure_memory(function, small, inputs, trained)["peak_bytes"]
    given = sum(tensor.numel() * tensor.element_size() for tensor in inputs.tensors().values())
    free = torch.cuda.mem_get_info(case.device)[0] if case.device.startswith("cuda") else 0
    return {"per_row_bytes": (given + peak) / DRAWN, "own_bytes": own, "free_bytes": free}


def _own_bytes(case: Case) -> int:
    """Memory of this process that counts against its limit (RLIMIT_DATA) before anything is allocated for a call."""
    status = Path("/proc/self/status")
    if case.device.startswith("cuda") or not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
