"""What two experiments must share to be compared, and how a condition is said in words."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from viad.experiments.conditions import CONDITIONS, HELD, KEYS, OVERRIDES, Axis, as_text, baseline_texts

BASELINE = "baseline"  # a run without any condition, in words
# By name; `column` filled in.
AXES = {one.axis.name: replace(one.axis, column=one.axis.column or one.key) for one in CONDITIONS if one.axis}
# What the text of a value of an axis is in curves and tables where the value itself is empty.
UNSET = {"epochs": "preset", OVERRIDES: "none"}


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """The table of experiments with conditions as plain text, `labels`, `detector` and `condition`.

    `labels` is the number of labelled anomalies; `detector` names the model and, if it is supervised, that number.
    """
    table = table.copy()
    for column in HELD:
        table[column] = _texts(table[column])
    table["labels"] = _texts(table["supervision.anomalies"])
    supervised = table["training.learning_type"] == "supervised"
    table.loc[~supervised, "labels"] = "0"  # others do not see them
    counted = " (" + table["labels"] + table["labels"].map(lambda number: " label)" if number == "1" else " labels)")
    table["detector"] = table["model.name"].where(~supervised, table["model.name"] + counted)
    table["condition"] = [in_words(row) for row in table[list(HELD)].to_dict("records")]
    return table


def _texts(values: pd.Series) -> pd.Series:
    # Not `map`: it would make NaN of '' in a column of numbers.
    return pd.Series([as_text(value) for value in values], index=values.index, dtype=object)


def number_runs(table: pd.DataFrame) -> pd.Series:
    """A number for each row of the table: that of its run, which is the same for all categories and seeds."""
    columns = [_texts(table[key]) for key in KEYS if key != "seed"]
    runs = pd.Series(list(zip(*columns, strict=True)), index=table.index, dtype=object)
    return pd.Series(pd.factorize(runs)[0], index=table.index)


def in_words(setting: Mapping[Any, Any]) -> str:
    """What is not the baseline in a setting, such as 'brightness 3', or 'baseline'.

    Args:
        setting: conditions as text; those that are absent are not mentioned.
    """
    baselines, parts = baseline_texts(), []
    for one in CONDITIONS:
        value = setting.get(one.key, baselines[one.key])
        if one.held and one.in_words is not None and value != baselines[one.key]:
            follows = "" if one.followed_by is None else f" {setting[one.followed_by]}"
            parts.append(one.in_words.format(value) + follows)
    return ", ".join(parts) or BASELINE


def name_equipment(setting: Mapping[Any, Any]) -> str:
    """Backbone and preset where they are not the baseline's, such as ', wide_resnet50_2, preset paper'; else ''."""
    baselines, parts = baseline_texts(), []
    for column, form in (("backbone.name", "{}"), ("preset", "preset {}")):
        if setting.get(column) not in (baselines[column], None, ""):
            parts.append(f", {form.format(setting[column])}")
    return "".join(parts)


def held(axis: Axis | None = None) -> list[str]:
    """The columns that are equal when `axis` is varied (all without one)."""
    varied = set() if axis is None else {axis.column, *axis.together}
    return [column for column in HELD if column not in varied]


def baseline_of(axis: Axis) -> str | None:
    """The value that the others of an axis are compared with, as text; None: the lowest that was run."""
    return None if axis.from_lowest else baseline_texts()[axis.column]


def without(axis: Axis) -> dict[str, str]:
    """The conditions that an axis varies, at their baseline, so that `in_words` leaves them out."""
    varied, baselines = {axis.column, *axis.together}, baseline_texts()
    return {one.key: baselines[one.key] for one in CONDITIONS if one.key in varied and one.in_words is not None}


def in_order(values: Iterable[str]) -> list[str]:
    """Values of an axis in their order: numbers by size, then words; '' and 'all' last."""
    return sorted(set(values), key=lambda value: (value in ("", "all"), not is_number(value), _number(value), value))


def is_number(value: str) -> bool:
    """Whether a value of an axis is a number from 0 on."""
    return value.replace(".", "", 1).isdigit()


def _number(value: str) -> float:
    return float(value) if is_number(value) else 0.0
