"""Composing conf/ into params.yaml, as `dvc exp run` does, and reading the head comments of its files."""

import itertools
import runpy
from collections.abc import Sequence
from pathlib import Path

from viad.artifacts.dvc_adapter import compose_config
from viad.config.params import PARAMS_FILE


def compose_params(overrides: Sequence[str], out: Path = PARAMS_FILE, conf: Path = Path("conf")) -> None:
    """Compose `conf` with the overrides, by DVC's own composition, and write the result.

    Raises:
        ConfigError: Hydra does not know the group, option or key of an override; the message lists the known ones.
    """
    conf = conf.resolve()
    # Hydra looks for plugins once in a process; this process may compose another checkout's conf/ next.
    runpy.run_path(str(conf / "hydra_plugins/resolvers.py"))
    compose_config(conf, overrides, out)


def head_comment(path: Path) -> str:
    """Read the comment at the head of a file of conf/, joined to one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
