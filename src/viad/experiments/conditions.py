"""The table of conditions: what distinguishes one experiment from another, an entry each.

Names, columns, titles, tables, curves and the generated docs are derived from it. A new condition costs its key in
conf/config.yaml, the stage that reads it, and its entry here. Baselines are not in the table: conf/ has them. A
parameter that has no entry and is not excluded below still distinguishes an experiment, as one of its overrides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

from viad.config.conf_files import read_defaults

PROJECT = Path(__file__).parents[3]


class Place(IntEnum):
    """Where in the name of an experiment a value stands."""

    HEAD, BODY, TAIL = range(3)


@dataclass(frozen=True)
class Axis:
    """The question what one condition changes, all others held equal: rows of the table of effects, and curves."""

    name: str  # in `shows` of conf/study/
    label: str
    column: str = ""  # of the prepared table of experiments; '' is that of the condition
    together: tuple[str, ...] = ()  # other conditions whose value the baseline of this one does not have
    categorical: bool = False
    from_lowest: bool = False  # whether the lowest value that was run is the baseline, not that of conf/


@dataclass(frozen=True)
class Condition:
    """One condition of an experiment.

    key: dotted, in params.yaml and of the column in tables.
    in_name: how a value other than the baseline stands in an experiment's name; None if it does not.
    in_words: how such a value is said in a sentence; None where tables say it by a column of its own.
    meaning: for docs/conditions.md.
    place: in the name. always_named: whether the name has the baseline too.
    followed_by: a condition whose value stands behind this one's, in names and words.
    held: whether two experiments must have the same value to be compared.
    """

    key: str
    meaning: str
    in_name: str | None = "{}"
    in_words: str | None = "{}"
    place: Place = Place.BODY
    always_named: bool = False
    followed_by: str | None = None
    held: bool = True
    axis: Axis | None = None


OVERRIDES = "overrides"  # no parameter, but all that differ from conf/ and have no entry: viad.experiments.overrides
CONDITIONS = (
    Condition("model.name", "the detector", place=Place.HEAD, always_named=True, in_words=None, held=False),
    Condition("dataset.name", "the data", place=Place.HEAD, always_named=True, in_words=None),
    Condition("backbone.name", "the frozen network that gives the features", in_words=None),
    Condition("image_size", "pixels of both sides", place=Place.HEAD, always_named=True, in_words=None,
              axis=Axis("input_size", "image size, pixels")),
    Condition("color", "colour or grey", axis=Axis("color", "colour", categorical=True)),
    Condition("aspect", "how an image becomes square", axis=Axis("aspect", "how images become square",
              categorical=True)),
    Condition("center_crop", "share of each side that is kept", in_name="crop{}", in_words="centre crop {}",
              axis=Axis("crop", "share of each side kept")),
    Condition("protocol", "how the images are split", in_words="{} split",
              axis=Axis("protocol", "split", categorical=True)),
    Condition("shift.name", "what changes the test images", place=Place.HEAD, followed_by="shift.severity"),
    Condition("shift.severity", "how much it changes them", in_name=None, in_words=None,
              axis=Axis("shift", "severity", together=("shift.name",))),
    Condition("contamination.ratio", "share of the training images that are anomalous but labelled normal",
              in_name="contamination{}", in_words="contamination {}",
              axis=Axis("contamination", "share of training images that are anomalous",
                        together=("contamination.source",))),
    Condition("contamination.source", "where these anomalies come from", in_words="{} source"),
    Condition("supervision.anomalies", "labelled anomalies for training", in_name="labels{}", in_words=None, held=False,
              axis=Axis("supervision", "labelled anomalies", column="labels", categorical=True, from_lowest=True)),
    Condition("supervision.defects", "the defect types of the labelled anomalies", in_name="of_{}",
              in_words="labels of {} only",
              axis=Axis("seen_defects", "defect types that labels show", categorical=True)),
    Condition("supervision.masks", "whether training sees the masks of labelled anomalies", in_name="unmasked",
              in_words="labels without masks", axis=Axis("masks", "masks of labelled anomalies", categorical=True)),
    Condition("validation.name", "what early stopping looks at", in_name="val_{}",
              in_words="stops on validation ({})",
              axis=Axis("validation", "what early stopping looks at", categorical=True)),
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
    Condition("seed", "of training and of sampling the conditions", in_name="s{}", in_words=None, place=Place.TAIL,
              always_named=True, held=False),
)  # fmt: skip
KEYS = tuple(condition.key for condition in CONDITIONS)
HELD = tuple(condition.key for condition in CONDITIONS if condition.held)

# Parameters that are neither conditions nor overrides, and why; a name that ends in a dot is all below it.
EXCLUDED = {
    "accelerator": "where an experiment runs; scores agree within rounding",
    "bootstrap.resamples": "how finely intervals are computed; no score depends on it",
    "dataset.about.": "words on the dataset",
    "dataset.attribution": "the owners of the images",
    "dataset.archive": "where the files come from",
    "dataset.archive.": "where the files come from",
    "dataset.categories": "each category has rows of its own",
    "dataset.counts": "what the files are checked against",
    "dataset.counts.": "what the files are checked against",
    "dataset.source": "a path on one machine (what synthetic images are rendered with, below it, is an override)",
    "dataset.source.folder": "a path on one machine",
    "model.needs": "the hardware that the model needs",
    "model.path": "a path on one machine; predictions of another detector have another `model.name`",
    "model.practice.": "declared of external predictions, in columns of its own",
}


def is_excluded(key: str) -> bool:
    """Whether a parameter distinguishes no experiment."""
    return key in EXCLUDED or any(name.endswith(".") and key.startswith(name) for name in EXCLUDED)


def read_baselines() -> dict[str, Any]:
    """By key the value of each condition in conf/: of the working folder or, if it has none, of this project."""
    here = Path("conf").resolve()
    return dict(_read_baselines(here if (here / "config.yaml").is_file() else PROJECT / "conf"))


@cache
def _read_baselines(conf: Path) -> Mapping[str, Any]:
    values = read_defaults(conf)
    return {key: "" if key == OVERRIDES else lookup(values, key) for key in KEYS}


def baseline_texts() -> dict[str, str]:
    """The same as text, as `as_text` gives it."""
    return {key: as_text(value) for key, value in read_baselines().items()}


def read_conditions(params: Mapping[str, Any], overrides: str) -> dict[str, Any]:
    """The conditions of an experiment by key; where its params lack one, as those of earlier versions do, its baseline.

    Args:
        params: composed, as nested tables.
        overrides: of the experiment, as `viad.experiments.overrides` finds them.
    """
    written = {key: lookup(params, key) for key in KEYS} | {OVERRIDES: overrides}
    return {key: written[key] if written[key] is not None else value for key, value in read_baselines().items()}


def as_text(value: Any) -> str:
    """A value of a condition in tables: 256.0, which a table with gaps makes of 256, is '256'; None is ''.

    A list, of defect types, is joined by '+'; an empty one is 'all'.
    """
    if isinstance(value, list):
        return "+".join(map(str, value)) or "all"
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_cell(value: Any) -> Any:
    """A value as the table of experiments has it: a list as text, anything else as it is."""
    return as_text(value) if isinstance(value, list) else value


def lookup(params: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where there is none."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
