"""Ask a worker for the call behind a verdict, turn it into a script, and run the script to see that it shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.errors import InternalError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.hardware.host import usable_cores
from harness.search.bundle import bundle
from harness.search.script import script
from harness.worker.process import WorkerLostError, Workers

#: Longest wait for the check that is asked once more, and for the script.
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """``text`` is the script (None where no single call shows the fault), ``shows`` whether it exited 1 when run here,
    ``printed`` what it printed, and ``note`` what to know of it."""

    text: str | None
    shows: bool
    printed: str = ""
    note: str = ""


def reproduce(
    implementation: Implementation, case: Case, check: str, workers: Workers, *, grade: str = "standard",
    torch: Implementation | None = None,
) -> Reproduction:  # fmt: skip
    """Judge ``case`` by ``check`` once more and make a script of the first call that goes wrong; the script is run."""
    try:
        captured = _captured(implementation, case, check, workers, grade, torch)
    except WorkerLostError as lost:
        captured = _captured(implementation, case, check, workers, grade, torch, lost=lost.reason)
    if captured["fault"] is None:
        why = f"; it found: {captured['reason']}" if captured["reason"] else "; asked again, it found nothing wrong"
        return Reproduction(text=None, shows=False, note=f"no single call shows what check {check} looks at{why}")
    text = script(captured, bundle(implementation.reference, Path.cwd()), implementation.name)
    code, printed = run_script(text)
    shows = code == 1 and "FAIL: " in printed
    note = "" if shows else f"run here, the script exits {code} and does not show the failure: {printed[-300:]}"
    return Reproduction(text=text, shows=shows, printed=printed, note=note)


def run_script(text: str) -> tuple[int, str]:
    """(exit status, output) of a script run isolated, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repro.py"
        path.write_text(text, encoding="utf-8")
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TRITON_INTERPRET")}
        command = [sys.executable, "-I", str(path)]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return 124, f"it ran for more than {TIMEOUT_S:g} s"
    return done.returncode, (done.stdout + done.stderr).strip()


def _captured(
    implementation: Implementation, case: Case, check: str, workers: Workers, grade: str,
    torch: Implementation | None, lost: str = "",
) -> Mapping[str, Any]:  # fmt: skip
    interpreted = case.device == INTERPRETER
    worker = workers.start(environment={"TRITON_INTERPRET": "1"} if interpreted else {})
    job = {
        "job": "capture_lost" if lost else "capture", "lost": lost,
        "implementation": implementation_to_dict(implementation), "case": case_to_dict(case),
        "check": check, "grade": grade, "threads": usable_cores(),
        "torch": None if torch is None else implementation_to_dict(torch),
    }  # fmt: skip
    try:
        for message in worker.request(job, timeout_s=TIMEOUT_S):
            if "captured" in message:
                return message["captured"]
            if "internal" in message:
                raise InternalError(f"while capturing {case.cell}: {message['internal']}", message["traceback"])
    finally:
        worker.close()
    raise InternalError(f"while capturing {case.cell}: the worker sent nothing", "")
