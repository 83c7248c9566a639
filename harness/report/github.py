"""What a run says on GitHub Actions: a summary for the job's page, and annotations for what is at fault."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import tables
from harness.report.markdown import report_markdown
from harness.report.rows import collect
from harness.report.text import clip, plain
from harness.store import Run

#: GitHub keeps at most 1 MiB of summary per step; the tables of a large run are cut at a section.
MAX_SUMMARY_BYTES = 1_000_000
#: GitHub shows ten annotations of a kind per step.
MAX_ANNOTATIONS = 10


def step_summary(run: Run) -> str:
    """The Markdown report without its environment, cut where GitHub would refuse it."""
    sections = report_markdown(run).split("\n\n## ")
    kept = [section for section in sections if not section.startswith("Environment")]
    text = kept[0]
    for section in kept[1:]:
        if len((text + section).encode()) > MAX_SUMMARY_BYTES:
            return f"{text}\n\n… cut; the run folder's report has the rest.\n"
        text += f"\n\n## {section}"
    return text.rstrip("\n") + "\n"


def annotations(run: Run) -> Iterator[str]:
    """Workflow commands, one line each, for the verdicts at fault."""
    found = tables.faults(collect(run))
    for outcome in found[:MAX_ANNOTATIONS]:
        title = f"{outcome.status.value}: {outcome.implementation} · {outcome.check}"
        message = f"{outcome.cell}: {clip(plain(outcome.reason), 400)}"
        if outcome.metrics.get("reproduce"):
            message += f"\n{plain(str(outcome.metrics['reproduce']))}"
        yield f"::error title={_property(plain(title))}::{_message(message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
