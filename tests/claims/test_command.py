"""The command: verdicts and exit status, and docs/claims.md is what it writes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.claims.model import Answer, Claim, ClaimFile, Evidence, Finding, Question
from harness.claims.telling import FORMATS, TIMED_HEADING, as_csv, as_json, markdown
from harness.claims.testing import put_to_the_test
from harness.commands.claims import claims, load_claims
from harness.core.errors import UnknownReferenceError
from harness.worker.process import ProcessWorkers

ROOT = Path(__file__).resolve().parents[2]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def question(known: bool, verb: str = "between") -> Question:
    return Question(verb=verb, parameters={}, when="", known=known)


def claim(*known: bool) -> Claim:
    return Claim(
        id="one", statement="s", source="A", given={}, questions=tuple(question(k) for k in known), verdict="holds",
        why="w",
    )  # fmt: skip


def answer(*pairs: tuple[bool, bool | None]) -> Answer:
    """(known, found) of each question."""
    findings = tuple(
        Finding(question=question(known), holds=found, evidence=(Evidence(what="x", found="1", agrees=found),))
        for known, found in pairs
    )
    return Answer(claim=claim(*(known for known, _ in pairs)), findings=findings)


def test_a_verdict_sums_up_its_questions_and_noise_never_changes_it() -> None:
    assert answer((True, True), (True, True)).verdict == "holds"
    assert answer((False, False)).verdict == "does not hold"
    assert answer((True, True), (False, False)).verdict == "holds under these conditions"
    assert answer((True, None)).verdict == "holds"
    assert answer((True, None)).as_known
    assert answer((False, None)).as_known
    assert not answer((True, True), (True, False)).as_known
    assert not Answer(claim=claim(True), findings=(), fault="crashed").as_known


@pytest.mark.parametrize("form", ["text", "markdown", "json", "csv"])
def test_every_format_tells_verdict_and_evidence(form: str) -> None:
    file = ClaimFile(name="f", description="d", sources={"A": "a page"}, claims=(claim(True),), path=Path("f.yaml"))
    page = FORMATS[form](file, [answer((True, True))])
    assert "one" in page
    assert "holds" in page
    assert page.endswith("\n")


def test_json_and_csv_read_back() -> None:
    file = ClaimFile(name="f", description="d", sources={"A": "a page"}, claims=(claim(True),), path=Path("f.yaml"))
    found = json.loads(as_json(file, [answer((True, False))]))["claims"][0]
    assert found["verdict"] == "does not hold"
    assert found["as_known"] is False
    assert as_csv(file, [answer((True, False))]).splitlines()[1].startswith("one,A,does not hold,False")


WRONG = """\
suite: mine
description: what changed
sources: {A: a page}
claims:
  - id: changed
    statement: The half of 1 is 0.6.
    source: A
    given: {x: {values: 0.5}}
    tests:
      - equal_to_figure: {value: x, published: "0.6"}
    verdict: holds
    why: It was so.
  - id: impossible
    statement: This can be asked.
    source: A
    given: {x: {values: 0.5}, y: {softmax: [x], dim: 7}}
    tests:
      - between: {value: y, low: 0}
    verdict: holds
    why: It cannot.
"""


def test_a_changed_verdict_and_one_that_cannot_be_tested_exit_1(tmp_path: Path, workers: ProcessWorkers) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(WRONG)
    out = tmp_path / "found.json"
    assert claims(str(path), names=(), form="json", out=out, console=quiet(), workers=workers) == 1
    found = {one["id"]: one for one in json.loads(out.read_text())["claims"]}
    assert found["changed"]["verdict"] == "does not hold"
    assert found["impossible"]["verdict"] == "not tested"
    assert "IndexError" in found["impossible"]["fault"]


def test_a_claim_that_is_not_there_is_named_with_what_there_is() -> None:
    with pytest.raises(UnknownReferenceError, match=r"sigmoid\.tails"):
        claims("tutorials", names=("sigmoid.tail",), form="text", out=None, console=quiet())


def test_docs_claims_is_what_the_command_writes(workers: ProcessWorkers) -> None:
    read = load_claims("tutorials")
    settled = [claim for claim in read.claims if not claim.timed]
    answers = put_to_the_test(settled, workers, threads=1, told=lambda _: None)
    assert [answer.claim.id for answer in answers if not answer.as_known] == []
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert markdown(read, answers).strip() == page.partition(TIMED_HEADING)[0].strip()


def test_the_timed_claims_stand_in_the_page_too() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").partition(TIMED_HEADING)[2]
    timed = [claim.id for claim in load_claims("tutorials").claims if claim.timed]
    assert timed
    assert all(f'id="{name}"' in page for name in timed)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("claims", "--claim", "sigmoid.figure"), 0, "1 claims: 1 holds; all as known"),
        (("claims", "--claim", "sigmoid.tail"), 2, "did you mean 'sigmoid.tails'"),
        (("claims", "nowhere"), 2, "no suite of that name"),
        (("run", "tutorials"), 2, "python -m harness claims tutorials"),
        (("check", "torch", "--suite", "training"), 2, "python -m harness run training --implementation REF"),
        (("run", "cpu", "--capture", "met.npz"), 2, "this suite trains nothing"),
    ],
)
def test_from_the_command_line(arguments: tuple[str, ...], code: int, said: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, env=environment, cwd=ROOT,
        check=False, timeout=300,
    )  # fmt: skip
    assert said in done.stdout + done.stderr
    assert done.returncode == code
