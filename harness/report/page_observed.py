"""The semantics matrix of the page: what each implementation was seen to do where implementations differ."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.markup import Child, Html, el
from harness.report.text import count, mapping
from harness.store import Run

#: Whose behaviour is the specification; what differs from it is marked.
_SPECIFIED = "torch"
_CAPTION = (
    "Seen on small calls of each implementation, not judged. Bold: differs from torch, whose behaviour is required of "
    "whoever does not declare otherwise; what each declares stands in the last column."
)


def observed_section(run: Run) -> Html | None:
    """Implementation × question, one row for each device; None where the run did not ask."""
    matrix = _seen(run)
    if not matrix:
        return None
    asked = dict.fromkeys(q for devices in matrix.values() for seen in devices.values() for q in seen)
    declared = _declared(run)
    usual = next(iter(matrix.get(_SPECIFIED, {}).values()), {})
    head = el("tr", [el("th", title, scope="col") for title in ("implementation", "device", *asked, "declares")])
    body: list[Child] = [
        el(
            "tr", el("th", name, scope="row"), el("td", device),
            [_cell(seen.get(question), usual.get(question)) for question in asked],
            el("td", _list(declared.get(name, {}))),
        )
        for name, devices in matrix.items()
        for device, seen in devices.items()
    ]  # fmt: skip
    table = el("table", el("caption", _CAPTION), el("thead", head), el("tbody", body))
    return el("section", el("h2", "What each one does"), el("div", table, class_="scroll"), id="observed")


def _seen(run: Run) -> dict[str, dict[str, dict[str, str]]]:
    """Implementation → device → question → what was seen."""
    return {
        str(name): {str(device): _texts(seen) for device, seen in mapping(devices).items()}
        for name, devices in mapping(run.header.get("semantics")).items()
    }


def _texts(values: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping(values).items()}


def _cell(seen: str | None, usual: str | None) -> Html:
    if seen is None:
        return el("td", "–")
    return el("td", el("strong", seen) if usual is not None and seen != usual else seen)


def _declared(run: Run) -> dict[str, dict[str, str]]:
    described = mapping(run.header.get("planned")).get("implementations")
    known = [mapping(one) for one in described] if isinstance(described, list) else []
    return {str(one["name"]): _texts(one.get("expect")) for one in known if "name" in one}


def _list(expect: Mapping[str, str]) -> Html | str:
    if not expect:
        return "nothing"
    items: list[Child] = [el("li", el("code", text), f" {reason}") for text, reason in expect.items()]
    return el("details", el("summary", count(len(expect), "difference")), el("ul", items))
