"""Curves of a condition: how AUROC moves along an axis, a line a detector, with everything else held."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from viad.comparison.conditions import (
    AXES,
    BASELINE,
    UNSET,
    held,
    in_order,
    in_words,
    is_number,
    name_equipment,
    without,
)
from viad.comparison.tables import Scores, defects, interval_of, with_baselines
from viad.experiments.conditions import Axis, as_text


def curves(table: pd.DataFrame, scores: Scores, name: str) -> list[dict[str, Any]]:
    """Every curve of an axis with two points or more; for the input size also one for each kind of defect.

    Args:
        table: of `conditions.prepared`.
        scores: of the test images.
        name: of the axis.
    """
    axis = AXES[name]
    if name == "epochs":  # the preset's number stands among the others
        table = table.assign(epochs=[as_text(number) for number in table["training.epochs"]])
    columns = list(dict.fromkeys([*held(axis), *axis.together, "category"]))
    found = []
    for key, group in with_baselines(table, name).groupby(columns, dropna=False, sort=True):
        if group[axis.column].nunique() < 2:
            continue
        setting = dict(zip(columns, key, strict=True))
        for defect in ["", *(defects(group) if name == "input_size" else [])]:
            lines = list(
                _lines(group, axis, scores.get((str(setting["dataset.name"]), str(setting["category"]))), defect)
            )
            if lines:
                found.append(_curve(_title(setting, axis, defect), axis, lines))
    return found


def _curve(title: str, axis: Axis, lines: list[dict[str, Any]]) -> dict[str, Any]:
    values = [value for line in lines for value in line["x"]]
    numeric = not axis.categorical and all(is_number(value) for value in values)
    for line in lines:
        line["x"] = (
            [float(value) for value in line["x"]]
            if numeric
            else [value or UNSET.get(axis.name, "none") for value in line["x"]]
        )
    return {"title": title, "x": axis.label, "y": "AUROC", "categorical": not numeric, "lines": lines}


def _lines(group: pd.DataFrame, axis: Axis, tested: pd.DataFrame | None, defect: str) -> Iterator[dict[str, Any]]:
    for detector, runs in group.groupby("detector"):
        values = in_order(runs[axis.column])
        if len(values) < 2:
            continue
        points = [_point(runs[runs[axis.column] == value], tested, defect) for value in values]
        columns = dict(zip(("y", "low", "high"), map(list, zip(*points, strict=True)), strict=True))
        yield {"name": detector, "x": values, **columns}


def _point(runs: pd.DataFrame, tested: pd.DataFrame | None, defect: str) -> tuple[float | None, ...]:
    """AUROC and its interval, averaged over seeds."""
    if not defect:
        means = runs[["image_auroc", "image_auroc_low", "image_auroc_high"]].astype(float).mean()
        return tuple(None if pd.isna(value) else float(value) for value in means)
    values = [json.loads(text).get(defect) for text in runs["image_auroc_by_defect"]]
    known = [value for value in values if value is not None]
    low = high = None
    if tested is not None and len(runs) == 1 and (name := runs["experiment"].iloc[0]) in tested.columns:
        low, high = interval_of(tested[(tested["label"] == 0) | (tested["defect"] == defect)], name)
    return (sum(known) / len(known) if known else None), low, high


def _title(setting: dict[str, Any], axis: Axis, defect: str) -> str:
    words = in_words(setting | without(axis))
    parts = [f"{setting['dataset.name']} {setting['category']}"]
    if axis.together:
        parts.append(" ".join(str(setting[column]) for column in axis.together))
    if axis.column != "image_size":
        parts.append(f"{setting['image_size']} px")
    said = ", ".join(parts) + name_equipment(setting) + ("" if words == BASELINE else f", {words}")
    return said + (f": {defect} defects" if defect else "")
