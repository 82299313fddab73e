# Each target does the set-up that it needs; nothing is put outside this folder.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEVSTAMP := $(VENV)/.installed-dev
PIP := $(PY) -m pip --disable-pip-version-check --quiet
HOME_DIR ?= .handoffd

.PHONY: help install dev run demo test check bench test-faults lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("handoffd needs Python 3.11 or later, this is %d.%d (set PYTHON=…)" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing handoffd into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVSTAMP): requirements-dev.txt $(STAMP)
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

install: $(STAMP) ## a .venv with all that the daemon needs, from the hash-locked file

dev: $(DEVSTAMP) ## the same, with what tests and checks need

run: $(STAMP) ## the daemon on a local board with demo tasks; Ctrl-C stops it
	@$(PY) -m daemon --home $(HOME_DIR) run --demo

demo: $(STAMP) ## three tasks, start to proved end, then exit
	@$(PY) -m daemon --home $(HOME_DIR)-demo demo

test: $(DEVSTAMP) ## the whole test suite
	@$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -q

check: $(DEVSTAMP) ## lint, types, import rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache

bench: $(DEVSTAMP) ## numbers, each beside a peer and the physical limit, measured in one run
	@$(PY) -m benchmarks

test-faults: $(DEVSTAMP) ## the long fault runs
	@$(PY) -m pytest -q -m faults --timeout 3600

lock: $(DEVSTAMP) ## renew the hash-locked files from pyproject.toml
	@$(PIP) install uv
	@$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml requirements.in -o requirements.txt --upgrade
	@$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev -c requirements.txt -o requirements-dev.txt --upgrade
	@$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate benchmarks/peers.in -o benchmarks/peers.txt --upgrade

clean: ## remove everything that these targets made
	@rm -rf $(VENV) $(HOME_DIR) $(HOME_DIR)-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
