"""conf/: composed into params.yaml, as `dvc exp run` does it, and what its files say of themselves."""

import itertools
import runpy
from collections.abc import Sequence
from pathlib import Path

from viad.config.params import PARAMS_FILE
from viad.errors import ConfigError


def compose_params(overrides: Sequence[str], out: Path = PARAMS_FILE) -> None:
    """Write what conf/ composes to, with DVC's own composition.

    Raises:
        ConfigError: Hydra knows an override's group, option or key not; the message lists what it knows.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    conf = Path("conf").resolve()
    # Hydra looks for plugins once in a process; this process may compose another checkout's conf/ next.
    runpy.run_path(str(conf / "hydra_plugins/group_option.py"))
    try:
        compose_and_dump(out, str(conf), None, "config", str(conf), list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error)) from error


def head_comment(path: Path) -> str:
    """The comment at the head of a file of conf/, as one line: what it is, its paper, its question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
