"""Names of experiments that say what they are, such as patchcore-elpv-256-s3341."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from viad.experiments.conditions import CONDITIONS, Condition, read_baselines

RANDOM = re.compile(r"[a-z]{5}-[a-z]{4}")  # what DVC calls an experiment that nobody named
MOST = 120  # characters of one value in a name: a git ref is a file, whose name has 255


def experiment_name(params: Mapping[str, Any]) -> str:
    """The name for an experiment with these parameters, by dotted key; absent ones and None count as the baseline."""
    baselines, parts = read_baselines(), []
    for condition in sorted(CONDITIONS, key=lambda one: one.place):
        value, baseline = params.get(condition.key), baselines[condition.key]
        changed = value is not None and value != baseline
        if condition.in_name is not None and (condition.always_named or changed):
            parts.append(_in_name(condition, baseline if value is None else value, params))
    return "-".join(parts).replace("..", "_")


def _in_name(condition: Condition, value: Any, params: Mapping[str, Any]) -> str:
    said = str(condition.in_name).format(_as_written(value))
    if condition.followed_by is not None:
        said += _as_written(params.get(condition.followed_by, ""))
    # Git allows neither blanks nor colons in a ref.
    said = re.sub(r"[^A-Za-z0-9._-]+", "_", said)
    if len(said) <= MOST:
        return said
    return f"{said[: MOST - 9]}_{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def _as_written(value: Any) -> str:
    """A value as written in params.yaml: a table gives 256 as 256.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
