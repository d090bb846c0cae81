"""Names of experiments, composed from their conditions, such as patchcore-elpv-256-s3341."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from viad.experiments.conditions import CONDITIONS, Condition, read_baselines

RANDOM_NAME = re.compile(r"[a-z]{5}-[a-z]{4}")  # the name that DVC gives an experiment by default
MAX_VALUE_LENGTH = 120  # characters of one value in a name: a git ref is a file, whose name has 255


def name_experiment(params: Mapping[str, Any]) -> str:
    """Compose the name of an experiment from its parameters by dotted key; a missing key or None means the baseline."""
    baselines, parts = read_baselines(), []
    for condition in sorted(CONDITIONS, key=lambda condition: condition.place):
        value, baseline = params.get(condition.key), baselines[condition.key]
        changed = value is not None and value != baseline
        if condition.in_name is not None and (condition.always_named or changed):
            parts.append(_format_part(condition, baseline if value is None else value, params))
    return "-".join(parts).replace("..", "_")


def _format_part(condition: Condition, value: Any, params: Mapping[str, Any]) -> str:
    part = str(condition.in_name).format(_format_as_written(value))
    if condition.followed_by is not None:
        part += _format_as_written(params.get(condition.followed_by, ""))
    # Git allows neither blanks nor colons in a ref.
    part = re.sub(r"[^A-Za-z0-9._-]+", "_", part)
    if len(part) <= MAX_VALUE_LENGTH:
        return part
    return f"{part[: MAX_VALUE_LENGTH - 9]}_{hashlib.sha256(part.encode()).hexdigest()[:8]}"


def _format_as_written(value: Any) -> str:
    """Format a value as params.yaml has it: pandas turns 256 into 256.0 in a column with gaps."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
