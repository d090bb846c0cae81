"""What an experiment sets otherwise than the files of its conf/ say, such as `model.small.args.num_neighbors=1`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Files of conf/ by the part of the params that they give, and the keys there that change a result.
FILES = {
    "dataset": "conf/dataset/{}.yaml",
    "model": "conf/model/{}.yaml",
    "validation": "conf/validation/{}.yaml",
}
KEYS = ("dataset.options.", "dataset.split.", "model.paper.", "model.small.", "validation.patience")
TOP, TOP_KEYS = "conf/config.yaml", ("threshold.",)


def changed_settings(params: Mapping[str, Any], read: Callable[[str], Any]) -> str:
    """`KEY=VALUE` of each parameter that is not a condition and not as in conf/, sorted; '' if there is none.

    Args:
        params: of the experiment.
        read: the content of a file of its conf/ by path, None where there is none.
    """
    there = dict(_flat({part: read(file.format(_name(params, part))) or {} for part, file in FILES.items()}))
    there |= {key: value for key, value in _flat(read(TOP) or {}) if key.startswith(TOP_KEYS)}
    changed = [
        f"{key}={value}"
        for key, value in _flat(params)
        if key.startswith((*KEYS, *TOP_KEYS)) and key in there and "${" not in str(there[key]) and value != there[key]
    ]
    return ", ".join(sorted(changed))


def _name(params: Mapping[str, Any], part: str) -> str:
    return str(params.get(part, {}).get("name", ""))


def _flat(tree: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value
