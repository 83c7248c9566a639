"""Put every claim to the test in a worker; a claim that ends or hangs the worker costs itself alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.claims.model import Answer, Claim, Evidence, Finding
from harness.worker.process import Worker, WorkerLostError, Workers

#: Longest silence of one question; the longest honest one takes a tenth of it.
TIMEOUT_S = 120.0


def put_to_the_test(
    claims: Sequence[Claim], workers: Workers, *, threads: int, told: Callable[[Answer], None]
) -> tuple[Answer, ...]:
    """The answers to ``claims``, in order; ``told`` hears each as it comes."""
    worker: Worker | None = None
    found: list[Answer] = []
    try:
        for claim in claims:
            worker = worker or workers.start(environment={})
            try:
                found.append(_answer(claim, worker, threads))
            except WorkerLostError as lost:
                worker.close()
                worker = None
                found.append(Answer(claim=claim, findings=(), fault=lost.reason))
            told(found[-1])
    finally:
        if worker is not None:
            worker.close()
    return tuple(found)


def _answer(claim: Claim, worker: Worker, threads: int) -> Answer:
    job = {
        "job": "claims", "id": claim.id, "given": claim.given, "threads": threads,
        "questions": [asdict(question) for question in claim.questions],
    }  # fmt: skip
    findings: dict[int, Finding] = {}
    fault = ""
    for message in worker.request(job, timeout_s=TIMEOUT_S):
        fault = fault or message.get("fault") or message.get("internal") or ""
        if "question" in message:
            findings[message["question"]] = _finding(claim, message)
    if not fault and len(findings) < len(claim.questions):
        fault = "the worker gave no answer"
    return Answer(claim=claim, findings=tuple(findings[index] for index in sorted(findings)), fault=fault)


def _finding(claim: Claim, message: Mapping[str, Any]) -> Finding:
    evidence = tuple(Evidence(**line) for line in message["evidence"])
    return Finding(question=claim.questions[message["question"]], holds=message["holds"], evidence=evidence)
