"""What the checks of a run can see: for each dtype, C and set of options the smallest change that is caught."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.case import Case, parse_cell
from harness.core.errors import UnknownReferenceError
from harness.report.markup import Child, Html, el
from harness.store import Run

_CAPTION = (
    "Each region of the true answer, scaled by 1 + ε, went through the check that judges it: the smallest ε caught, in "
    "the regime that shows it best. Not seen: a zeroed region passes in every regime."
)


@dataclass(slots=True)
class Group:
    """One loss, dtype, C and set of options: the smallest ε caught of each region (None where none is seen)."""

    loss: str
    dtype: str
    classes: int
    options: str
    best: dict[str, float | None] = field(default_factory=dict)


def options_of(case: Case) -> str:
    """The options of ``case`` that make a group of their own, in words."""
    parts = [case.reduction, case.target_kind]
    parts += ["weight"] * (case.weight != "none") + ["label_smoothing"] * (case.label_smoothing > 0)
    return ", ".join([*parts, *["ignored"] * (case.ignored > 0), *(f"{name}={value}" for name, value in case.options)])


def groups_of(header: Mapping[str, Any]) -> list[Group]:
    """What a run kept of blindness, gathered over its regimes; empty where it was not measured."""
    kept = header.get("blindness")
    entries = kept.get("cells", ()) if isinstance(kept, Mapping) else ()
    found: dict[tuple[str, str, int, str], Group] = {}
    for entry in entries:
        case = _case(entry)
        if case is None:
            continue
        key = (case.loss, case.dtype, case.classes, options_of(case))
        group = found.setdefault(key, Group(loss=key[0], dtype=key[1], classes=key[2], options=key[3]))
        region = f"{entry.get('value')}[{entry.get('region')}]"
        epsilon = entry.get("epsilon") if entry.get("sees_zero") else None
        known = group.best.get(region)
        sizes = [float(size) for size in (known, epsilon) if isinstance(size, int | float)]
        group.best[region] = min(sizes) if sizes else None
    return list(found.values())


def worst_by_dtype(groups: Iterable[Group]) -> dict[str, dict[str, float | None]]:
    """For each dtype and region the largest of the groups' ε: None where some group does not see it at all."""
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for group in groups:
        for region, epsilon in group.best.items():
            known = found[group.dtype].get(region, 0.0)
            found[group.dtype][region] = None if known is None or epsilon is None else max(known, epsilon)
    return dict(found)


def power(epsilon: float | None) -> str:
    """``2^-17``, or that it is not seen."""
    return "not seen" if epsilon is None else f"2^{round(math.log2(epsilon))}"


def sight_section(run: Run) -> Html | None:
    """The table of the page; None where the run did not measure it."""
    groups = groups_of(run.header)
    if not groups:
        return None
    regions = list(dict.fromkeys(region for group in groups for region in group.best))
    heads = ("loss", "dtype", "classes", "options", *regions)
    body: list[Child] = [
        el(
            "tr", el("td", group.loss), el("td", group.dtype), el("td", str(group.classes)), el("td", group.options),
            [_seen(group, region) for region in regions],
        )
        for group in groups
    ]  # fmt: skip
    head = el("tr", [el("th", title, scope="col") for title in heads])
    table = el("table", el("caption", _CAPTION), el("thead", head), el("tbody", body))
    summary = el("summary", f"{len(groups)} sets of dtype, classes and options")
    return el(
        "section", el("h2", "What this suite can see"), el("details", summary, el("div", table, class_="scroll")),
        id="sight",
    )  # fmt: skip


def _seen(group: Group, region: str) -> Html:
    if region not in group.best:
        return el("td", "–")
    text = power(group.best[region])
    return el("td", el("strong", text) if group.best[region] is None else text)


def _case(entry: object) -> Case | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("cell"), str):
        return None
    try:
        return parse_cell(entry["cell"])
    except UnknownReferenceError:
        return None
