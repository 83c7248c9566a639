"""``list``: implementations (available or why not), suites, checks, regimes, losses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.implementation import Implementation

#: What can be listed; only ``implementations`` imports plugins, in a worker.
TOPICS = ("implementations", "suites", "checks", "regimes", "losses")


def listing(topics: tuple[str, ...], *, as_json: bool, console: Console) -> int:
    """Print ``topics`` (all when empty) as tables, or as one JSON object."""
    content = {topic: _CONTENT[topic]() for topic in TOPICS if not topics or topic in topics}
    if as_json:
        print(json.dumps(content, indent=1))  # noqa: T201 - the console would wrap it
        return 0
    for topic, entries in content.items():
        table = Table(title=topic, title_justify="left", box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for entry in entries:
            table.add_row(Text(entry["name"]), Text(_line(entry)))
        console.print(table)
        console.print()
    return 0


def _line(entry: Mapping[str, Any]) -> str:
    parts = [str(entry.get("summary") or "")]
    if "available" in entry:
        parts = [f"{entry['loss']} on {', '.join(entry['devices'])}. {entry['summary']}"]
        if not entry["available"]:
            parts.append(f"not available: {entry['reason']}")
    return " — ".join(part for part in parts if part)


def _implementations() -> list[dict[str, Any]]:
    from harness.runner.survey import survey
    from harness.worker.process import ProcessWorkers

    found = survey(ProcessWorkers(), (), Path.cwd())
    return [_implementation(i) for i in found.named.values()]


def _implementation(implementation: Implementation) -> dict[str, Any]:
    reason = implementation.unavailable or implementation.failed
    return {
        "name": implementation.name,
        "loss": implementation.loss,
        "available": reason is None,
        "reason": reason,
        "summary": implementation.summary,
        "devices": list(implementation.devices),
        "dtypes": list(implementation.dtypes),
        "targets": list(implementation.targets),
        "options": None if implementation.options is None else list(implementation.options),
        "requires": list(implementation.requires),
        "expect": {e.text: e.reason for e in implementation.expect},
        "origin": implementation.origin,
    }


def _suites() -> list[dict[str, Any]]:
    from harness.suite.load import suite_names

    return [{"name": name, "summary": description} for name, description in suite_names().items()]


def _checks() -> list[dict[str, Any]]:
    from harness.suite.model import CHECKS

    return [{"name": name, "summary": summary} for name, summary in CHECKS.items()]


def _regimes() -> list[dict[str, Any]]:
    from harness.inputs.catalogue import REGIMES

    return [{"name": regime.name, "summary": regime.summary} for regime in REGIMES.values()]


def _losses() -> list[dict[str, Any]]:
    from harness.losses.catalogue import families

    return [
        {"name": f.name, "summary": f.summary, "axes": [a.name for a in f.axes], "baseline": f.baseline}
        for f in families().values()
    ]


_CONTENT = {
    "implementations": _implementations,
    "suites": _suites,
    "checks": _checks,
    "regimes": _regimes,
    "losses": _losses,
}
