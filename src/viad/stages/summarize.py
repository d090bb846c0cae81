"""Stage summarize: the metrics of this run, averaged over its categories, with their curves and galleries."""

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.artifacts.provenance import write_json
from viad.config.conf_files import read_yaml
from viad.config.params import read_all_params
from viad.errors import DataError
from viad.experiments.conditions import read_conditions
from viad.experiments.experiment_names import name_experiment
from viad.experiments.overrides import find_overrides
from viad.experiments.results_table import RESULTS_PAGE, format_results
from viad.metrics.catalogue import Metric, measured_metrics, metrics_at

CURVE_FILES = ("roc.csv", "precision_recall.csv", "score_histogram.csv")


def main() -> None:
    """Average metrics/<dataset>/ over the categories; gather their curves and galleries."""
    params = read_all_params()  # all of them: the title names whatever distinguishes an experiment
    dataset, categories = params["dataset"]["name"], params["dataset"]["categories"]
    metrics, plots = Path("metrics") / dataset, Path("plots") / dataset

    quality = [_read_metrics(metrics / f"{category}.json") for category in categories]
    summary = _average(quality, measured_metrics())
    worst = min((table["image_auroc"] for table in quality if "image_auroc" in table), default=None)
    summary["image_auroc_worst_category"] = None if worst is None else round(worst, 6)
    write_json({name: value for name, value in summary.items() if value is not None}, Path("metrics/summary.json"))
    training = [_read_metrics(metrics / "training" / f"{category}.json") for category in categories]
    title = _make_title(params)
    with replacing(RESULTS_PAGE) as aside:
        aside.write_text(format_results(title, dict(zip(categories, quality, strict=True))), encoding="utf-8")
    cost = {
        "train_seconds": round(sum(table["train_seconds"] for table in training), 3),
        "selection": training[0]["selection"],
    }
    cost |= _average(
        [_read_metrics(metrics / "cost" / f"{category}.json") for category in categories], metrics_at("cost")
    )
    write_json(cost, Path("metrics/timing.json"))
    for name in CURVE_FILES:
        _concatenate([plots / category / name for category in categories], Path("plots") / name)
    with replacing(Path("plots/heatmaps")) as out:
        out.mkdir()
        for category in categories:
            # The VS Code extension takes a file named by digits alone for one step of a training.
            shutil.copyfile(plots / category / "heatmaps.jpg", out / f"category_{category}.jpg")


def _make_title(params: dict[str, Any]) -> str:
    values = read_conditions(params, find_overrides(params, read_yaml))
    return (
        f"{name_experiment(values)}: {values['model.name']} on {values['dataset.name']} at {values['image_size']} px, "
        f"backbone {values['backbone.name']} (95 % intervals in brackets)"
    )


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot read the metrics ({error}). Run `dvc repro` to write them.") from error
    return values


def _average(tables: list[dict[str, Any]], metrics: list[Metric]) -> dict[str, Any]:
    """Average over the categories; a metric that a category lacks is left out."""
    keys = [metric.key for metric in metrics]
    return {
        key: round(fmean(table[key] for table in tables), 6) for key in keys if all(key in table for table in tables)
    }


def _concatenate(files: list[Path], out: Path) -> None:
    # As text: the category of a dataset may be 01.
    tables = [pd.read_csv(file, dtype=str) for file in files if file.is_file()]
    with replacing(out) as aside:
        (pd.concat(tables) if tables else pd.DataFrame()).to_csv(aside, index=False, lineterminator="\n")
