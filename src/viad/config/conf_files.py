"""Reading the files of conf/ without Hydra, from this folder or from a commit, and the default parameters."""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from viad.errors import ConfigError

FACTS = "facts"  # block of a file that Hydra leaves out: conf/hydra_plugins/facts.py


def read_facts(group: str, name: str) -> dict[str, Any]:
    """Read the facts of an option in this folder's conf/, such as the licence of a dataset; {} if it has none.

    Raises:
        ConfigError: there is no such option.
    """
    path = f"conf/{group}/{name}.yaml"
    content = read_yaml(path)
    if content is None:
        raise ConfigError(f"{path} is missing. {group}.name has to be the name of a file in conf/{group}/.")
    return dict(content.get(FACTS) or {})


def read_option(path: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """Read a file of conf/ with the bases in its defaults list, as Hydra composes them; {} if the file is missing.

    It replaces Hydra because it also reads files of other commits, which are in no folder.

    Args:
        path: such as conf/dataset/elpv.yaml.
        read: returns the content of a file by its path, None if the file is missing.
    """
    own = dict(read(path) or {})
    own.pop(FACTS, None)
    for base in own.pop("defaults", []):
        for group, name in base.items() if isinstance(base, Mapping) else ():
            own[group] = (read(f"{path.rpartition('/')[0]}/{group}/{name}.yaml") or {}) | own.get(group, {})
    return own


def read_defaults(conf: Path) -> dict[str, Any]:
    """Compose conf/ without overrides, for a model whose preset names neither backbone nor image size.

    Dataset and model are reduced to their names. Hydra itself would take half a second.

    Raises:
        ConfigError: a file is missing.
    """
    from omegaconf import OmegaConf

    def load(name: str) -> dict[str, Any]:
        return dict(yaml.safe_load((conf / f"{name}.yaml").read_text(encoding="utf-8")))

    try:
        runpy.run_path(str(conf / "hydra_plugins/resolvers.py"))
        config = load("config")
        choices = [pair for entry in config.pop("defaults") if entry != "_self_" for pair in entry.items()]
        for group, option in choices:
            block = {"name": option} if group in ("dataset", "model") else load(f"{group}/{option}")
            config |= block if group in block else {group: block}
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing. Restore it: `git checkout -- conf`.") from error
    return dict(OmegaConf.to_container(OmegaConf.create(config), resolve=True))  # type: ignore[arg-type]


def read_yaml(path: str) -> Any:
    """Read a yaml of this folder's conf/; None if the file is missing."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else None
