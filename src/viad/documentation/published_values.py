"""Published values compared with ours: docs/published.csv is the data, docs/published.md the generated page.

A value is valid only under its protocol (crop, resolution, choice of the epoch, split, weights). The page lists the
differences between the published protocol and ours.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad.artifacts import markdown
from viad.comparison.condition_axes import number_runs
from viad.errors import ConfigError
from viad.experiments.conditions import FIXED_KEYS, format_baselines, format_value
from viad.metrics.catalogue import find_metric, measured_metrics

PUBLISHED_CSV = Path("docs/published.csv")
SELECTION_TEXTS = {"last": "last epoch", "test": "best epoch on test", "validation": "best epoch on validation"}
SELECTION_TEXTS |= {"": "epoch not stated"}
PUBLISHED_TEXTS = (
    "model",
    "dataset",
    "category",
    "metric",
    "backbone",
    "selection",
    "threshold",
    "split",
    "source",
    "note",
)
NUMBER_LIMITS = {"value": (0, 1), "labels": (0, 10**6), "contamination": (0, 0.99), "crop": (0.01, 1)}
NUMBER_LIMITS |= {"image_size": (1, 10**5), "seeds": (1, 10**4)}
REQUIRED_NUMBERS = ("value", "labels")  # the other numbers may be empty: the source may not state them
# Columns in which our protocol may differ from the published one; the selection of the epoch covers the validation.
# Our other conditions are at the baseline.
PROTOCOL_COLUMNS = ["image_size", "backbone.name", "protocol", "contamination.ratio", "preset", "training.selection"]
FREE_KEYS = {"dataset.name", "validation.name", *PROTOCOL_COLUMNS}
PUBLISHED_HEADINGS = [
    "model",
    "category",
    "metric",
    "labels",
    "published",
    "ours",
    "seeds",
    "difference",
    "protocols",
    "source",
]
PUBLISHED_INTRO = """# Ours against published

Papers and repositories publish {count} values for the models and datasets here ([published.csv](published.csv)). This
page shows those that were also run here. *Ours* is the mean over seeds, without crop or shift, with the same labelled
anomalies and contamination, under the settings that differ least. A mean over categories needs runs of all of them.

