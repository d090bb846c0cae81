# `make run` installs the environment and runs the default pipeline. The other targets install it if needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`: the environment's must be first on the path.
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: run install lock test test-all lint bench compose table plots-page plot-pictures
.DEFAULT_GOAL := run

run: install  ## run the default pipeline on real images and print its results
	dvc repro
	@viad results

install: $(VENV)/.installed  ## create the environment that requirements.lock pins

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; assert (3, 11) <= v < (3, 15) and v[:3] != (3, 14, 1), \
		"Python 3.11 to 3.14 is needed, except 3.14.1, which networkx and torchvision refuse. Set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Pins stay unchanged if pyproject.toml allows them; `make lock UPGRADE=--upgrade` selects the newest versions.
lock:  ## resolve requirements.lock anew for every Python that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev $(UPGRADE) \
		--annotation-style line --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

# Columns: name, these metrics, and the conditions that differ; no times, hashes or hyperparameters.
METRICS = image_auroc|pg2|pb2
GROUPS = [a-z]+\.name|(shift|contamination|supervision|audit|threshold)\..*
VALUES = image_size|color|aspect|center_crop|protocol|preset|epochs|precision|seed
table: install  ## print all experiments with AUROC, PG2, PB2 and the conditions that differ
	@dvc exp show --only-changed --keep '($(METRICS))$$' \
		--drop '(?!(Experiment|State|$(METRICS)|$(GROUPS)|$(VALUES))$$)'

test: install  ## run unit tests, and tests that run the real dvc commands in temporary clones
	$(BIN)/pytest

test-all: install  ## run all tests, including the slow ones
	$(BIN)/pytest -m "not default_run"

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

plots-page: install  ## write the page of `dvc plots show` again, with the Vega of the environment inside
	$(BIN)/python .dvc/plots/write_page.py

plot-pictures: install  ## draw the pictures of docs/vscode.md anew, after a change of a template in .dvc/plots
	$(BIN)/python tests/plot_pictures.py docs/vscode
