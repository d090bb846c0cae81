"""conf/: composed into params.yaml, as `dvc exp run` does it, and what its files say of themselves."""

import itertools
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

    try:
        compose_and_dump(out, str(Path("conf").resolve()), None, "config", str(Path.cwd()), list(overrides))
    except HydraException as error:
        raise ConfigError(str(error)) from error


def head_comment(path: Path) -> str:
    """The comment at the head of a file of conf/, as one line: what it is, its paper, its question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
