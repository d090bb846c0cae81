"""What two experiments must share to be compared, and how a condition is called in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from viad.experiments.naming import BACKBONE, SMALL

# What a setting consists of, and its plain value (None: whatever it is, it must be equal).
SETTING: dict[str, Any] = {
    "dataset.name": None, "backbone.name": None, "image_size": None, "color": "rgb", "aspect": "squash",
    "center_crop": "1", "protocol": "study", "shift.name": "none", "shift.severity": "0", "contamination.ratio": "0",
    "contamination.source": "reserve", "supervision.defects": "all", "supervision.masks": "True",
    "validation.name": "none", "audit.exclude": "none", "epochs": "", "precision": "float32", "settings": "",
    "preset": None,
}  # fmt: skip
WORDS = {
    "color": "{}", "aspect": "{}", "center_crop": "centre crop {}", "protocol": "{} split", "shift.name": "{}",
    "shift.severity": "{}", "contamination.ratio": "contamination {}", "contamination.source": "{} noise",
    "supervision.defects": "labels of {} only", "supervision.masks": "labels without masks",
    "validation.name": "stops on validation ({})", "audit.exclude": "no {}", "epochs": "{} epochs", "precision": "{}",
    "settings": "{}",
}  # fmt: skip
PLAIN = "plain"
USUAL = {"backbone.name": BACKBONE, "preset": SMALL}  # as by default


@dataclass(frozen=True)
class Axis:
    """One condition that is varied while all others are held: a study's question."""

    column: str
    label: str
    together: tuple[str, ...] = ()  # other columns that the plain value of this one sets
    categorical: bool = False


AXES = {
    "input_size": Axis("image_size", "image size, pixels"),
    "shift": Axis("shift.severity", "severity", together=("shift.name",)),
    "contamination": Axis(
        "contamination.ratio", "share of training images that are anomalous", together=("contamination.source",)
    ),
    "supervision": Axis("labels", "labelled anomalies", categorical=True),
    "seen_defects": Axis("supervision.defects", "defect types that labels show", categorical=True),
    "validation": Axis("validation.name", "what early stopping looks at", categorical=True),
    "epochs": Axis("epochs", "epochs of training"),
    "crop": Axis("center_crop", "share of each side kept"),
    "color": Axis("color", "colour", categorical=True),
    "settings": Axis("settings", "settings other than those in conf/", categorical=True),
}
BASELINE = {  # by axis, the value that the others are compared with; None: the lowest there is
    "input_size": "256", "shift": "0", "contamination": "0", "supervision": None, "seen_defects": "all",
    "validation": "none", "epochs": "", "crop": "1", "color": "rgb", "settings": "",
}  # fmt: skip


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """The table of experiments with conditions as plain text, `labels`, `detector` and `condition`.

    `labels` is the number of labelled anomalies; `detector` names the model and, if it is supervised, that number.
    """
    table = table.copy()
    for column in SETTING:
        table[column] = _texts(table[column])
    table["labels"] = _texts(table["supervision.anomalies"])
    supervised = table["training.learning_type"] == "supervised"
    table.loc[~supervised, "labels"] = "0"  # others do not see them
    counted = " (" + table["labels"] + table["labels"].map(lambda number: " label)" if number == "1" else " labels)")
    table["detector"] = table["model.name"].where(~supervised, table["model.name"] + counted)
    table["condition"] = [in_words(row) for row in table[list(SETTING)].to_dict("records")]
    return table


def _texts(values: pd.Series) -> pd.Series:
    # Not `map`: it would make NaN of '' in a column of numbers.
    return pd.Series([as_text(value) for value in values], index=values.index, dtype=object)


def as_text(value: Any) -> str:
    """A condition as it stands in params.yaml: 256.0, which a table with gaps makes of 256, is '256'; none is ''."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def in_words(setting: Mapping[Any, Any]) -> str:
    """What is not plain in a setting, such as 'brightness 3', or 'plain'."""
    unlike = {key: setting[key] for key, plain in SETTING.items() if plain is not None and setting[key] != plain}
    parts = [WORDS[key].format(value) for key, value in unlike.items() if key != "shift.severity"]
    if "shift.name" in unlike:
        parts = [f"{part} {setting['shift.severity']}" if part == setting["shift.name"] else part for part in parts]
    return ", ".join(parts) or PLAIN


def unusual(setting: Mapping[Any, Any]) -> str:
    """Backbone and preset where they are not the usual ones, such as ', wide_resnet50_2, preset paper'; else ''."""
    backbone, preset = (setting.get(column) for column in USUAL)
    said = [] if backbone in (USUAL["backbone.name"], None, "") else [str(backbone)]
    said += [] if preset in (USUAL["preset"], None, "") else [f"preset {preset}"]
    return "".join(f", {one}" for one in said)


def held(axis: Axis | None = None) -> list[str]:
    """The columns that are equal when `axis` is varied (all without one)."""
    varied = set() if axis is None else {axis.column, *axis.together}
    return [column for column in SETTING if column not in varied]


def in_order(values: Iterable[str]) -> list[str]:
    """Values of an axis in their order: numbers by size, then words; '' and 'all' last."""
    return sorted(set(values), key=lambda value: (value in ("", "all"), not is_number(value), _number(value), value))


def is_number(value: str) -> bool:
    """Whether a value of an axis is a number from 0 on."""
    return value.replace(".", "", 1).isdigit()


def _number(value: str) -> float:
    return float(value) if is_number(value) else 0.0
