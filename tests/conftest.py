"""Fixtures shared by all tests: one set of workers, and small plans over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.checks.catalogue import questions
from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.losses.catalogue import families
from harness.runner.plan import Plan, Settings
from harness.worker.process import ProcessWorkers

PLUGINS = Path(__file__).parent / "data" / "plugins"


@pytest.fixture(scope="session")
def workers() -> ProcessWorkers:
    """Real workers; the fork server is started once for the whole session."""
    return ProcessWorkers()


@pytest.fixture(scope="session")
def plugins() -> Path:
    """Folder of plugins that tests judge."""
    return PLUGINS


def settings(**changes: object) -> Settings:
    """Settings of a small run."""
    base = Settings(
        checks=("agreement", "gradient", "stability"),
        grade="standard",
        timing=None,
        seconds_per_call=60.0,
        memory_bytes=4 << 30,
        threads=1,
        cache_bytes=1 << 20,
    )
    return replace(base, **changes)


def plan_of(
    cases: list[Case], implementations: list[Implementation], baseline: Implementation | None = None, **changes: object
) -> Plan:
    """A plan over ``cases``; the baseline is the first implementation unless told."""
    chosen = settings(**changes)
    return Plan(
        cases=tuple(cases),
        questions=questions(cases, chosen.checks),
        implementations=tuple(implementations),
        baselines={case.loss: baseline or implementations[0] for case in cases},
        torch={},
        families=families(),
        cuda=(),
        settings=chosen,
    )
