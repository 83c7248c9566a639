"""The catalogue of mutants and controls: complete, true to the files, and torch-free."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter

import pytest

from harness.mutants.catalogue import CONTROL_MODULES, GROUPS, controls, mutants
from harness.registry.declare import collect
from harness.suite.model import CHECKS


def test_there_are_enough_mutants_over_all_groups_and_enough_controls() -> None:
    groups = Counter(mutant.group for mutant in mutants())
    assert len(mutants()) >= 80
    assert len(controls()) >= 20
    assert set(groups) == set(GROUPS)
    assert len(GROUPS) == 18


def test_names_are_unique() -> None:
    names = Counter(subject.name for subject in (*mutants(), *controls()))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_mutant_names_checks_that_exist_and_says_its_mechanism() -> None:
    for mutant in mutants():
        assert mutant.caught_by, mutant.name
        assert set(mutant.caught_by) <= set(CHECKS), mutant.name
        assert len(mutant.mechanism.split()) > 3, mutant.name


def test_every_check_has_a_mutant() -> None:
    assert set(CHECKS) == {check for mutant in mutants() for check in mutant.caught_by}


@pytest.mark.parametrize("module", [*GROUPS, *CONTROL_MODULES])
def test_the_catalogue_lists_what_importing_the_module_registers(module: str) -> None:
    name = f"harness.mutants.{module}"
    sys.modules.pop(name, None)
    _, declared = collect(lambda: importlib.import_module(name))
    listed = {subject.name for subject in (*mutants(), *controls()) if subject.reference.startswith(f"{name}:")}
    assert {declaration.name for declaration in declared} == listed


def test_most_mutants_are_right_on_plain_inputs() -> None:
    assert sum(not mutant.plain_wrong for mutant in mutants()) > 0.9 * len(mutants())


def test_mutants_that_claim_to_be_right_on_plain_inputs_are_and_so_are_controls() -> None:
    command = [sys.executable, "-m", "tests.mutants.plain_answers"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    excepted = {mutant.name for mutant in mutants() if mutant.plain_wrong}
    assert {name: fault for name, fault in found.items() if fault and name not in excepted} == {}
    assert all(found[name] for name in excepted), "a mutant says plain_wrong and is right there"


def test_neither_the_catalogue_nor_the_command_imports_torch() -> None:
    modules = "harness.commands.selftest, harness.mutants.catalogue as catalogue"
    code = f"import sys, {modules}; print(catalogue.mutants() and 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
