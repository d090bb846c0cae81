"""Tables of docs/models.md, from the committed experiments."""

import math
from pathlib import Path

import pandas as pd
import yaml

from viad.artifacts import markdown
from viad.experiments.conditions import FIXED_KEYS, format_baselines, format_value
from viad.experiments.experiment_tables import list_metric_columns
from viad.metrics.catalogue import Metric, measured_metrics, metrics_at, metrics_shown

MODEL_CONF = Path("conf/model")
ELPV_CATEGORIES = ("mono", "poly")
BASELINE_KEYS = (*FIXED_KEYS, "supervision.anomalies", "seed")  # conditions that the tables hold at their baseline


def format_models(experiments: pd.DataFrame) -> str:
    """Format one row per model on ELPV with the preset small; a model that was not run names the files it needs."""
    measured, costs = (
        metrics_shown("models", metrics) for metrics in (measured_metrics(), metrics_at("training", "cost"))
    )
    head = ["model", "learning type"]
    head += [f"{metric.label} {category}" for category in ELPV_CATEGORIES for metric in measured]
    head += [metric.label for metric in costs]
    rows = []
    for path in sorted(MODEL_CONF.glob("*.yaml")):
        model = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "external":
            continue
        labels = 10 if model["learning_type"] == "supervised" else 0
        runs = _select_runs(
            experiments, _list_baselines() | {"model.name": model["name"], "supervision.anomalies": str(labels)}
        )
        cells = [_format_run(runs, category, metric) for category in ELPV_CATEGORIES for metric in measured]
        unknown = [model.get("needs", "not run"), *[""] * (len(costs) - 1)]
        cells += [_format_mean(runs, metric) for metric in costs] if len(runs) else unknown
        rows.append([model["name"], model["learning_type"].replace("_", "-"), *cells])
    return markdown.format_table(head, rows)


def format_supervision(experiments: pd.DataFrame) -> str:
    """Format the AUROC on pooled ELPV by model and number of labelled anomalies, mean and range over the seeds."""
    pooled = _list_baselines("seed", "supervision.anomalies") | {"dataset.name": "elpv_pooled"}
    runs = _select_runs(experiments, pooled).drop_duplicates(
        ["model.name", "supervision.anomalies", "seed"], keep="last"
    )
    rows = [
        [model, str(labels), str(len(group)), _format_range(group["image_auroc"])]
        for (model, labels), group in runs.groupby(["model.name", "supervision.anomalies"])
    ]
    return markdown.format_table(["model", "labelled anomalies", "seeds", "AUROC (lowest to highest)"], rows)


def format_contamination(experiments: pd.DataFrame) -> str:
    """Format the AUROC by model and category without and with contamination, and the loss; means over common seeds."""
    runs = _select_runs(experiments, _list_baselines("dataset.name", "contamination.ratio", "seed"))
    runs = runs.drop_duplicates(["dataset.name", "category", "model.name", "contamination.ratio", "seed"], keep="last")
    rows = []
    for (dataset, category, model), group in runs.groupby(["dataset.name", "category", "model.name"]):
        value = group.pivot(index="seed", columns="contamination.ratio", values="image_auroc")
        for ratio in sorted(map(float, value.columns)):
            if ratio > 0 and 0 in value.columns and len(pairs := value[[0, ratio]].dropna()):
                clean, contaminated = pairs[0].mean(), pairs[ratio].mean()
                numbers = [f"{x:.3f}" for x in (clean, contaminated, clean - contaminated)]
                rows.append([dataset, category, model, f"{ratio:.0%}", len(pairs), *numbers])
    head = ["dataset", "category", "model", "contamination", "seeds", "AUROC clean", "AUROC", "loss"]
    return markdown.format_table(head, rows)


def _list_baselines(*but: str) -> dict[str, str]:
    return {key: text for key, text in format_baselines().items() if key in BASELINE_KEYS and key not in but}


def _select_runs(experiments: pd.DataFrame, conditions: dict[str, str]) -> pd.DataFrame:
    for key, value in conditions.items():
        # Read from a file, 'all' and 10 share a column of text.
        experiments = experiments.loc[[format_value(one).removesuffix(".0") == value for one in experiments[key]]]
    return experiments


def _format_run(runs: pd.DataFrame, category: str, metric: Metric) -> str:
    found = runs[runs["category"] == category] if len(runs) else runs
    values = [float(found[column].iloc[0]) for column in list_metric_columns(metric)] if len(found) else [math.nan]
    if pd.isna(values[0]):
        return ""
    value, *interval = map(metric.format, values)
    return f"{value} [{', '.join(interval)}]" if interval else value


def _format_mean(runs: pd.DataFrame, metric: Metric) -> str:
    return metric.format(runs[metric.column].astype(float).mean())


def _format_range(values: pd.Series) -> str:
    values = values.astype(float)
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
