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
	$(PYTHON) -c 'import sys; v = sys.version_info; assert (3, 11) <= v < (3, 15) and v[:3] != (3, 14, 1), \
		"Python 3.11 to 3.14 is needed, but not 3.14.1, which networkx and torchvision refuse. Set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Pins stay as they are where pyproject.toml allows them; `make lock UPGRADE=--upgrade` takes the newest.
lock:  ## requirements.lock, resolved anew for every Python that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev $(UPGRADE) \
		--annotation-style line --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

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
