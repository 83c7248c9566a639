"""A run as JUnit XML: one test case per verdict, grouped by implementation; text of strangers stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from harness.core.outcome import JUDGED, Outcome
from harness.core.status import FAULTS, Status
from harness.report.rows import number
from harness.report.text import verdict_facts
from harness.store import Run

#: Characters that XML 1.0 has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PASSED = frozenset({Status.PASSED, Status.DECLARED})


def report_junit(run: Run) -> str:
    """``run`` as JUnit XML: faults are failures (errors where nothing was answered), what was not judged is skipped."""
    suites: dict[str, list[Outcome]] = {}
    for outcome in run.outcomes:
        suites.setdefault(outcome.implementation, []).append(outcome)
    root = ElementTree.Element("testsuites", name=_clean(run.run_id))
    for name, outcomes in suites.items():
        root.append(_suite(name, outcomes))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(name: str, outcomes: Sequence[Outcome]) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_clean(name))
    counts = {"tests": len(outcomes), "failures": 0, "errors": 0, "skipped": 0}
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(f"{name}.{outcome.check}"), name=_clean(outcome.cell)
        )
        seconds = number(outcome.metrics, "seconds")
        if seconds is not None:
            case.set("time", f"{seconds:.4f}")
        kind = _kind(outcome)
        if kind:
            counts[{"failure": "failures", "error": "errors", "skipped": "skipped"}[kind]] += 1
            told = ElementTree.SubElement(
                case, kind, message=_clean(f"{outcome.status.value}: {outcome.reason}"), type=outcome.status.value
            )
            told.text = _clean(_details(outcome)) if kind != "skipped" else None
        if outcome.status is Status.DECLARED:
            ElementTree.SubElement(case, "system-out").text = _clean(f"differs as declared: {outcome.reason}")
    for label, value in counts.items():
        suite.set(label, str(value))
    return suite


def _kind(outcome: Outcome) -> str:
    if outcome.status in _PASSED:
        return ""
    if outcome.status not in FAULTS:
        return "skipped"
    return "failure" if outcome.status is Status.FAILED else "error"


def _details(outcome: Outcome) -> str:
    lines = [f"{name}: {value}" for name, value in verdict_facts(outcome.metrics)]
    if outcome.kind == JUDGED and outcome.metrics.get("reproduce"):
        lines.append(f"reproduce: {outcome.metrics['reproduce']}")
    if outcome.traceback:
        lines.append(outcome.traceback)
    return "\n".join(lines)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
