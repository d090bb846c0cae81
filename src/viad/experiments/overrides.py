"""Overrides: the parameters of an experiment that differ from conf/, such as `model.small.args.num_neighbors=1`.

Everything that changes a result and is no condition is one, so that no two experiments with different results have one
name. They are found by comparison with conf/ as it was committed where the experiment started. A yaml that was edited
and not committed therefore shows in them, although the experiment's own git tree has the edited file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from viad.config.conf_files import read_option
from viad.experiments.conditions import KEYS, is_excluded

CONFIG = "conf/config.yaml"
GROUPS = ("dataset", "model", "backbone", "shift", "validation")  # whose blocks have a file of their own in conf/
ReadYaml = Callable[[str], Any]  # the content of a yaml by path; None where there is none


def find_overrides(params: Mapping[str, Any], read: ReadYaml) -> str:
    """`KEY=VALUE` of each parameter that differs from conf/, `~KEY` of each that it lacks, sorted; '' if none does.

    Without a conf/config.yaml, and in blocks whose yaml does not exist, nothing is known to differ.

    Args:
        params: of the experiment.
        read: of its conf/.
    """
    config = read(CONFIG)
    if config is None:
        return ""
    blocks = {group: read_option(block_path(group, params), read) for group in GROUPS}
    committed = dict(_flatten(config | {group: block for group, block in blocks.items() if block}))
    unknown = tuple(f"{group}." for group, block in blocks.items() if not block)
    written = dict(_flatten(params))
    found = [f"{key}={value}" for key, value in written.items() if _differs(key, value, committed)]
    found += [f"~{key}" for key in committed if key != "defaults" and not _is_written(key, written)]
    return ", ".join(sorted(one for one in found if _counts(one.partition("=")[0].removeprefix("~"), unknown)))


def block_path(group: str, params: Mapping[str, Any]) -> str:
    """Where conf/ has the block of a group that an experiment uses."""
    return f"conf/{group}/{(params.get(group) or {}).get('name', '')}.yaml"


def _counts(key: str, unknown: tuple[str, ...]) -> bool:
    return key not in KEYS and not is_excluded(key) and not key.startswith(unknown)


def _differs(key: str, value: Any, committed: Mapping[str, Any]) -> bool:
    parts = key.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    if any("${" in str(committed.get(name)) for name in above):
        return False  # it follows another value
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
    """conf/ for many experiments: as committed where each of them started.

    An experiment can run with a yaml that was never committed, and its git tree lacks the file. Then it is compared
    with the yaml of that name in the present commit or, if there is none, with the block of the first experiment that
    used it: the first has no overrides, and a variant has its differences.

    present: reads the present commit. Experiments have to be asked for in the order of their time.
    """

    present: ReadYaml
    _first: dict[str, Any] = field(default_factory=dict)

    def reader(self, start: ReadYaml, params: Mapping[str, Any]) -> ReadYaml:
        """What `find_overrides` reads for an experiment, given the commit where it started and its params."""
        used = {block_path(group, params): params.get(group) for group in GROUPS}

        def read(path: str) -> Any:
            found = start(path)
            if found is None and path != CONFIG:
                found = self.present(path)
            return self._first.setdefault(path, used[path]) if found is None and path in used else found

        return read
