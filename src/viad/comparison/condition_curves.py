"""Curves of AUROC along the axis of a condition, one line per detector, all other conditions equal."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from viad.comparison.comparison_tables import Scores, add_baselines, bootstrap_auroc, list_defects
from viad.comparison.condition_axes import (
    AXES,
    BASELINE,
    UNSET_VALUES,
    describe_conditions,
    is_number,
    list_fixed_columns,
    name_equipment,
    reset_axis,
    sort_axis_values,
)
from viad.experiments.conditions import Axis, format_value


def build_curves(table: pd.DataFrame, scores: Scores, name: str) -> list[dict[str, Any]]:
    """Build all curves of an axis with at least two points; for the input size also one per defect type.

    Args:
        table: of `prepare_experiments`.
        scores: of the test images.
        name: of the axis.
    """
    axis = AXES[name]
    if name == "epochs":  # the number of epochs that ran, which the preset gives if no condition does
        table = table.assign(epochs=[format_value(number) for number in table["training.epochs"]])
    columns = list(dict.fromkeys([*list_fixed_columns(axis), *axis.joint_keys, "category"]))
    found = []
    for key, group in add_baselines(table, name).groupby(columns, dropna=False, sort=True):
        if group[axis.column].nunique() < 2:
            continue
        setting = dict(zip(columns, key, strict=True))
        for defect in ["", *(list_defects(group) if name == "input_size" else [])]:
            lines = list(
                _build_lines(group, axis, scores.get((str(setting["dataset.name"]), str(setting["category"]))), defect)
            )
            if lines:
                found.append(_build_curve(_describe_curve(setting, axis, defect), axis, lines))
    return found


def _build_curve(title: str, axis: Axis, lines: list[dict[str, Any]]) -> dict[str, Any]:
    values = [value for line in lines for value in line["x"]]
    numeric = not axis.categorical and all(is_number(value) for value in values)
    for line in lines:
        line["x"] = (
            [float(value) for value in line["x"]]
            if numeric
            else [value or UNSET_VALUES.get(axis.name, "none") for value in line["x"]]
        )
    return {"title": title, "x": axis.label, "y": "AUROC", "categorical": not numeric, "lines": lines}


def _build_lines(group: pd.DataFrame, axis: Axis, tested: pd.DataFrame | None, defect: str) -> Iterator[dict[str, Any]]:
    for detector, runs in group.groupby("detector"):
        values = sort_axis_values(runs[axis.column])
        if len(values) < 2:
            continue
        points = [_average_runs(runs[runs[axis.column] == value], tested, defect) for value in values]
        columns = dict(zip(("y", "low", "high"), map(list, zip(*points, strict=True)), strict=True))
        yield {"name": detector, "x": values, **columns}


def _average_runs(runs: pd.DataFrame, tested: pd.DataFrame | None, defect: str) -> tuple[float | None, ...]:
    """Average AUROC and its interval over seeds."""
    if not defect:
        means = runs[["image_auroc", "image_auroc_low", "image_auroc_high"]].astype(float).mean()
        return tuple(None if pd.isna(value) else float(value) for value in means)
    values = [json.loads(text).get(defect) for text in runs["image_auroc_by_defect"]]
    measured = [value for value in values if value is not None]
    low = high = None
    if tested is not None and len(runs) == 1 and (name := runs["experiment"].iloc[0]) in tested.columns:
        low, high = bootstrap_auroc(tested[(tested["label"] == 0) | (tested["defect"] == defect)], name)
    return (sum(measured) / len(measured) if measured else None), low, high


def _describe_curve(setting: dict[str, Any], axis: Axis, defect: str) -> str:
    words = describe_conditions(setting | reset_axis(axis))
    parts = [f"{setting['dataset.name']} {setting['category']}"]
    if axis.joint_keys:
        parts.append(" ".join(str(setting[column]) for column in axis.joint_keys))
    if axis.column != "image_size":
        parts.append(f"{setting['image_size']} px")
    title = ", ".join(parts) + name_equipment(setting) + ("" if words == BASELINE else f", {words}")
    return title + (f": {defect} defects" if defect else "")
