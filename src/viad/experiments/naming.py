"""Names of experiments that say what they are, such as patchcore-elpv-256-s3341."""

import re
from collections.abc import Mapping
from typing import Any

RANDOM = re.compile(r"[a-z]{5}-[a-z]{4}")  # what DVC calls an experiment that nobody named

BACKBONE = "efficientnet_lite0"
SMALL = "small"

# Beside model, dataset, image size and seed a name holds what is not as by default:
# parameter, its default, and how its value stands in the name.
NOTED: tuple[tuple[str, Any, str], ...] = (
    ("backbone.name", BACKBONE, "{}"),
    ("color", "rgb", "{}"),
    ("aspect", "squash", "{}"),
    ("center_crop", 1, "crop{}"),
    ("protocol", "study", "{}"),
    ("contamination.ratio", 0, "contamination{}"),
    ("contamination.source", "reserve", "{}"),
    ("supervision.anomalies", 0, "labels{}"),
    ("supervision.defects", [], "of_{}"),
    ("supervision.masks", True, "unmasked"),
    ("validation.name", "none", "val_{}"),
    ("audit.exclude", "none", "no_{}"),
    ("preset", SMALL, "{}"),
    ("epochs", None, "epochs{}"),
    ("precision", "float32", "{}"),
    ("settings", "", "{}"),  # what is not as in conf/, as viad.experiments.overrides says it
)


def experiment_name(params: Mapping[str, Any]) -> str:
    """The name for an experiment with these parameters, by dotted key; absent ones count as default."""
    parts = [_plain(params[key]) for key in ("model.name", "dataset.name", "image_size")]
    shift = params.get("shift.name", "none")
    if shift != "none":
        parts.append(f"{shift}{_plain(params.get('shift.severity', ''))}")
    for key, default, form in NOTED:
        value = params.get(key, default)
        if value != default:
            parts.append(form.format(_plain(value)))
    parts.append(f"s{_plain(params['seed'])}")
    # Git allows neither blanks nor colons in a ref.
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts)).replace("..", "_")


def _plain(value: Any) -> str:
    """A value as written in params.yaml: a table gives 256 as 256.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
