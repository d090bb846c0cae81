"""The table of conditions: one entry for each parameter that distinguishes experiments.

Names, columns, titles, tables, curves and the generated docs are derived from it. A new condition needs its key in
conf/config.yaml, a stage that reads it, and its entry here. The baselines are in conf/, not in the table. A parameter
that has no entry and is not excluded below still distinguishes an experiment, as one of its overrides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

from viad.config.conf_files import read_defaults

PROJECT_FOLDER = Path(__file__).parents[3]


class Place(IntEnum):
    """The position of a value in the name of an experiment."""

    HEAD, BODY, TAIL = range(3)


@dataclass(frozen=True)
class Axis:
    """A condition that tables of effects and curves vary while all other conditions stay equal."""

    name: str  # in `shows` of conf/study/
    label: str
    column: str = ""  # in the table of `prepare_experiments`; '' means the condition's key
    joint_keys: tuple[str, ...] = ()  # other conditions that have no value in the baseline of this one
    categorical: bool = False
    from_lowest: bool = False  # whether the baseline is the lowest value that was run instead of the value in conf/


@dataclass(frozen=True)
class Condition:
    """One condition of an experiment.

    key: the dotted key in params.yaml, and the column in tables.
    meaning: the text in docs/conditions.md.
    in_name: the format of a value other than the baseline in an experiment's name; None if the name leaves it out.
    in_words: the format of such a value in a sentence; None if the tables have a column for it.
    place: the position in the name. always_named: whether the name contains the baseline too.
    followed_by: a condition whose value follows this one's in names and sentences.
    fixed: whether two experiments must have the same value to be compared.
    """

    key: str
    meaning: str
    in_name: str | None = "{}"
    in_words: str | None = "{}"
    place: Place = Place.BODY
    always_named: bool = False
    followed_by: str | None = None
    fixed: bool = True
    axis: Axis | None = None


# Not a parameter, but all parameters without an entry that differ from conf/ (viad.experiments.overrides).
OVERRIDES = "overrides"
CONDITIONS = (
    Condition("model.name", "the detector", place=Place.HEAD, always_named=True, in_words=None, fixed=False),
    Condition("dataset.name", "the data", place=Place.HEAD, always_named=True, in_words=None),
    Condition("backbone.name", "the frozen network that gives the features", in_words=None),
    Condition("image_size", "side of the square image, in pixels", place=Place.HEAD, always_named=True, in_words=None,
              axis=Axis("input_size", "image size, pixels")),
    Condition("color", "colour or grey", axis=Axis("color", "colour", categorical=True)),
    Condition("aspect", "how an image becomes square", axis=Axis("aspect", "how images become square",
              categorical=True)),
    Condition("center_crop", "share of each side that is kept", in_name="crop{}", in_words="centre crop {}",
              axis=Axis("crop", "share of each side kept")),
    Condition("protocol", "how the images are split", in_words="{} split",
              axis=Axis("protocol", "split", categorical=True)),
    Condition("shift.name", "the shift of the test images", place=Place.HEAD, followed_by="shift.severity"),
    Condition("shift.severity", "the strength of the shift, 1 to 5", in_name=None, in_words=None,
              axis=Axis("shift", "severity", joint_keys=("shift.name",))),
    Condition("contamination.ratio", "share of the training images that are anomalous but labelled normal",
              in_name="contamination{}", in_words="contamination {}",
              axis=Axis("contamination", "share of training images that are anomalous",
                        joint_keys=("contamination.source",))),
    Condition("contamination.source", "the source of these anomalies", in_words="{} source"),
    Condition("supervision.anomalies", "labelled anomalies for training", in_name="labels{}", in_words=None,
              fixed=False,
              axis=Axis("supervision", "labelled anomalies", column="labels", categorical=True, from_lowest=True)),
    Condition("supervision.defects", "the defect types of the labelled anomalies", in_name="of_{}",
              in_words="labels of {} only",
              axis=Axis("seen_defects", "defect types of the labels", categorical=True)),
    Condition("supervision.masks", "whether training sees the masks of labelled anomalies", in_name="unmasked",
              in_words="labels without masks", axis=Axis("masks", "masks of labelled anomalies", categorical=True)),
    Condition("validation.name", "images that early stopping monitors", in_name="val_{}",
              in_words="stops on validation ({})",
              axis=Axis("validation", "images that early stopping monitors", categorical=True)),
    Condition("audit.exclude", "images that the audit leaves out", in_name="no_{}", in_words="no {}",
              axis=Axis("excluded", "images that the audit leaves out", categorical=True)),
    Condition("preset", "training settings of the model", in_words=None),
    Condition("epochs", "epochs of training, in place of the preset's", in_name="epochs{}", in_words="{} epochs",
              axis=Axis("epochs", "epochs of training")),
    Condition("precision", "arithmetic of the frozen backbone", axis=Axis("precision", "precision", categorical=True)),
    Condition("threshold.false_positive_rate", "share of validation normals above the threshold", in_name="fpr{}",
              in_words="threshold at FPR {}"),
    Condition(OVERRIDES, "every other parameter that differs from conf/",
              axis=Axis("overrides", "parameters that differ from conf/", categorical=True)),
    Condition("seed", "seed of training and of sampling the conditions", in_name="s{}", in_words=None, place=Place.TAIL,
              always_named=True, fixed=False),
)  # fmt: skip
CONDITION_KEYS = tuple(condition.key for condition in CONDITIONS)
FIXED_KEYS = tuple(condition.key for condition in CONDITIONS if condition.fixed)

# Parameters that are neither conditions nor overrides, and the reason; a name that ends in a dot covers all keys below.
EXCLUDED_PARAMETERS = {
    "accelerator": "where an experiment runs; scores agree within rounding",
    "bootstrap.resamples": "how finely intervals are computed; no score depends on it",
    "audit.verify": "whether the files have to be as published",
    "dataset.categories": "each category has rows of its own",
    "dataset.source": "a path on one machine (what synthetic images are rendered with, below it, is an override)",
    "dataset.source.folder": "a path on one machine",
    "model.needs": "the hardware that the model needs",
    "model.path": "a path on one machine; predictions of another detector have another `model.name`",
    "model.practice.": "declared of external predictions, in columns of its own",
}


def is_excluded(key: str) -> bool:
    """Whether a parameter distinguishes no experiment."""
    return key in EXCLUDED_PARAMETERS or any(
        name.endswith(".") and key.startswith(name) for name in EXCLUDED_PARAMETERS
    )


def read_baselines() -> dict[str, Any]:
    """Read the value of each condition in conf/ of the working folder or, without one, of this project; by key."""
    here = Path("conf").resolve()
    return dict(_read_baselines(here if (here / "config.yaml").is_file() else PROJECT_FOLDER / "conf"))


@cache
def _read_baselines(conf: Path) -> Mapping[str, Any]:
    values = read_defaults(conf)
    return {key: "" if key == OVERRIDES else look_up(values, key) for key in CONDITION_KEYS}


def format_baselines() -> dict[str, str]:
    """Return the baselines by key, as text (`format_value`)."""
    return {key: format_value(value) for key, value in read_baselines().items()}


def read_conditions(params: Mapping[str, Any], overrides: str) -> dict[str, Any]:
    """Return the conditions of an experiment by key; a missing key, as in earlier versions, gets its baseline.

    Args:
        params: composed, as nested tables.
        overrides: of the experiment, as `viad.experiments.overrides` finds them.
    """
    written = {key: look_up(params, key) for key in CONDITION_KEYS} | {OVERRIDES: overrides}
    return {key: written[key] if written[key] is not None else value for key, value in read_baselines().items()}


def format_value(value: Any) -> str:
    """Format a condition's value for tables: 256.0, to which pandas converts 256 in a column with gaps, as '256'.

    None becomes ''.
    A list of defect types is joined by '+'; an empty list becomes 'all'.
    """
    if isinstance(value, list):
        return "+".join(map(str, value)) or "all"
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def format_cell(value: Any) -> Any:
    """Format a value for the table of experiments: a list as text, anything else unchanged."""
    return format_value(value) if isinstance(value, list) else value


def look_up(params: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key, or None if the key is missing."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
