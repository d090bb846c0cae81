"""conf/: composed into params.yaml, as `dvc exp run` does it, and what its files say of themselves."""

import itertools
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

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


def read_defaults(conf: Path) -> dict[str, Any]:
    """What conf/ composes to without overrides, for a model whose preset names neither backbone nor image size.

    Of dataset and model there is the name only. Hydra itself would take every caller half a second.

    Raises:
        ConfigError: a file is missing.
    """
    from omegaconf import OmegaConf

    def load(name: str) -> dict[str, Any]:
        return dict(yaml.safe_load((conf / f"{name}.yaml").read_text(encoding="utf-8")))

    try:
        runpy.run_path(str(conf / "hydra_plugins/group_option.py"))
        config = load("config")
        choices = [pair for one in config.pop("defaults") if one != "_self_" for pair in one.items()]
        for group, option in choices:
            block = {"name": option} if group in ("dataset", "model") else load(f"{group}/{option}")
            config |= block if group in block else {group: block}
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing. Restore it: `git checkout -- conf`.") from error
    return dict(OmegaConf.to_container(OmegaConf.create(config), resolve=True))  # type: ignore[arg-type]


def read_conf(path: str) -> Any:
    """The content of a yaml of this folder's conf/; None where there is none."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else None


def head_comment(path: Path) -> str:
    """The comment at the head of a file of conf/, as one line: what it is, its paper, its question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
