"""What an experiment sets otherwise than the files of its conf/ say, such as `model.small.args.num_neighbors=1`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from viad.config.composition import read_option

# Parts of the params that come from a file of their own in conf/, and the keys that change a result.
PARTS = ("dataset", "model", "validation")
KEYS = ("dataset.options.", "dataset.split.", "model.paper.", "model.small.", "threshold.", "validation.patience")


def changed_settings(params: Mapping[str, Any], read: Callable[[str], Any]) -> str:
    """`KEY=VALUE` of each parameter that is not a condition and not as in conf/, sorted; '' if there is none.

    Args:
        params: of the experiment.
        read: the content of a file of its conf/ by path, None where there is none.
    """
    names = {part: params.get(part, {}).get("name", "") for part in PARTS}
    groups = {part: read_option(f"conf/{part}/{name}.yaml", read) for part, name in names.items()}
    there = dict(_flat((read("conf/config.yaml") or {}) | groups))
    changed = [
        f"{key}={value}"
        for key, value in _flat(params)
        if key.startswith(KEYS) and key in there and "${" not in str(there[key]) and value != there[key]
    ]
    return ", ".join(sorted(changed))


def _flat(tree: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value
