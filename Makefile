# The front door. `make run` does everything from nothing; the other targets need what it installs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`: put the environment's first on the path.
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: run install lock test test-all lint bench params
.DEFAULT_GOAL := run

run: install  ## the default run, on real images, and its table of results
	dvc repro
	@viad results

install: $(VENV)/.installed  ## the environment, as pinned in requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 13), "Python 3.11 or 3.12 is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: install  ## unit tests, then tests that run the real dvc commands in temporary clones
	$(BIN)/pytest

test-all: install  ## the slow tests too
	$(BIN)/pytest -m "not default_run"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install  ## PatchCore against anomalib; MSFlow's cached features, resizing and starting up against doing without
	$(BIN)/python bench/patchcore.py
	$(BIN)/python bench/msflow.py
	$(BIN)/python bench/resize.py
	$(BIN)/python bench/startup.py

params: install  ## conf/ composed into params.yaml
	viad params
