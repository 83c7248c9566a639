"""Whether an implementation, by what it declares or its signature shows, can be asked for a case at all."""

from __future__ import annotations

from harness.core.case import Case
from harness.core.family import Family
from harness.core.implementation import Implementation


def device_kind(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.split(":", 1)[0]


def unsupported_reason(implementation: Implementation, case: Case, family: Family) -> str | None:
    """Why ``implementation`` cannot be asked for ``case`` (None when it can)."""
    if implementation.loss != case.loss:
        return f"implements {implementation.loss}, not {case.loss}"
    for kind, wanted, offered in (
        ("device", device_kind(case.device), implementation.devices),
        ("dtype", case.dtype, implementation.dtypes),
        ("target", case.target_kind, implementation.targets),
    ):
        if wanted not in offered:
            return f"declares no {kind} {wanted} (has {', '.join(offered) or 'none'})"
    for option in needed_options(case, family):
        if not implementation.supports(option):
            return f"its signature has no option {option!r}"
    return None


def needed_options(case: Case, family: Family) -> tuple[str, ...]:
    """Options of the specification that ``case`` sets away from their defaults."""
    needed: list[str] = []
    for name, default in family.options:
        value = family.value(case, name)
        if name in family.tensor_options:
            away = value not in (None, "none")
        elif name == "ignore_index":
            # ignored rows are marked with ignore_index, so one that lacks the option cannot know them
            away = value != default or case.ignored > 0
        else:
            away = value is not None and value != default
        if away:
            needed.append(name)
    return tuple(needed)
