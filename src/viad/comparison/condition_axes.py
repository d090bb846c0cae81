"""Axes of conditions: the columns that two compared experiments share, and descriptions of conditions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from viad.experiments.conditions import (
    CONDITION_KEYS,
    CONDITIONS,
    FIXED_KEYS,
    OVERRIDES,
    Axis,
    format_baselines,
    format_value,
)

BASELINE = "baseline"  # a run without any condition
# By name; `column` filled in.
AXES = {one.axis.name: replace(one.axis, column=one.axis.column or one.key) for one in CONDITIONS if one.axis}
# The texts of empty values of an axis in curves and tables.
UNSET_VALUES = {"epochs": "preset", OVERRIDES: "none"}


def prepare_experiments(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of experiments with conditions as text and the columns `labels`, `detector` and `condition`.

    `labels` is the number of labelled anomalies; `detector` names the model and, if it is supervised, that number;
    `condition` describes the conditions that differ from the baseline.
    """
    table = table.copy()
    for column in FIXED_KEYS:
        table[column] = _format_values(table[column])
    table["labels"] = _format_values(table["supervision.anomalies"])
    supervised = table["training.learning_type"] == "supervised"
    table.loc[~supervised, "labels"] = "0"  # only supervised models see the labelled anomalies
    counted = " (" + table["labels"] + table["labels"].map(lambda number: " label)" if number == "1" else " labels)")
    table["detector"] = table["model.name"].where(~supervised, table["model.name"] + counted)
    table["condition"] = [describe_conditions(row) for row in table[list(FIXED_KEYS)].to_dict("records")]
    return table


def _format_values(values: pd.Series) -> pd.Series:
    # `map` would turn '' into NaN in a column of numbers.
    return pd.Series([format_value(value) for value in values], index=values.index, dtype=object)


def number_runs(table: pd.DataFrame) -> pd.Series:
    """Number the runs: rows that differ only in category and seed get the same number."""
    columns = [_format_values(table[key]) for key in CONDITION_KEYS if key != "seed"]
    runs = pd.Series(list(zip(*columns, strict=True)), index=table.index, dtype=object)
    return pd.Series(pd.factorize(runs)[0], index=table.index)


def describe_conditions(setting: Mapping[Any, Any]) -> str:
    """Describe the conditions that differ from the baseline, such as 'brightness 3'; 'baseline' if none does.

    Args:
        setting: conditions as text; the description leaves out missing ones.
    """
    baselines, parts = format_baselines(), []
    for one in CONDITIONS:
        value = setting.get(one.key, baselines[one.key])
        if one.fixed and one.in_words is not None and value != baselines[one.key]:
            follows = "" if one.followed_by is None else f" {setting[one.followed_by]}"
            parts.append(one.in_words.format(value) + follows)
    return ", ".join(parts) or BASELINE


def name_equipment(setting: Mapping[Any, Any]) -> str:
    """Name backbone and preset if they differ from the baseline, such as ', wide_resnet50_2, preset paper'."""
    baselines, parts = format_baselines(), []
    for column, form in (("backbone.name", "{}"), ("preset", "preset {}")):
        if setting.get(column) not in (baselines[column], None, ""):
            parts.append(f", {form.format(setting[column])}")
    return "".join(parts)


def list_fixed_columns(axis: Axis | None = None) -> list[str]:
    """List the columns that stay equal when `axis` is varied; without an axis, all columns of `FIXED_KEYS`."""
    varied = set() if axis is None else {axis.column, *axis.joint_keys}
    return [column for column in FIXED_KEYS if column not in varied]


def find_axis_baseline(axis: Axis) -> str | None:
    """Return the baseline value of an axis as text; None if the baseline is the lowest value that was run."""
    return None if axis.from_lowest else format_baselines()[axis.column]


def reset_axis(axis: Axis) -> dict[str, str]:
    """Return the conditions that an axis varies at their baseline, so that `describe_conditions` leaves them out."""
    varied, baselines = {axis.column, *axis.joint_keys}, format_baselines()
    return {one.key: baselines[one.key] for one in CONDITIONS if one.key in varied and one.in_words is not None}


def sort_axis_values(values: Iterable[str]) -> list[str]:
    """Sort the values of an axis: numbers by size, then words; '' and 'all' last."""
    return sorted(
        set(values), key=lambda value: (value in ("", "all"), not is_number(value), _parse_number(value), value)
    )


def is_number(value: str) -> bool:
    """Whether a value of an axis is a number from 0 on."""
    return value.replace(".", "", 1).isdigit()


def _parse_number(value: str) -> float:
    return float(value) if is_number(value) else 0.0
