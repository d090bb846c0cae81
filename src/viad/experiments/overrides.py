"""Overrides: the parameters of an experiment that differ from conf/, such as `model.small.args.num_neighbors=1`.

Every parameter that changes a result and is not a condition is an override, so that experiments with different results
have different names. `find_overrides` compares the params with conf/ as committed where the experiment started. An
edited and uncommitted yaml therefore adds overrides, although the experiment's own git tree has the edited file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from viad.config.conf_files import read_option
from viad.experiments.conditions import CONDITION_KEYS, is_excluded

CONFIG_PATH = "conf/config.yaml"
CONF_GROUPS = ("dataset", "model", "backbone", "shift", "validation")  # keys of params whose block is a file in conf/
ReadYaml = Callable[[str], Any]  # returns the content of a yaml by path; None if the file does not exist


def find_overrides(params: Mapping[str, Any], read: ReadYaml) -> str:
    """List `KEY=VALUE` for each parameter that differs from conf/ and `~KEY` for each missing one, sorted; '' for none.

    Without a conf/config.yaml there are no overrides, and none in blocks whose yaml does not exist.

    Args:
        params: of the experiment.
        read: reads the yamls of its conf/.
    """
    config = read(CONFIG_PATH)
    if config is None:
        return ""
    blocks = {group: read_option(locate_block(group, params), read) for group in CONF_GROUPS}
    committed = dict(_flatten(config | {group: block for group, block in blocks.items() if block}))
    unknown = tuple(f"{group}." for group, block in blocks.items() if not block)
    written = dict(_flatten(params))
    changes = [f"{key}={value}" for key, value in written.items() if _differs(key, value, committed)]
    changes += [f"~{key}" for key in committed if key != "defaults" and not _is_written(key, written)]
    overrides = [text for text in changes if _is_override(text.partition("=")[0].removeprefix("~"), unknown)]
    return ", ".join(sorted(overrides))


def locate_block(group: str, params: Mapping[str, Any]) -> str:
    """Return the path of the yaml in conf/ with the block of a group that an experiment uses."""
    return f"conf/{group}/{(params.get(group) or {}).get('name', '')}.yaml"


def _is_override(key: str, unknown: tuple[str, ...]) -> bool:
    return key not in CONDITION_KEYS and not is_excluded(key) and not key.startswith(unknown)


def _differs(key: str, value: Any, committed: Mapping[str, Any]) -> bool:
    parts = key.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    if any("${" in str(committed.get(name)) for name in above):
        return False  # an interpolation: it follows another value
    return key not in committed or value != committed[key]


def _is_written(key: str, written: Mapping[str, Any]) -> bool:
    return key in written or any(other.startswith(f"{key}.") for other in written)


def _flatten(tree: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


@dataclass
class CommittedConf:
    """conf/ of many experiments, each as committed where the experiment started.

    An experiment can run with a yaml that was never committed, so that its git tree lacks the file. Its params are then
    compared with the yaml of that name in the present commit or, without one, with the block of the first experiment
    that used the yaml: the first has no overrides, and a variant has its differences.

    present: reads the present commit. Request the experiments in the order of their time.
    """

    present: ReadYaml
    _first: dict[str, Any] = field(default_factory=dict)

    def make_reader(self, start: ReadYaml, params: Mapping[str, Any]) -> ReadYaml:
        """Make the `read` of `find_overrides` for an experiment, given the commit where it started and its params."""
        used = {locate_block(group, params): params.get(group) for group in CONF_GROUPS}

        def read(path: str) -> Any:
            content = start(path)
            if content is None and path != CONFIG_PATH:
                content = self.present(path)
            return self._first.setdefault(path, used[path]) if content is None and path in used else content

        return read
