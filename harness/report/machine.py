"""The machine and the circumstances of a run at a glance, from a header that may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.text import count, duration, mapping, plain, size


def machine_facts(header: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and text of what a reader asks first: when, on what, with which versions, by which command."""
    environment = mapping(header.get("environment"))
    command = header.get("command")
    packages = mapping(environment.get("packages"))
    facts = [
        ("started", header.get("started")),
        ("took", _seconds(header.get("seconds"))),
        ("command", " ".join(map(str, command)) if isinstance(command, list) else command),
        ("processor", processor(header)),
        ("memory", _bytes(environment.get("available_memory_bytes"))),
        ("GPU", ", ".join(str(mapping(one).get("name", "")) for one in _list(header, "cuda"))),
        ("threads", mapping(header.get("settings")).get("threads")),
        ("platform", environment.get("platform")),
        ("python", environment.get("python")),
        *((name, packages.get(name)) for name in ("torch", "triton")),
        ("revision", header.get("git_revision")),
    ]
    return [(name, plain(str(value))) for name, value in facts if value not in (None, "")]


def failed_selfchecks(header: Mapping[str, Any]) -> dict[str, str]:
    """Device → why no speed of the run can be trusted there, perhaps empty, where a planted slowdown was missed."""
    checks = {device: mapping(check) for device, check in mapping(header.get("selfcheck")).items()}
    return {device: str(check.get("reason") or "") for device, check in checks.items() if not check.get("passed", True)}


def speed_doubts(header: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each device on which no speed of the run can be trusted, for what shows several at once."""
    failed = failed_selfchecks(header).items()
    return tuple(f"No speed on {plain(device)} can be trusted: {why_failed(reason)}." for device, reason in failed)


def why_failed(reason: str) -> str:
    """The reason of a failed self-check, where it says none that it failed."""
    return plain(reason or "the self-check failed")


def processor(header: Mapping[str, Any]) -> str:
    """``2 cores of Intel(R) Xeon(R)``; empty where the header does not say."""
    environment = mapping(header.get("environment"))
    cores, name = environment.get("cores"), environment.get("processor")
    known = count(cores, "core") if isinstance(cores, int) and not isinstance(cores, bool) else ""
    return plain(" of ".join(filter(None, (known, str(name or "")))))


def in_one_line(header: Mapping[str, Any]) -> str:
    """Day, processor or GPU, and torch: what a figure of this run was measured on."""
    facts = dict(machine_facts(header))
    torch = f"torch {facts['torch']}" if "torch" in facts else ""
    return " · ".join(filter(None, (facts.get("started", "")[:10], facts.get("GPU") or facts.get("processor"), torch)))


def _list(header: Mapping[str, Any], name: str) -> list[Any]:
    found = mapping(header.get("devices")).get(name)
    return found if isinstance(found, list) else []


def _seconds(value: Any) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return duration(float(value) * 1e9) if known else ""


def _bytes(value: Any) -> str:
    return size(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else ""
