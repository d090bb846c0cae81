"""The default run, whatever was run in the workspace: what conf/ composes to, and what is committed of its results."""

import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from viad.config.composition import compose_params

ROOT = Path(__file__).parents[1]


@cache
def default_params_text():
    """The text of the default run's params.yaml."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        compose_params([], Path(folder) / "params.yaml")
        return (Path(folder) / "params.yaml").read_text()


@cache
def _default_params():
    return yaml.safe_load(default_params_text())


def default_params():
    """The default run's params."""
    return deepcopy(_default_params())


def read_committed(path):
    """The text of a file as the last commit has it."""
    return _git("show", f"HEAD:{path}")


def list_committed(*folders):
    """The files of the last commit in some folders."""
    return _git("ls-tree", "-r", "--name-only", "HEAD", *folders).splitlines()


def _git(*command):
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
