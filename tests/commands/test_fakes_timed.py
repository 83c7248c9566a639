"""Fakes that are right while judged and cheat once they are timed, put to a run that really times them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.run import run
from harness.core.outcome import TIMED
from harness.core.status import EXIT_FAULT, Status
from harness.runner.asked import Asked
from harness.store import read_run
from harness.worker.process import ProcessWorkers

pytestmark = pytest.mark.slow

SUITE = """suite: fakes
description: one baseline and four that cheat
implementations: [torch, "fakes.py:too_fast", "fakes.py:less_once_timed", "fakes.py:caches", "fakes.py:on_a_thread"]
checks: [agreement]
cases:
  - {loss: cross_entropy, batch: 2048, classes: 4000, regime: [normal, equal], pass: forward_no_grad}
timing: {target_relative_width: 0.02, max_seconds_per_cell: 2, cache: cold}
"""
FAKES = '''import math
import threading

import torch.nn.functional as F

calls, kept = [0], {}


def too_fast(logits, target, *, reduction="mean"):
    """Right wherever all logits are equal, and reads none of them."""
    if logits[0, 0] != logits[0, 1]:
        return F.cross_entropy(logits, target, reduction=reduction)
    return logits.new_full((), math.log(logits.shape[1]))


def less_once_timed(logits, target, *, reduction="mean"):
    calls[0] += 1
    rows = len(logits) if calls[0] < 6 else len(logits) // 2
    return F.cross_entropy(logits[:rows], target[:rows], reduction=reduction)


def caches(logits, target, *, reduction="mean"):
    where = logits.data_ptr(), tuple(logits.shape)
    if where not in kept:
        kept[where] = F.cross_entropy(logits, target, reduction=reduction).detach()
    return kept[where]


def on_a_thread(logits, target, *, reduction="mean"):
    result = logits.new_zeros(())
    threading.Thread(target=lambda: result.copy_(F.cross_entropy(logits, target, reduction=reduction))).start()
    return result
'''
SAID = {
    # microseconds that go up and down may look like a kept result first, which is no figure either
    ("too_fast", "equal"): "for what takes at least|it keeps results",
    ("less_once_timed", "normal"): "a timed call, judged afterwards, is wrong",
    ("caches", "normal"): "inputs whose contents had been replaced",
    ("on_a_thread", "normal"): "its result changed after the call had returned",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fakes")
    (folder / "fakes.py").write_text(FAKES, encoding="utf-8")
    (folder / "fakes.yaml").write_text(SUITE, encoding="utf-8")
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code = run("fakes.yaml", Asked(), out=Path("results"), dry_run=False, console=console, quiet=True,
                   workers=ProcessWorkers())  # fmt: skip
        assert code == EXIT_FAULT, console.file.getvalue()
        return {
            (o.implementation, o.case.regime): o
            for o in read_run(Path("results/latest").resolve()).outcomes
            if o.kind == TIMED
        }


@pytest.mark.parametrize("which", SAID)
def test_a_fake_gets_no_speed(which: tuple[str, str], outcomes) -> None:
    assert outcomes[which].status is Status.FAILED
    assert re.search(SAID[which], outcomes[which].reason)


def test_the_baseline_keeps_its_speed(outcomes) -> None:
    assert all(outcomes["torch", regime].status is Status.PASSED for regime in ("normal", "equal"))