**Values under different protocols do not compare.** A centre crop removes defects near the border from the test set.
Choosing the epoch on the test set adds an optimistic bias. Another resolution, other weights, another split (ours is
[`study`](conditions.md#the-split) or `published`) or the `small` preset changes a value by more than most papers claim
as progress. The column *protocols* names the points in which the two protocols differ.
"""
PUBLISHED_REST = """
{count} further published values for {models} models are in [published.csv](published.csv); none was run here.
"""


def read_published() -> pd.DataFrame:
    """Read and check the published values; unknown numbers are NaN, unknown texts empty.

    Raises:
        ConfigError: a column is missing, or a row has an invalid value; the message names its line.
    """
    table = pd.read_csv(PUBLISHED_CSV, dtype=str, keep_default_na=False)
    if wrong := {str(column) for column in table} ^ {*PUBLISHED_TEXTS, *NUMBER_LIMITS}:
        raise ConfigError(
            f"{PUBLISHED_CSV}: missing or unknown columns: {', '.join(sorted(wrong))}. Correct its first line."
        )
    datasets, models = _read_datasets(), sorted(path.stem for path in Path("conf/model").glob("*.yaml"))
    for line, row in enumerate(table.to_dict("records"), start=2):
        categories = [*datasets.get(row["dataset"], {}).get("categories", []), "mean"]
        metrics = [metric.key for metric in measured_metrics()]
        choices: dict[str, Any] = {"model": models, "dataset": datasets, "category": categories, "metric": metrics}
        for column, allowed in (
            choices | {"selection": SELECTION_TEXTS, "threshold": ["test", "validation", ""]}
        ).items():
            if row[column] not in allowed:
                known = ", ".join(name or "nothing" for name in allowed)
                raise ConfigError(
                    f"{PUBLISHED_CSV}, line {line}: {column} '{row[column]}' is not known. Choose one of {known}."
                )
        for column, (low, high) in NUMBER_LIMITS.items():
            if (row[column] or column in REQUIRED_NUMBERS) and not low <= pd.to_numeric(
                row[column], errors="coerce"
            ) <= high:
                mend = "Correct it" if column in REQUIRED_NUMBERS else "Leave it empty where it is unknown"
                raise ConfigError(
                    f"{PUBLISHED_CSV}, line {line}: {column} '{row[column]}' is not {low} to {high}. {mend}."
                )
        if not row["source"]:
            raise ConfigError(f"{PUBLISHED_CSV}, line {line}: no source. Name paper and table, or repository and file.")
    return table.assign(**{column: pd.to_numeric(table[column]) for column in NUMBER_LIMITS})


def compare_with_published(experiments: pd.DataFrame) -> pd.DataFrame:
    """Return the published values and, in columns that begin with 'our', our values under the most similar protocol."""
    for key, text in format_baselines().items():
        if key in FIXED_KEYS and key not in FREE_KEYS:
            experiments = experiments.loc[[format_value(value) == text for value in experiments[key]]]
    groups = dict(iter(experiments.dropna(subset=PROTOCOL_COLUMNS).groupby(["model.name", "dataset.name"])))
    numbered = {key: group.assign(run=number_runs(group)) for key, group in groups.items()}
    datasets, rows = _read_datasets(), []
    for row in read_published().to_dict("records"):
        categories = datasets[row["dataset"]]["categories"] if row["category"] == "mean" else [row["category"]]
        runs = numbered.get((row["model"], row["dataset"]))
        candidates = [] if runs is None else _find_candidates(row, categories, runs)
        best = min(
            candidates,
            key=lambda ours: (len(_list_protocol_differences(row, ours)), -ours["seeds"], ours["name"]),
            default={},
        )
        points = _list_protocol_differences(row, best) if best else []
        sides = [", ".join(filter(None, side)) for side in zip(*points, strict=True)]
        ours = {f"our {key}": best.get(key) for key in ("value", "seeds", *PROTOCOL_COLUMNS)}
        rows.append(row | ours | {"protocol differences": f"published: {sides[0]}; ours: {sides[1]}" if points else ""})
    table = pd.DataFrame(rows)
    return table.assign(difference=table["our value"].astype(float) - table["value"])


def format_published_rows(experiments: pd.DataFrame) -> pd.DataFrame:
    """Format the comparison for readers: `dataset` and `PUBLISHED_HEADINGS`; values that were run here come first."""
    rows = compare_with_published(experiments)
    rows = rows.sort_values("our value", na_position="last", key=lambda values: values.isna(), kind="stable")
    return pd.DataFrame(
        [[row["dataset"], *_format_cells(row)] for row in rows.to_dict("records")],
        columns=["dataset", *PUBLISHED_HEADINGS],
    )


def format_published_page(experiments: pd.DataFrame) -> str:
    """Format docs/published.md: a table of the values that were run here for each dataset, and a line on the rest."""
    datasets, rows = _read_datasets(), compare_with_published(experiments)
    page, run = PUBLISHED_INTRO.format(count=len(rows)), rows["our value"].notna()
    for name, part in rows[run].groupby("dataset"):
        page += f"\n## {datasets[name]['facts']['title']}: `{name}`\n"
        if unlike := int((part["protocol differences"] != "").sum()):
            page += (
                f"\n**The protocols differ in {unlike} of {len(part)}: the differences do not show which is better.**\n"
            )
        page += "\n" + markdown.format_table(
            PUBLISHED_HEADINGS, [_format_cells(row) for row in part.to_dict("records")]
        )
    rest = rows[~run]
    return page + (PUBLISHED_REST.format(count=len(rest), models=rest["model"].nunique()) if len(rest) else "")


def _find_candidates(row: dict[Any, Any], categories: list[str], runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Find our values for a published one: one for each `run`, which is a set of experiments that differ in the seed.

    Args:
        row: the published value.
        categories: that our value has to cover.
        runs: our results of the same model and dataset.
    """
    runs = runs[pd.to_numeric(runs["supervision.anomalies"], errors="coerce") == row["labels"]]
    # Papers give contamination as a share of the normals, we give a share of all images: our 0.091 is their 0.1.
    runs, found = runs[(runs["contamination.ratio"].astype(float) - row["contamination"]).abs() <= 0.01], []
    for _, group in runs.groupby("run"):
        values = group.pivot_table(index="seed", columns="category", values=row["metric"]).reindex(columns=categories)
        if len(whole := values.dropna()):
            ours = {"name": group["experiment"].min(), "value": float(whole.to_numpy().mean()), "seeds": len(whole)}
            found.append(ours | {key: group[key].iloc[0] for key in PROTOCOL_COLUMNS})
    return found


def _describe_protocol(row: dict[Any, Any]) -> dict[str, str]:
    """Describe a protocol by its points; '' for points that need no description."""
    crop, size, noise = row["crop"], row["image_size"], row["contamination"]
    return {
        "crop": "crop not stated" if pd.isna(crop) else "no crop" if crop == 1 else f"centre crop {crop:g}",
        "epoch": SELECTION_TEXTS[row["selection"]],
        "size": "size not stated" if pd.isna(size) else f"{size:.0f} px",
        "backbone": {"": "backbone not stated", "none": ""}.get(row["backbone"], row["backbone"]),
        "noise": "unknown contamination" if pd.isna(noise) else f"{noise:.1%} contamination" if noise else "",
        "preset": "preset small" if row.get("preset") == "small" else "",
        "threshold": f"threshold from {row['threshold']}" if row["threshold"] else "",
        "split": f"split: {row['split'] or 'not stated'}",
    }


def _list_protocol_differences(
    row: dict[Any, Any], ours: dict[str, Any]
) -> list[tuple[str, str]]:  # in which both protocols differ
    said = {"crop": 1, "image_size": ours["image_size"], "contamination": ours["contamination.ratio"]}
    said |= {"selection": ours["training.selection"], "preset": ours["preset"]}
    said |= {"backbone": "none" if row["backbone"] == "none" else ours["backbone.name"]}  # none: the model has none
    said |= {"threshold": "validation" if row["threshold"] else ""}  # where the metric needs none, neither has one
    said |= {"split": "published" if ours["protocol"] == "official" else ours["protocol"]}
    theirs, here = _describe_protocol(row), _describe_protocol(said)
    return [(theirs[point], here[point]) for point in theirs if theirs[point] != here[point]]


def _format_cells(row: dict[Any, Any]) -> list[str]:
    cells = [
        row["model"],
        row["category"],
        find_metric(row["metric"]).label,
        f"{row['labels']:.0f}",
        f"{row['value']:.3f}",
    ]
    if pd.isna(row["our value"]):
        cells += ["", "", "", f"published: {', '.join(filter(None, _describe_protocol(row).values()))}"]
    else:
        cells += [f"{row['our value']:.3f}", f"{row['our seeds']:.0f}", f"{row['difference']:+.3f}"]
        cells.append(row["protocol differences"] or "alike")
    return [*cells, "; ".join(filter(None, (row["source"], row["note"])))]


def _read_datasets() -> dict[Any, Any]:
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in Path("conf/dataset").glob("*.yaml")}
