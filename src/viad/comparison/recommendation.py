"""Recommendations of detectors: sentences, and the numbers behind them."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from viad.comparison.condition_axes import BASELINE, list_fixed_columns
from viad.experiments.conditions import format_baselines
from viad.metrics.catalogue import metrics_shown

MAX_NAMED = 4  # detectors that a list names
MIN_SPEEDUP = 2.0  # times; repeated runs of the same detector differed by less, even with other processes running


@dataclass(frozen=True)
class Recommendation:
    """The recommendation for a setting; `experiments` are those that support it."""

    question: str
    words: str
    experiments: tuple[str, ...]


def recommend_detectors(table: pd.DataFrame, averages: pd.DataFrame, differences: pd.DataFrame) -> list[Recommendation]:
    """Recommend a detector for each setting with two detectors or more; settings at the baseline come first.

    Detectors without a significant difference from the best are its equals. The recommended detector is the best, or
    the fastest of its equals if that is at least `MIN_SPEEDUP` times as fast.

    Args:
        table: of experiments.
        averages: of `average_runs`.
        differences: of `compare_with_best`.
    """
    recommendations = []
    for key, group in averages.groupby([*list_fixed_columns(), "condition"], dropna=False, sort=True):
        setting = dict(zip([*list_fixed_columns(), "condition"], key, strict=True))
        group = group[group["categories"] == group["categories"].max()]  # means over other categories do not compare
        group = group.dropna(subset=["image_auroc"]).sort_values("image_auroc", ascending=False, kind="stable")
        # A cropped test set is no basis for a recommendation.
        if len(group) > 1 and setting["center_crop"] == format_baselines()["center_crop"]:
            parts = (_select_setting(rows, setting) for rows in (differences, table))
            recommendations.append((setting["condition"] != BASELINE, _recommend(setting, group, *parts)))
    return [recommendation for _, recommendation in sorted(recommendations, key=lambda pair: pair[0])]


def _recommend(
    setting: Mapping[str, Any], group: pd.DataFrame, differences: pd.DataFrame, runs: pd.DataFrame
) -> Recommendation:
    rows = group.to_dict("records")
    best, others = rows[0], rows[1:]
    differences = differences[differences["better"] == best["detector"]]
    against = {row["worse"]: row for row in differences.to_dict("records")}
    equals = [row for row in others if row["detector"] in against and not against[row["detector"]]["significant"]]
    measured = [row for row in equals if _read_latency(row) < math.inf]
    fast = [row for row in measured if MIN_SPEEDUP * _read_latency(row) <= _read_latency(best)]
    recommended = min(fast or [best], key=lambda row: (_read_latency(row), row["detector"]))
    words = f"{best['detector']} has the highest AUROC, {_format_metrics(best)}."
    if equals:
        words += (
            f" No significant difference on these images: {', '.join(_format_worse(row, against) for row in equals)}."
        )
    clear = [row for row in others if row["detector"] in against and against[row["detector"]]["low"] > 0]
    if clear:
        words += f" Significantly lower: {', '.join(_format_worse(row, against) for row in clear)}."
    unknown = [row["detector"] for row in others if row["detector"] not in against]
    if unknown:
        more = f" and {len(unknown) - MAX_NAMED} others" if len(unknown) > MAX_NAMED else ""
        words += f" Lower, but without image scores for a test: {', '.join(unknown[:MAX_NAMED])}{more}."
    words += f" Take {recommended['detector']}: {_explain_choice(recommended, best, equals, all_tested=not unknown)}."
    names = tuple(runs[runs["detector"].isin([recommended["detector"], best["detector"]])]["experiment"].unique())
    return Recommendation(_format_question(setting, group), words, names)


def _format_question(setting: Mapping[str, Any], group: pd.DataFrame) -> str:
    under = "" if setting["condition"] == BASELINE else f" under {setting['condition']}"
    preset = f", preset {setting['preset']}"
    seeds = int(group["seeds"].min())
    return (
        f"Which detector for {setting['dataset.name']} at {setting['image_size']} px{under}? "
        f"({setting['backbone.name']}{preset}, {seeds} seed{'s' if seeds > 1 else ''})"
    )


def _format_metrics(row: Mapping[Hashable, Any]) -> str:
    spread = row["image_auroc_categories"]
    auroc = f"{row['image_auroc']:.3f}" + ("" if pd.isna(spread) else f" (spread of the categories {spread:.3f})")
    shares = [f"{m.label} {row[m.key]:.2f}" for m in metrics_shown("recommendation") if not pd.isna(row[m.key])]
    return ", ".join([auroc, *shares])


def _format_worse(row: Mapping[Hashable, Any], against: Mapping[Any, Mapping[Hashable, Any]]) -> str:
    """Format a detector and how much lower its AUROC is than that of the best."""
    difference = against[row["detector"]]
    interval = f"[{difference['low']:.3f}, {difference['high']:.3f}]"
    return f"{row['detector']} ({difference['difference']:.3f} less {interval})"


def _explain_choice(
    recommended: Mapping[Hashable, Any], best: Mapping[Hashable, Any], equals: list[dict[Hashable, Any]], *,
    all_tested: bool,
) -> str:  # fmt: skip
    if not equals:
        reason = "all others are significantly lower on these images" if all_tested else "its AUROC is the highest"
        return reason + _format_latency(recommended)
    if recommended is best:
        return "none of these is clearly faster" + _format_latency(recommended)
    against = "" if pd.isna(best["latency_p50_ms"]) else f" against {best['latency_p50_ms']:.0f}"
    return "no significant difference from the best, and faster" + _format_latency(recommended) + against


def _read_latency(row: Mapping[Hashable, Any]) -> float:
    return math.inf if pd.isna(row["latency_p50_ms"]) else float(row["latency_p50_ms"])


def _format_latency(row: Mapping[Hashable, Any]) -> str:
    return "" if pd.isna(row["latency_p50_ms"]) else f", {row['latency_p50_ms']:.0f} ms per image"


def _select_setting(table: pd.DataFrame, setting: Mapping[str, Any]) -> pd.DataFrame:
    keep = pd.Series(data=True, index=table.index)
    for column, value in setting.items():
        keep &= table[column] == value
    return table[keep]
