# make run    judge and time suites/cpu.yaml (SUITE=smoke for another) and print the comparison table
# make test   lint, types, layers and tests: what CI runs
# make gate   the smoke suite under pytest, held against the runs in results/baselines
# All set up what they need in .venv; constraints.txt pins every version.
PYTHON ?= python3
VENV ?= .venv
SUITE ?= cpu
BIN := $(VENV)/bin

.PHONY: run smoke test check gate format clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	$(BIN)/python -m harness run $(SUITE)

smoke: $(VENV)/.run
	$(BIN)/python -m harness run smoke

test: $(VENV)/.dev check
	$(BIN)/python -m pytest

gate: $(VENV)/.dev
	$(BIN)/python -m pytest suites/smoke.yaml --harness-baseline results/baselines -rfE

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# --no-build-isolation is not used: hatchling comes into its own environment and brings no torch
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[gpu,fuzz]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[gpu,dev]"
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist .ruff_cache .pytest_cache .import_linter_cache
