"""Caveats: the paper's criticism as checks of what is doubtful about an experiment, so that a report can say so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from viad.comparison.conditions import number_runs


@dataclass(frozen=True)
class Caveat:
    """A methodological problem of a result."""

    title: str
    sentence: str


CAVEATS = {
    "selected_on_test": Caveat(
        "Chosen on test",
        "The model or its epoch was chosen by the test set. The number says how well the choice fits these images, "
        "not what the detector will do on new ones.",
    ),
    "centre_crop": Caveat(
        "Centre crop",
        "The border of every image was cut away, and with it any defect there: the test set became another one.",
    ),
    "test_threshold": Caveat(
        "Threshold from test",
        "Misses and false alarms, or F1, belong to a threshold that was fitted on the test images themselves.",
    ),
    "best_epoch": Caveat(
        "Best epoch",
        "The best of several evaluations is reported, not the last and not one that validation chose.",
    ),
    "leaking_dataset": Caveat(
        "Duplicate images",
        "The audit found duplicate images, so one may be in training and its twin in test. "
        "`audit.exclude=duplicates` leaves the exact ones out.",
    ),
    "no_threshold": Caveat(
        "No threshold",
        "No false-alarm rate could be measured: there are no validation normals to set a threshold, or no normal test "
        "images.",
    ),
    "one_seed": Caveat(
        "One seed", "Run with one seed only: how far chance moves the number is not known.",
    ),
    "unequal": Caveat(
        "Unequal",
        "It stands beside experiments on the same images that had another backbone, preset or number of labels. "
        "Compare it with its like only.",
    ),
}  # fmt: skip
EQUAL = ("backbone.name", "preset", "labels")  # what a fair comparison holds


def find_caveats(table: pd.DataFrame) -> list[list[str]]:
    """The caveats of each row of `conditions.prepared`'s table, by the keys of `CAVEATS`.

    What somebody else's predictions were made with is what `model.practice` declares of them.
    """
    seeds = table.groupby([number_runs(table), "category"])["seed"].transform("nunique")
    unequal = _unequal(table)
    return [
        _of(row, one_seed=count < 2, unequal=unlike)
        for row, count, unlike in zip(table.to_dict("records"), seeds, unequal, strict=True)
    ]


def _of(row: Mapping[Any, Any], *, one_seed: bool, unequal: bool) -> list[str]:
    checks = {
        "selected_on_test": row["practice.selection"] == "test",
        "best_epoch": row["practice.selection"] in ("test", "best"),
        "centre_crop": min(_share(row["center_crop"]), _share(row["practice.center_crop"])) < 1,
        "test_threshold": row["practice.threshold"] == "test",
        "leaking_dataset": _leaks(row),
        "no_threshold": pd.isna(row["false_positive_rate"]),
        "one_seed": one_seed,
        "unequal": unequal,
    }
    return [name for name in CAVEATS if checks[name]]


def _share(value: Any) -> float:
    return 1.0 if value is None or value != value or value == "" else float(value)


def _leaks(row: Mapping[Any, Any]) -> bool:
    """Whether training and test may share an image: twins that a random split can part, or that were published so."""
    counted = {key: 0 if pd.isna(row[key]) else row[key] for key in ("audit.leak", "audit.near_duplicate")}
    exact = 0 if pd.isna(row["audit.duplicate"]) or row["audit.exclude"] == "duplicates" else row["audit.duplicate"]
    return bool(exact or any(counted.values()))


def _unequal(table: pd.DataFrame) -> list[bool]:
    """Whether a row differs in `EQUAL` from most of those that tested the same images under the same condition."""
    columns = (table[column] for column in ("dataset.name", "category", "image_size", "condition"))
    key = pd.Series(list(zip(*columns, strict=True)), index=table.index, dtype=object)
    result = pd.Series(data=False, index=table.index)
    for column in EQUAL:
        most = table[column].groupby(key).transform(lambda values: values.mode().iloc[0] if len(values) else "")
        result |= table[column] != most
    return result.tolist()
