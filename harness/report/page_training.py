"""The page's table of training runs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.markup import Html, el
from harness.report.rows import Row
from harness.report.training import HEAD, NOTE, TITLE, training_table


def training_section(rows: Sequence[Row]) -> Html | None:
    """How each implementation's training went; None where nothing was trained."""
    lines = training_table(rows)
    if not lines:
        return None
    head = el("tr", [el("th", title, scope="col") for title in HEAD])
    body = [el("tr", [el("td", cell) for cell in line]) for line in lines]
    table = el("table", el("caption", NOTE), el("thead", head), el("tbody", body))
    return el("section", el("h2", TITLE), el("div", table, class_="scroll"), id="training")
