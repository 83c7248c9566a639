"""Answers as text, markdown, JSON and CSV. What depends on the machine's speed stands in a section of its own."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from harness.claims.model import VERDICTS, Answer, ClaimFile, Evidence, Finding
from harness.hardware.host import environment

_MARK = {True: "yes", False: "**no**", None: ""}
#: The heading under which measured times stand; what is above it is the same in every run.
TIMED_HEADING = "## Claims about speed"


def text(claims: ClaimFile, answers: Sequence[Answer]) -> str:
    """One line for each claim, its evidence below, and a summary."""
    lines: list[str] = []
    for answer in answers:
        changed = "" if answer.as_known else f"  [changed: known as {answer.claim.verdict!r}]"
        lines += [f"{answer.verdict}: {answer.claim.id}{changed}", f"    {answer.claim.statement}"]
        lines += [f"    fault: {answer.fault}"] if answer.fault else []
        for finding in answer.findings:
            lines += [f"    when {finding.question.when}: {_word(finding)}"] if finding.question.when else []
            lines += [f"      {_line(line)}" for line in finding.evidence]
    return "\n".join([*lines, "", summary(answers)]) + "\n"


def summary(answers: Sequence[Answer]) -> str:
    """How many claims got which verdict, and how many changed."""
    counts = Counter(answer.verdict for answer in answers)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (*VERDICTS, "not tested") if counts[verdict])
    changed = sum(not answer.as_known for answer in answers)
    return f"{len(answers)} claims: {told}" + (f"; {changed} not as known" if changed else "; all as known")


def markdown(claims: ClaimFile, answers: Sequence[Answer]) -> str:
    """The page ``docs/claims.md``: verdicts first, then each claim with its evidence."""
    settled = [answer for answer in answers if not answer.claim.timed]
    timed = [answer for answer in answers if answer.claim.timed]
    parts = [
        "# Claims of tutorials, put to the test",
        f"{claims.description} Made by `python -m harness claims --format markdown --out docs/claims.md`; a test holds "
        "this page and the command together. A published figure agrees if the value found rounds to it: half a unit of "
        "its last digit is allowed, and what the rounding of printed inputs explains.",
        "\n".join(f"- Source {name}: {told}" for name, told in claims.sources.items()),
        "| claim | source | verdict |\n|---|---|---|\n" + "\n".join(_row(answer) for answer in settled),
        *(_section(answer) for answer in settled),
    ]
    if timed:
        parts += [TIMED_HEADING, _measured_on(environment()), *(_section(answer) for answer in timed)]
    return "\n\n".join(parts) + "\n"


def as_json(claims: ClaimFile, answers: Sequence[Answer]) -> str:
    """All of it, as one JSON document."""
    found = [
        {
            "id": answer.claim.id, "statement": answer.claim.statement, "source": answer.claim.source,
            "verdict": answer.verdict, "known": answer.claim.verdict, "as_known": answer.as_known,
            "fault": answer.fault, "why": answer.claim.why,
            "tests": [
                {"verb": f.question.verb, "when": f.question.when, "holds": f.holds, "known": f.question.known,
                 "evidence": [asdict(line) for line in f.evidence]}
                for f in answer.findings
            ],
        }
        for answer in answers
    ]  # fmt: skip
    return json.dumps({"suite": claims.name, "sources": dict(claims.sources), "claims": found}, indent=1) + "\n"


def as_csv(claims: ClaimFile, answers: Sequence[Answer]) -> str:
    """One row for each line of evidence."""
    stream = io.StringIO()
    names = ("claim", "source", "verdict", "as_known", "when", "holds", "what", "found", "published", "off", "agrees")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for answer in answers:
        head = (answer.claim.id, answer.claim.source, answer.verdict, answer.as_known)
        for finding in answer.findings:
            for line in finding.evidence:
                row = (line.what, line.found, line.published, line.off, line.agrees)
                writer.writerow((*head, finding.question.when, finding.holds, *row))
        if not answer.findings:
            writer.writerow((*head, "", "", answer.fault, "", "", "", ""))
    return stream.getvalue()


FORMATS = {"text": text, "markdown": markdown, "json": as_json, "csv": as_csv}


def _measured_on(machine: Mapping[str, Any]) -> str:
    load = (machine.get("load_average") or [0.0])[0]
    torch = machine["packages"].get("torch", "")
    return (
        f"Ratios from interleaved rounds, with their 99 % intervals, on {machine['cores']} cores of "
        f"{machine['processor']}, torch {torch}, with a load average of {load:.0f}. "
        "They differ from run to run and from machine to machine."
    )


def _row(answer: Answer) -> str:
    return f"| [{_cell(answer.claim.statement)}](#{answer.claim.id}) | {answer.claim.source} | {_verdict(answer)} |"


def _section(answer: Answer) -> str:
    claim = answer.claim
    parts = [
        f'<a id="{claim.id}"></a>\n\n### `{claim.id}`: {_verdict(answer)}',
        f"Source {claim.source}: {claim.statement}",
        claim.why if not answer.fault else f"Not tested: {answer.fault}",
    ]
    for _, group in groupby(answer.findings, key=lambda finding: (finding.question.when, finding.holds)):
        findings = list(group)
        when = findings[0].question.when
        head = f"When {when}: **{_word(findings[0])}**.\n\n" if when else ""
        lines = "\n".join(_evidence_row(line) for finding in findings for line in finding.evidence)
        parts.append(
            f"{head}| what | found | published or required | off by | agrees |\n|---|---|---|---|---|\n{lines}"
        )
    return "\n\n".join(parts)


def _verdict(answer: Answer) -> str:
    changed = "" if answer.as_known or answer.fault else f" (known as: {answer.claim.verdict})"
    return f"{answer.verdict}{changed}"


def _word(finding: Finding) -> str:
    return {True: "holds", False: "does not hold", None: "not told from noise"}[finding.holds]


def _evidence_row(line: Evidence) -> str:
    cells = (line.what, line.found, line.published, line.off)
    return "| " + " | ".join(_cell(cell) for cell in cells) + f" | {_MARK[line.agrees]} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


def _line(line: Evidence) -> str:
    parts = [f"{line.what}: {line.found}"]
    parts += [f"published or required {line.published}"] if line.published else []
    parts += [line.off] if line.off else []
    return f"{'  ' if line.agrees is not False else '✗ '}{'; '.join(parts)}"
