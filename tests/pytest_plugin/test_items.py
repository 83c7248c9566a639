"""What pytest shows of a suite file: items, outcomes and selection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.core.status import Status
from harness.worker.process import WorkerLostError
from tests.pytest_plugin.conftest import SUITE, FakeTimer

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
CELL = "cross_entropy/4x20/float32/cpu/normal/forward/mean"


def test_each_cell_and_implementation_is_an_item_with_a_stable_id(inner):
    result = inner.run("small.yaml", "--collect-only", "-q")
    assert f"small.yaml::{CELL}[naive]" in result.outlines
    assert f"small.yaml::{CELL}[naive:timing]" in result.outlines
    assert sum("::" in line for line in result.outlines) == 2 * 4 * 2


def test_all_pass_and_one_worker_serves_an_implementation(inner):
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=8, deselected=8)
    assert len(inner.workers.started) == 2
    assert inner.workers.closed == 2


def test_an_item_named_by_its_id_runs_alone(inner):
    inner.run(f"small.yaml::{CELL}[naive]").assert_outcomes(passed=1)
    assert inner.workers.jobs == [("judge", "naive", CELL)]


def test_an_id_without_the_implementation_names_all_of_a_cell(inner):
    inner.run(f"small.yaml::{CELL}", "-m", "judged").assert_outcomes(passed=2, deselected=2)


def test_k_m_and_x_work(inner, script):
    inner.script = script("naive", Status.FAILED)
    inner.run("small.yaml", "-k", "naive and 4x10 and not timing").assert_outcomes(passed=2, deselected=14)
    inner.run("small.yaml", "-m", "judged", "-x").assert_outcomes(passed=6, failed=1, deselected=8)


def test_only_what_failed_runs_again(inner, script):
    inner.script = script("naive", Status.FAILED)
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=6, failed=2, deselected=8)
    inner.workers.jobs.clear()
    inner.run("small.yaml", "--lf", "-m", "judged").assert_outcomes(failed=2, deselected=14)
    assert {name for _, name, _ in inner.workers.jobs} == {"naive"}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (Status.UNSUPPORTED, "skipped"),
        (Status.SKIPPED, "skipped"),
        (Status.DECLARED, "xfailed"),
        (Status.RAISED, "failed"),
    ],
)
def test_a_status_becomes_an_outcome_with_its_reason(inner, script, status, outcome):
    inner.script = script("naive", status)
    result = inner.run("small.yaml", "-m", "judged", "-rsx", "--tb=short")
    result.assert_outcomes(passed=6, **{outcome: 2}, deselected=8)
    assert any("as the script says" in line for line in result.outlines)


def test_a_failure_tells_what_went_wrong_and_shows_no_stack_of_ours(inner, script):
    inner.script = script("naive", Status.FAILED)
    text = "\n".join(inner.run("small.yaml", "-k", "naive and forward_backward and not timing").outlines)
    assert f"failed: naive · agreement · {CELL.replace('forward', 'forward_backward')}" in text
    assert "harness/" not in text
    assert "Traceback" not in text


def test_a_lost_worker_costs_one_cell_and_the_rest_go_on(inner):
    def script(name, case):
        if name == "naive" and case.cell == CELL:
            return WorkerLostError(Status.CRASHED, "was ended by SIGSEGV", "judging", "naive", CELL)
        return Status.PASSED

    inner.script = script
    result = inner.run("small.yaml", "-m", "judged")
    result.assert_outcomes(passed=7, failed=1, deselected=8)
    assert any("SIGSEGV" in line for line in result.outlines)


def test_a_declared_difference_that_shows_nowhere_fails(inner):
    inner.expect = {"naive": {"agreement[classes=20]": "known to be off"}}
    result = inner.run("small.yaml", "-m", "judged")
    result.assert_outcomes(passed=8, failed=1, deselected=8)
    assert any("XPASS(strict)" in line for line in result.outlines)


def test_a_declared_difference_that_shows_somewhere_is_an_expected_failure(inner, script):
    inner.expect = {"naive": {"agreement[classes=10|20]": "known to be off"}}
    inner.script = script("naive", Status.DECLARED)
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=6, xfailed=3, deselected=8)


def test_a_declared_difference_that_covers_no_cell_of_the_suite_is_no_item(inner):
    inner.expect = {"naive": {"agreement[classes=30]": "known to be off"}}
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=8, deselected=8)


def test_junit_xml_holds_names_and_figures(inner, script):
    inner.script = script("naive", Status.FAILED)
    inner.run("small.yaml", "-m", "judged", "--junitxml=out.xml")
    cases = list(ElementTree.parse(inner.pytester.path / "out.xml").iter("testcase"))
    assert len(cases) == 8
    failed = [case for case in cases if case.find("failure") is not None]
    assert {case.get("name") for case in failed} == {
        f"{CELL}[naive]",
        f"{CELL.replace('forward', 'forward_backward')}[naive]",
    }
    assert {p.get("name") for p in failed[0].iter("property")} >= {"cell", "implementation", "check"}


def test_a_wrong_suite_is_told_in_one_message_without_a_stack(inner):
    inner.write(SUITE.replace("batch: 4", "batsh: 4"))
    result = inner.run("small.yaml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = "\n".join(result.outlines)
    assert "batsh" in text
    assert "small.yaml:7" in text
    assert "Traceback" not in text
    assert "harness/" not in text


def test_yaml_that_was_not_named_or_is_no_suite_is_left_alone(inner):
    inner.write("version: 2\n", "compose.yaml")
    inner.write("suite: [", "broken.yaml")
    inner.pytester.makepyfile("def test_nothing(): pass")
    inner.run().assert_outcomes(passed=1)
    assert inner.run("compose.yaml").ret == pytest.ExitCode.USAGE_ERROR
    assert inner.run("broken.yaml").ret == pytest.ExitCode.USAGE_ERROR


def test_suites_that_the_ini_file_names_are_collected(inner):
    inner.pytester.makeini("[pytest]\nharness_suites = small.yaml nested/*.yaml\n")
    inner.run("-m", "judged").assert_outcomes(passed=8, deselected=8)


def test_a_lost_worker_at_import_ends_nothing_but_its_own_items(inner):
    def script(name, case):
        return WorkerLostError(Status.CRASHED, "exit", "import of naive", "naive") if name == "naive" else Status.PASSED

    inner.script = script
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=4, failed=4, deselected=8)


def test_what_hangs_again_and_again_is_not_waited_for(inner):
    inner.script = lambda name, case: (
        WorkerLostError(Status.TIMED_OUT, "hung", "judging", name, case.cell) if name == "naive" else Status.PASSED
    )
    inner.write(SUITE.replace("[10, 20]", "[10, 20, 30]"))
    inner.run("small.yaml", "-m", "judged").assert_outcomes(passed=6, failed=4, skipped=2, deselected=12)


def test_an_ordinary_session_imports_nothing_of_ours_but_the_plugin(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it():\n"
        "    heavy = {'torch', 'pandas', 'yaml', 'pydantic', 'rich', 'harness.runner', 'harness.store'}\n"
        "    assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    (tmp_path / "data.yaml").write_text("suite: not asked for\n")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "harness.pytest_plugin", str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_timer_is_made_where_nothing_timed_is_selected(inner):
    inner.run("small.yaml", "-m", "judged")
    assert FakeTimer.made == 0
