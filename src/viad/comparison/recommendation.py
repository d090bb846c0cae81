"""Which detector to take, in words and with the numbers behind them."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from viad.comparison.conditions import BASELINE, held
from viad.experiments.conditions import baseline_texts
from viad.metrics.catalogue import metrics_shown

MOST = 4  # detectors that are named one by one
QUICKER = 2.0  # times; less was seen between runs of one and the same detector, where others ran beside it


@dataclass(frozen=True)
class Recommendation:
    """The answer for one setting; `experiments` are those behind it."""

    question: str
    words: str
    experiments: tuple[str, ...]


def recommendations(table: pd.DataFrame, averages: pd.DataFrame, apart: pd.DataFrame) -> list[Recommendation]:
    """One for each setting with two detectors or more; the baseline first.

    Detectors that the paired bootstrap does not tell from the best are equals; of equals the best is taken, or the
    quickest if it is at least `QUICKER` times as quick.

    Args:
        table: of experiments.
        averages: of `tables.means`.
        apart: of `tables.differences`.
    """
    found = []
    for key, group in averages.groupby([*held(), "condition"], dropna=False, sort=True):
        setting = dict(zip([*held(), "condition"], key, strict=True))
        group = group[group["categories"] == group["categories"].max()]  # means over other categories do not compare
        group = group.dropna(subset=["image_auroc"]).sort_values("image_auroc", ascending=False, kind="stable")
        if (
            len(group) > 1 and setting["center_crop"] == baseline_texts()["center_crop"]
        ):  # nobody should choose by a cropped test set
            against = _where(apart, setting)
            found.append((setting["condition"] != BASELINE, _one(setting, group, against, _where(table, setting))))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _one(setting: Mapping[str, Any], group: pd.DataFrame, apart: pd.DataFrame, runs: pd.DataFrame) -> Recommendation:
    rows = group.to_dict("records")
    best, others = rows[0], rows[1:]
    against = {row["worse"]: row for row in apart[apart["better"] == best["detector"]].to_dict("records")}
    equals = [row for row in others if row["detector"] in against and not against[row["detector"]]["told_apart"]]
    quick = [row for row in equals if QUICKER * _latency(row) <= _latency(best) and _latency(row) < math.inf]
    taken = min(quick or [best], key=lambda row: (_latency(row), row["detector"]))
    words = f"{best['detector']} has the highest AUROC, {_numbers(best)}."
    if equals:
        said = ", ".join(f"{row['detector']} ({_gap(against[row['detector']])})" for row in equals)
        words += f" Not told from it on these images: {said}."
    clear = [row for row in others if row["detector"] in against and against[row["detector"]]["low"] > 0]
    if clear:
        words += f" Below it: {', '.join(_gap_of(row, against) for row in clear)}."
    unknown = [row["detector"] for row in others if row["detector"] not in against]
    if unknown:
        more = f" and {len(unknown) - MOST} others" if len(unknown) > MOST else ""
        words += f" Lower, but without scores to test it by: {', '.join(unknown[:MOST])}{more}."
    words += f" Take {taken['detector']}: {_why(taken, best, equals, all_tested=not unknown)}."
    named = tuple(runs[runs["detector"].isin([taken["detector"], best["detector"]])]["experiment"].unique())
    return Recommendation(_question(setting, group), words, named)


def _question(setting: Mapping[str, Any], group: pd.DataFrame) -> str:
    under = "" if setting["condition"] == BASELINE else f" under {setting['condition']}"
    preset = f", preset {setting['preset']}"
    seeds = int(group["seeds"].min())
    return (
        f"Which detector for {setting['dataset.name']} at {setting['image_size']} px{under}? "
        f"({setting['backbone.name']}{preset}, {seeds} seed{'s' if seeds > 1 else ''})"
    )


def _numbers(row: Mapping[Hashable, Any]) -> str:
    spread = row["image_auroc_categories"]
    said = f"{row['image_auroc']:.3f}" + ("" if pd.isna(spread) else f" (spread of the categories {spread:.3f})")
    shares = [f"{m.label} {row[m.key]:.2f}" for m in metrics_shown("recommendation") if not pd.isna(row[m.key])]
    return ", ".join([said, *shares])


def _gap(found: Mapping[Hashable, Any]) -> str:
    return f"{found['difference']:.3f} less [{found['low']:.3f}, {found['high']:.3f}]"


def _gap_of(row: Mapping[Hashable, Any], against: Mapping[Any, Mapping[Hashable, Any]]) -> str:
    return f"{row['detector']} ({_gap(against[row['detector']])})"


def _why(
    taken: Mapping[Hashable, Any], best: Mapping[Hashable, Any], equals: list[dict[Hashable, Any]], *,
    all_tested: bool,
) -> str:  # fmt: skip
    if not equals:
        known = "all others are below it on these images" if all_tested else "it is the highest"
        return known + _speed(taken)
    if taken is best:
        return "none of these is clearly quicker" + _speed(taken)
    against = "" if pd.isna(best["latency_p50_ms"]) else f" against {best['latency_p50_ms']:.0f}"
    return "not told from the best" + _speed(taken) + against


def _latency(row: Mapping[Hashable, Any]) -> float:
    return math.inf if pd.isna(row["latency_p50_ms"]) else float(row["latency_p50_ms"])


def _speed(row: Mapping[Hashable, Any]) -> str:
    return "" if pd.isna(row["latency_p50_ms"]) else f", {row['latency_p50_ms']:.0f} ms an image"


def _where(table: pd.DataFrame, setting: Mapping[str, Any]) -> pd.DataFrame:
    keep = pd.Series(data=True, index=table.index)
    for column, value in setting.items():
        keep &= table[column] == value
    return table[keep]
