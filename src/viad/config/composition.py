"""conf/: composed into params.yaml, as `dvc exp run` does it, and what its files say of themselves."""

import itertools
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from viad.artifacts.dvc_adapter import compose_config
from viad.config.params import PARAMS_FILE


def compose_params(overrides: Sequence[str], out: Path = PARAMS_FILE) -> None:
    """Write what conf/ composes to, with DVC's own composition.

    Raises:
        ConfigError: Hydra does not know the group, option or key of an override; the message lists what it knows.
    """
    conf = Path("conf").resolve()
    # Hydra looks for plugins once in a process; this process may compose another checkout's conf/ next.
    runpy.run_path(str(conf / "hydra_plugins/group_option.py"))
    compose_config(conf, overrides, out)


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


def head_comment(path: Path) -> str:
    """The comment at the head of a file of conf/, as one line: what it is, its paper, its question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda one: one[:1] == "#", lines))
