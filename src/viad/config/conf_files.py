"""The files of conf/, read without Hydra: of this folder or of a commit, and the values that they give by default."""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from viad.errors import ConfigError


def read_option(path: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """A file of conf/ with the bases that its defaults list names, as Hydra composes them; {} where there is none.

    Only that much of Hydra, since it must also serve for files of other commits, which are in no folder.

    Args:
        path: such as conf/dataset/elpv.yaml.
        read: the content of a file by path, None where there is none.
    """
    own = dict(read(path) or {})
    for base in own.pop("defaults", []):
        for group, name in base.items() if isinstance(base, Mapping) else ():
            own[group] = (read(f"{path.rpartition('/')[0]}/{group}/{name}.yaml") or {}) | own.get(group, {})
    return own


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
        runpy.run_path(str(conf / "hydra_plugins/resolvers.py"))
        config = load("config")
        choices = [pair for one in config.pop("defaults") if one != "_self_" for pair in one.items()]
        for group, option in choices:
            block = {"name": option} if group in ("dataset", "model") else load(f"{group}/{option}")
            config |= block if group in block else {group: block}
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing. Restore it: `git checkout -- conf`.") from error
    return dict(OmegaConf.to_container(OmegaConf.create(config), resolve=True))  # type: ignore[arg-type]


def read_yaml(path: str) -> Any:
    """The content of a yaml of this folder's conf/; None where there is none."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else None
