"""Composing conf/ into params.yaml, as `dvc exp run` does, and reading the head comments of its files."""

import itertools
import re
import runpy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from viad.artifacts.dvc_adapter import compose_config
from viad.config.conf_files import FACTS
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


def compose_options(conf: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Compose conf/ with overrides that choose options of groups or set keys of config.yaml, without Hydra.

    A study composes dozens of them, each in a hundredth of Hydra's time.

    Args:
        conf: the absolute path of conf/.
        overrides: KEY=VALUE, without dots in the key.

    Returns:
        The same params as Hydra's; None if the files or overrides need more of Hydra than this function knows, or are
        wrong. Hydra then composes them or explains the error.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    runpy.run_path(str(conf / "hydra_plugins/resolvers.py"))
    chosen = dict(one.split("=", 1) for one in overrides if re.fullmatch(r"\w+=[\w.-]+", one))
    if len(chosen) < len(overrides):
        return None
    try:
        own, groups = _read_option_file(conf / "config.yaml")
        files = [_read_option_file(conf / group / f"{chosen.pop(group, name)}.yaml") for group, name in groups.items()]
        if chosen.keys() - own.keys():
            return None
        parts = []
        for group, (block, bases) in zip(groups, files, strict=True):
            based = {base: _read_option_file(conf / group / base / f"{name}.yaml") for base, name in bases.items()}
            if any(more for _, more in based.values()):
                return None
            parts += [{group: {base: content}} for base, (content, _) in based.items()]
            # A block at the root, whose package is _global_, names its group itself.
            parts.append(block if block.keys() == {group} else {group: block})
        values = {key: yaml.safe_load(value) for key, value in chosen.items()}
        return dict(OmegaConf.to_container(OmegaConf.merge(*parts, own, values), resolve=True))  # type: ignore[arg-type]
    except (_NeedsHydraError, OmegaConfBaseException):
        return None


class _NeedsHydraError(Exception):
    """A file is missing, or uses more of Hydra than a list of options."""


def _read_option_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a file of conf/ as Hydra does, without facts and defaults list, and the option of each group in that list.

    Raises:
        _NeedsHydraError: the file is missing, or has more than options before `_self_` in its list, or another package
            than its own group or the root.
    """
    if not path.is_file():
        raise _NeedsHydraError(path)
    return _parse_option_file(path.parent.name, path.read_text(encoding="utf-8"))


@cache
def _parse_option_file(group: str, text: str) -> tuple[dict[str, Any], dict[str, str]]:
    from omegaconf import OmegaConf

    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    packages = re.findall(r"^\s*#\s*@package\s+(.*?)\s*$", text, re.M)
    if not isinstance(content, dict) or packages != (["_global_"] if content.keys() == {group} else []):
        raise _NeedsHydraError(group)
    content.pop(FACTS, None)
    listed = content.pop("defaults", ["_self_"])
    pairs = [pair for entry in listed[:-1] if isinstance(entry, dict) for pair in entry.items()]
    plain = all(re.fullmatch(r"\w+", str(group)) and re.fullmatch(r"[\w-]+", str(name)) for group, name in pairs)
    if listed[-1:] != ["_self_"] or len(pairs) != len(listed) - 1 or not plain:
        raise _NeedsHydraError(group)
    return content, {str(group): str(name) for group, name in pairs}


def head_comment(path: Path) -> str:
    """Read the comment at the head of a file of conf/, joined to one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
