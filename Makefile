# `make run` installs the environment and runs the default pipeline. The other targets install it if needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`: the environment's must be first on the path.
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: run install test lint bench compose
.DEFAULT_GOAL := run

run: install  ## run the default pipeline on real images and print its results
	dvc repro
	@viad results

install: $(VENV)/.installed  ## create the environment that requirements.lock pins

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 13), "Python 3.11 or 3.12 is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: install  ## run unit tests, and tests that run the real dvc commands in temporary clones
	$(BIN)/pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install  ## time PatchCore against anomalib's, feature caching, resizing and start-up
	$(BIN)/python bench/patchcore.py
	$(BIN)/python bench/msflow.py
	$(BIN)/python bench/resize.py
	$(BIN)/python bench/startup.py

compose: install  ## compose conf/ into params.yaml
	viad compose
