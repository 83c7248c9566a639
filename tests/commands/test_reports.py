"""``compare``, ``choose`` and ``new`` as a user types them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import app
from harness.commands.choose import choose, memory_bytes
from harness.commands.compare import compare
from harness.commands.new import new
from harness.core.errors import RunFolderError, UsageError
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.suite.load import load_suite
from tests.report.synthetic import HOSTILE, make_run, outcomes
from tests.report.test_pages import hostile_outcomes


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_compare_prints_what_got_wrong_with_its_reason(tmp_path):
    found = outcomes(20)
    old = make_run(tmp_path, found)
    place = next(n for n, o in enumerate(found) if o.implementation == "torch_compile" and o.kind == "judged")
    found[place] = replace(found[place], status=Status.FAILED, reason="off by one")
    told = console()
    assert compare([old, make_run(tmp_path, found)], console=told) == 0
    text = told.file.getvalue()
    assert "wrong     torch_compile on" in text
    assert "passed → failed: off by one" in text
    assert "1 wrong" in text


def test_compare_of_one_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="two runs or more"):
        compare([tmp_path], console=console())
    with pytest.raises(RunFolderError, match="no run folder"):
        compare([tmp_path / "a", tmp_path / "b"], console=console())


def test_choose_prints_winners_crossovers_and_what_fits_within_100_columns(tmp_path):
    told = console()
    assert choose(make_run(tmp_path), console=told, max_memory="8GiB", max_ulp=8.0) == 0
    text = told.file.getvalue()
    for piece in ("winner", "where the winner changes", "largest batch", "out: naive in"):
        assert piece in text
    assert max(len(line.rstrip()) for line in text.splitlines() if not line.startswith(("out:", "largest"))) <= 100


def test_choose_says_when_nothing_keeps_the_limits(tmp_path):
    told = console()
    assert choose(make_run(tmp_path), console=told, max_ulp=0.0001) == 3
    assert "nothing in this run" in told.file.getvalue()


def test_choose_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(UsageError, match="forward_backward"):
        choose(make_run(tmp_path), console=console(), pass_="sideways")
    assert memory_bytes("2GiB") == 2 << 30
    assert memory_bytes("1.5 MB") == 1_500_000
    assert memory_bytes("4096") == 4096
    with pytest.raises(UsageError, match="MiB"):
        memory_bytes("plenty")


def test_strangers_names_reach_no_terminal_as_escapes(tmp_path):
    told, path = console(), make_run(tmp_path, hostile_outcomes())
    choose(path, console=told)
    compare([path, make_run(tmp_path, outcomes(1))], console=told)
    assert "\x1b" not in told.file.getvalue()
    assert HOSTILE[:8] in told.file.getvalue()


def test_new_writes_a_starter_and_a_suite_that_loads(tmp_path):
    told = console()
    assert new("my_loss", console=told, folder=tmp_path) == 0
    suite = load_suite(tmp_path / "tests" / "my_loss.yaml", families())
    assert suite.implementations == ("torch", "my_loss")
    assert "python -m harness check my_loss" in told.file.getvalue()
    names: dict[str, object] = {}
    source = tmp_path / "implementations" / "my_loss.py"
    exec(compile(source.read_text(), str(source), "exec"), names)
    assert callable(names["my_loss"])
    with pytest.raises(UsageError, match="is there already"):
        new("my_loss", console=told, folder=tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "a b", "class", "é", "1a"])
def test_new_refuses_a_name_that_is_no_python_name(tmp_path, name):
    with pytest.raises(UsageError, match="a Python name"):
        new(name, console=console(), folder=tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


def test_the_command_line_has_them(tmp_path):
    runner, path = CliRunner(), make_run(tmp_path)
    assert runner.invoke(app, ["compare", str(path), str(path)]).exit_code == 0
    assert runner.invoke(app, ["choose", str(path), "--pass", "forward", "--max-memory", "64GiB"]).exit_code == 0
    assert "<?xml" in runner.invoke(app, ["report", str(path), "--format", "junit"]).stdout
