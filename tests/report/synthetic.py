"""Made-up runs for the tests of the report: no torch, no clock, the same every time."""

from __future__ import annotations

import random
from pathlib import Path

from harness.core.case import Case
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.store import RunFolder

IMPLEMENTATIONS = ("torch", "naive", "log_softmax_nll", "torch_compile", "fused_triton")
HOSTILE = "<script>alert(1)</script>|`x`\x1b[31m</script><img src=x onerror=alert(2)>"
HEADER = {
    "suite": {"name": "cpu", "source": "cpu.yaml", "text": "suite: cpu\ncases: []\n", "baseline": "torch"},
    "environment": {"platform": "Linux", "processor": "A CPU", "cores": 2, "packages": {"torch": "2.13.0"}},
    "git_revision": "0123abc",
    "command": ["python", "-m", "harness", "run", "cpu"],
    "notes": ["stale expectation of naive: stability[dtype=float64] did not show"],
}


def judged(
    case: Case, name: str, check: str, status: Status = Status.PASSED, *, variant: str = "", **metrics
) -> Outcome:
    value = {"agreement": "loss", "gradient": "grad_logits"}.get(check, "")
    figures = {
        "error": 1.5e-7, "budget": 4e-7, "ratio": 0.375, "region": "other", "worst_index": [3, 1],
        "ulp_error": 1.25, "grade": "tight", "required_grade": "standard", "seed": case.seed, "value": value,
        "expected": 2.25, "found": 2.2500002,
        "reproduce": f"python -m harness check {name} --cell '{case.cell}'", "seconds": 0.011,
    }  # fmt: skip
    reason = "" if status is Status.PASSED else f"{check} is {status.value}"
    traceback = "Traceback:\n  boom <b>" if status is Status.RAISED else None
    return Outcome(
        case=case, implementation=name, kind=JUDGED, check=check, status=status, reason=reason, variant=variant,
        metrics={**figures, **metrics}, traceback=traceback,
    )  # fmt: skip


def timed(
    case: Case, name: str, ratio: float, status: Status = Status.PASSED, *, reason: str = "", **metrics
) -> Outcome:
    if status is not Status.PASSED:
        return Outcome(
            case=case, implementation=name, kind=TIMED, check="timing", status=status, reason=reason, metrics={}
        )
    least = case.elements * 8
    median = 40.0 * case.elements / ratio
    figures = {
        "baseline": "torch", "median_ns": median, "speedup": ratio, "speedup_low": ratio * 0.985,
        "speedup_high": ratio * 1.012,
        "verdict": "faster" if ratio > 1.05 else "slower" if ratio < 0.95 else "same", "rounds": 120,
        "calls_per_sample": 4,
        "cache": "cold", "cache_reason": "",
        "peak_bytes": int(case.elements * 8 / ratio), "saved_bytes": case.elements * 4,
        "first_call_ns": 3e6 * ratio, "threads": 2, "least_bytes": least, "bandwidth_bytes_per_s": least / median * 1e9,
        "converged": True, "seconds": 0.6,
    }  # fmt: skip
    return Outcome(
        case=case, implementation=name, kind=TIMED, check="timing", status=Status.PASSED, metrics={**figures, **metrics}
    )


def cases(count: int = 50) -> list[Case]:
    shapes = [(64, 10), (64, 1000), (1024, 32000), (8192, 262144), (1024, 50257)]
    found = [
        Case(batch=batch, classes=classes, dtype=dtype, regime=regime, pass_=pass_, seed=seed)
        for seed in range(1 + count // 60)
        for pass_ in ("forward", "forward_backward", "backward")
        for dtype in ("float32", "bfloat16")
        for regime in ("normal", "confident")
        for batch, classes in shapes
    ]
    return found[:count]


def outcomes(count: int = 50, names: tuple[str, ...] = IMPLEMENTATIONS) -> list[Outcome]:
    draw, found = random.Random(1), []
    for case in cases(count):
        for place, name in enumerate(names):
            if name == "fused_triton":
                found.append(judged(case, name, "agreement", Status.UNSUPPORTED))
                continue
            wrong = name == "naive" and case.regime == "confident" and case.dtype == "bfloat16" and case.classes == 1000
            differs = name == "torch" and case.dtype == "bfloat16"
            found.append(judged(case, name, "agreement"))
            found.append(judged(case, name, "gradient", Status.DECLARED if differs else Status.PASSED))
            bad = {"error": float("nan"), "ratio": float("inf"), "grade": None} if wrong else {}
            found.append(judged(case, name, "stability", Status.FAILED if wrong else Status.PASSED, **bad))
            if not wrong:
                found.append(timed(case, name, 1.0 if place == 0 else draw.uniform(0.4, 3.0)))
            else:
                found.append(timed(case, name, 1.0, Status.SKIPPED, reason="not admitted: stability failed"))
    interpreted = Case(batch=8, classes=100, device="triton-interpreter")
    if "fused_triton" in names:
        found += [judged(interpreted, "fused_triton", "agreement"), judged(interpreted, "fused_triton", "gradient")]
    return found


def two_losses() -> list[Outcome]:
    """A run of two losses, each with a baseline of its own, and a check that nobody has heard of."""
    found = []
    for loss, base, mine in (("cross_entropy", "torch", "naive"), ("mse_loss", "torch_mse", "mine_mse")):
        for batch, classes in ((8, 10), (8, 100), (64, 10)):
            case = Case(loss=loss, batch=batch, classes=classes)
            for name, ratio in ((base, 1.0), (mine, 2.0)):
                found += [judged(case, name, check) for check in ("agreement", "gradient", "unheard_of")]
                found.append(timed(case, name, ratio, baseline=base))
    return found


def make_run(out: Path, found: list[Outcome] | None = None, header: dict | None = None) -> Path:
    with RunFolder.create(out, "cpu", HEADER if header is None else header) as folder:
        for outcome in outcomes() if found is None else found:
            if outcome.kind == TIMED and outcome.implementation == "torch":
                folder.append_samples(outcome.cell, {"torch": [100, 101, 99]}, {"torch": 4})
            folder.append(outcome)
        folder.update_header(ended="2026-01-01T00:00:00+00:00", seconds=12.5, exit_status=1)
        return folder.path
