"""Tables of docs/models.md, from the collected experiments."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad.artifacts import markdown
from viad.comparison.conditions import as_text
from viad.experiments.tables import metric_columns
from viad.metrics.catalogue import Metric, measured_metrics, metrics_at, metrics_shown

CONF = Path("conf/model")
CATEGORIES = ("mono", "poly")
PLAIN = {  # the conditions of the table of all models
    "dataset.name": "elpv", "backbone.name": "efficientnet_lite0", "image_size": 256, "color": "rgb",
    "aspect": "squash", "protocol": "study", "shift.name": "none", "contamination.ratio": 0,
    "contamination.source": "reserve", "supervision.anomalies": 0, "supervision.defects": "all",
    "supervision.masks": True, "validation.name": "none", "audit.exclude": "none", "precision": "float32", "seed": 3341,
    "preset": "small", "center_crop": 1, "epochs": "", "settings": "",
}  # fmt: skip


def models_table(experiments: pd.DataFrame) -> str:
    """A row a model on ELPV with the preset small; a model that was not run says what it needs."""
    measured, costs = (
        metrics_shown("models", metrics) for metrics in (measured_metrics(), metrics_at("training", "cost"))
    )
    head = ["model", "learning type"]
    head += [f"{metric.label} {category}" for category in CATEGORIES for metric in measured]
    head += [metric.label for metric in costs]
    rows = []
    for path in sorted(CONF.glob("*.yaml")):
        model = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "external":
            continue
        labels = 10 if model["learning_type"] == "supervised" else 0
        runs = _where(experiments, PLAIN | {"model.name": model["name"], "supervision.anomalies": labels})
        cells = [_one(runs, category, metric) for category in CATEGORIES for metric in measured]
        unknown = [model.get("needs", "not run"), *[""] * (len(costs) - 1)]
        cells += [_mean(runs, metric) for metric in costs] if len(runs) else unknown
        rows.append([model["name"], model["learning_type"].replace("_", "-"), *cells])
    return markdown.format_table(head, rows)


def supervision_table(experiments: pd.DataFrame) -> str:
    """AUROC on pooled ELPV by model and number of labelled anomalies, mean and range over the seeds."""
    plain = _without("seed", "supervision.anomalies") | {"dataset.name": "elpv_pooled"}
    runs = _where(experiments, plain).drop_duplicates(["model.name", "supervision.anomalies", "seed"], keep="last")
    rows = [
        [model, str(labels), str(len(group)), _spread(group["image_auroc"])]
        for (model, labels), group in runs.groupby(["model.name", "supervision.anomalies"])
    ]
    return markdown.format_table(["model", "labelled anomalies", "seeds", "AUROC (lowest to highest)"], rows)


def contamination_table(experiments: pd.DataFrame) -> str:
    """AUROC by model and category without and with contamination, and what it loses; means over the seeds of both."""
    runs = _where(experiments, _without("dataset.name", "contamination.ratio", "seed"))
    runs = runs.drop_duplicates(["dataset.name", "category", "model.name", "contamination.ratio", "seed"], keep="last")
    rows = []
    for (dataset, category, model), group in runs.groupby(["dataset.name", "category", "model.name"]):
        value = group.pivot(index="seed", columns="contamination.ratio", values="image_auroc")
        for ratio in sorted(map(float, value.columns)):
            if ratio > 0 and 0 in value.columns and len(both := value[[0, ratio]].dropna()):
                clean, noisy = both[0].mean(), both[ratio].mean()
                numbers = [f"{x:.3f}" for x in (clean, noisy, clean - noisy)]
                rows.append([dataset, category, model, f"{ratio:.0%}", len(both), *numbers])
    head = ["dataset", "category", "model", "contamination", "seeds", "AUROC clean", "AUROC", "loss"]
    return markdown.format_table(head, rows)


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in PLAIN.items() if key not in keys}


def _where(experiments: pd.DataFrame, conditions: dict[str, Any]) -> pd.DataFrame:
    for key, value in conditions.items():
        # Read from a file, 'all' and 10 share a column of text.
        experiments = experiments.loc[[as_text(one).removesuffix(".0") == str(value) for one in experiments[key]]]
    return experiments


def _one(runs: pd.DataFrame, category: str, metric: Metric) -> str:
    found = runs[runs["category"] == category] if len(runs) else runs
    values = [float(found[column].iloc[0]) for column in metric_columns(metric)] if len(found) else [math.nan]
    if pd.isna(values[0]):
        return ""
    value, *interval = map(metric.format, values)
    return f"{value} [{', '.join(interval)}]" if interval else value


def _mean(runs: pd.DataFrame, metric: Metric) -> str:
    return metric.format(runs[metric.column].astype(float).mean())


def _spread(values: pd.Series) -> str:
    values = values.astype(float)
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
