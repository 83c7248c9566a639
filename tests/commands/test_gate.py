"""``gate`` on run folders: exit status, and what a person reads."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from harness.commands.gate import gate
from harness.core.case import Case
from harness.core.errors import UsageError
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.runner.again import time_again
from harness.runner.events import Silent
from harness.store import RunFolder

SUITE = """suite: tiny
description: one cell
implementations: [torch, log_softmax_nll]
cases:
  - {loss: cross_entropy, batch: 64, classes: [100, 200], pass: forward}
timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.2, cache: warm}
"""
CASES = [Case(batch=64, classes=classes, pass_="forward") for classes in (100, 200)]


def header(text=SUITE):
    return {
        "suite": {"name": "tiny", "source": "tiny.yaml", "text": text, "baseline": "torch"},
        "asked": {"implementations": [], "cells": [], "checks": [], "shard": None, "device": None, "only": None},
        "environment": {"processor": "A", "cores": 2, "packages": {}}, "settings": {"threads": 1},
    }  # fmt: skip


def make_run(out, seed, slower=1.0, rounds=60, head=None):
    draw = random.Random(seed)
    with RunFolder.create(out, "tiny", head or header()) as folder:
        for case in CASES:
            factor = slower if case.classes == 200 else 1.0
            for half in (0, 1):
                base = [1e6 * draw.lognormvariate(0, 0.2) for _ in range(rounds)]
                mine = [b * factor * draw.lognormvariate(0, 0.01) for b in base]
                folder.append_samples(
                    case.cell, {"torch": base, "log_softmax_nll": mine}, {"torch": 1, "log_softmax_nll": 1}, half
                )
            for name in ("torch", "log_softmax_nll"):
                for kind, check in ((JUDGED, "agreement"), (TIMED, "timing")):
                    metrics = {"speedup": 1.0} if kind == TIMED else {}
                    folder.append(
                        Outcome(
                            case=case,
                            implementation=name,
                            kind=kind,
                            check=check,
                            status=Status.PASSED,
                            metrics=metrics,
                        )
                    )
        return folder.path


def gated(new, old, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=100, color_system=None)
    return gate(new, old, remeasure=False, console=console, **options), stream.getvalue()


def test_a_run_against_itself_passes(tmp_path):
    run = make_run(tmp_path, 1)
    code, text = gated(run, run)
    assert code == 0
    assert "2 pass: pass" in text


def test_a_planted_slowdown_fails_and_names_the_cell(tmp_path):
    code, text = gated(make_run(tmp_path, 1, slower=1.055), make_run(tmp_path, 2))
    assert code == 1
    assert f"regression  log_softmax_nll on {CASES[1].cell}" in text
    assert f"log_softmax_nll on {CASES[0].cell}" not in text


def test_a_run_too_short_is_inconclusive(tmp_path):
    code, text = gated(make_run(tmp_path, 1, rounds=4), make_run(tmp_path, 2))
    assert code == 4
    assert "too few rounds" in text


def test_a_run_without_its_suite_has_no_budgets(tmp_path):
    bare = make_run(tmp_path, 1, head={"asked": {}})
    with pytest.raises(UsageError, match="lacks the suite"):
        gated(bare, bare)


@pytest.mark.slow
def test_cells_are_timed_again_in_two_processes(workers, monkeypatch, plugins):
    root = plugins.parents[2]
    samples = time_again(header(), {(CASES[1].cell, "log_softmax_nll")}, workers, Silent(), root)
    assert [(one.cell, one.half) for one in samples] == [(CASES[1].cell, 0), (CASES[1].cell, 1)]
    assert set(samples[0].samples_ns) == {"torch", "log_softmax_nll"}
