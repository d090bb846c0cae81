"""Caveats: checks that flag experiments with the methodological problems that the paper criticises."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from viad.comparison.condition_axes import number_runs
from viad.config.conf_files import read_facts


@dataclass(frozen=True)
class Caveat:
    """A methodological problem of a result."""

    title: str
    sentence: str


CAVEATS = {
    "selected_on_test": Caveat(
        "Chosen on test",
        "The model or its epoch was chosen on the test set. The value shows how well the choice fits these images, "
        "not how well the detector works on new ones.",
    ),
    "centre_crop": Caveat(
        "Centre crop",
        "The border of every image was cut away, with any defect in it, so the test set is a different one.",
    ),
    "test_threshold": Caveat(
        "Threshold from test",
        "Misses and false alarms, or F1, were measured at a threshold that was fitted on the test images themselves.",
    ),
    "best_epoch": Caveat(
        "Best epoch",
        "The value is the best of several evaluations, not the last one or one chosen on validation images.",
    ),
    "leaking_dataset": Caveat(
        "Duplicate images",
        "The audit found duplicate images, so the same image may be in training and in test. "
        "`audit.exclude=duplicates` leaves out exact duplicates.",
    ),
    "box_masks": Caveat(
        "Masks from boxes",
        "The masks were made of boxes, which contain normal pixels too. Pixel-level metrics show roughly where a "
        "detector looks, not how exactly it outlines defects.",
    ),
    "no_threshold": Caveat(
        "No threshold",
        "The false-alarm rate could not be measured: no validation normals to set a threshold, or no normal test "
        "images.",
    ),
    "one_seed": Caveat(
        "One seed", "The experiment ran with one seed only, so the spread over seeds is unknown.",
    ),
    "unequal": Caveat(
        "Unequal",
        "Most experiments on the same images have another backbone, preset or number of labels. Compare it only with "
        "experiments that have the same.",
    ),
}  # fmt: skip
EQUAL_COLUMNS = ("backbone.name", "preset", "labels")  # equal in a fair comparison


def find_caveats(table: pd.DataFrame) -> list[list[str]]:
    """Find the caveats of each row of the table from `prepare_experiments`, as keys of `CAVEATS`.

    External predictions declare their choice of epoch, threshold and crop in `model.practice`.
    """
    seeds = table.groupby([number_runs(table), "category"])["seed"].transform("nunique")
    unequal = _find_unequal(table)
    boxes = {name for name in table["dataset.name"].unique() if _has_box_masks(name)}
    return [
        _find_row_caveats(row, one_seed=count < 2, unequal=unlike, box_masks=row["dataset.name"] in boxes)
        for row, count, unlike in zip(table.to_dict("records"), seeds, unequal, strict=True)
    ]


def _find_row_caveats(row: Mapping[Any, Any], *, one_seed: bool, unequal: bool, box_masks: bool) -> list[str]:
    checks = {
        "selected_on_test": row["practice.selection"] == "test",
        "best_epoch": row["practice.selection"] in ("test", "best"),
        "centre_crop": min(_read_share(row["center_crop"]), _read_share(row["practice.center_crop"])) < 1,
        "test_threshold": row["practice.threshold"] == "test",
        "leaking_dataset": _has_leak(row),
        "box_masks": box_masks and not pd.isna(row["pixel_auroc"]),
        "no_threshold": pd.isna(row["false_positive_rate"]),
        "one_seed": one_seed,
        "unequal": unequal,
    }
    return [name for name in CAVEATS if checks[name]]


def _read_share(value: Any) -> float:
    return 1.0 if value is None or value != value or value == "" else float(value)


def _has_leak(row: Mapping[Any, Any]) -> bool:
    """Whether training and test may share an image: duplicates in a random split, or in the published one."""
    counted = {key: 0 if pd.isna(row[key]) else row[key] for key in ("audit.leak", "audit.near_duplicate")}
    exact = 0 if pd.isna(row["audit.duplicate"]) or row["audit.exclude"] == "duplicates" else row["audit.duplicate"]
    return bool(exact or any(counted.values()))


def _has_box_masks(dataset: str) -> bool:
    """Whether a dataset's masks were made of boxes, as its facts say."""
    return Path(f"conf/dataset/{dataset}.yaml").is_file() and read_facts("dataset", dataset).get("masks") == "boxes"


def _find_unequal(table: pd.DataFrame) -> list[bool]:
    """Whether a row differs in `EQUAL_COLUMNS` from most rows with the same test images and the same condition."""
    columns = (table[column] for column in ("dataset.name", "category", "image_size", "condition"))
    key = pd.Series(list(zip(*columns, strict=True)), index=table.index, dtype=object)
    result = pd.Series(data=False, index=table.index)
    for column in EQUAL_COLUMNS:
        most = table[column].groupby(key).transform(lambda values: values.mode().iloc[0] if len(values) else "")
        result |= table[column] != most
    return result.tolist()
