"""Experiments as one tidy table: a row for each experiment and category, gathered from DVC and kept in docs/.

DVC keeps experiments in git refs that a clone does not fetch, so what the docs show is kept as a file beside them.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad.atomic import replacing
from viad.naming import experiment_name

FILE = Path("docs/experiments.csv")
KEYS = ("experiment", "category")
CONDITIONS = (
    "model.name", "dataset.name", "backbone.name", "image_size", "color", "aspect", "center_crop", "protocol",
    "shift.name", "shift.severity", "contamination.ratio", "contamination.source", "supervision.anomalies",
    "supervision.defects", "supervision.masks",
    "validation.name", "audit.exclude", "budget", "epochs", "precision", "seed",
)  # fmt: skip
WITH_INTERVALS = ("image_auroc", "pg2", "pb2")
PLAIN = ("image_aupr", "image_f1max", "false_alarm_rate", "miss_rate", "pixel_auroc", "pixel_ap", "aupro_30")
COST = ("latency_p50_ms", "images_per_second", "parameters", "model_megabytes", "peak_memory_megabytes", "device")
TRAINING = ("train_seconds", "epochs", "selection", "budget", "learning_type")


def collect() -> int:
    """Add the experiments that DVC knows here, and the last commit's own run, to docs/experiments.csv.

    A later run of an experiment takes the place of an earlier one with the same conditions. Returns
    how many rows were found.
    """
    from dvc.repo import Repo

    found: list[dict[str, Any]] = []
    with Repo() as repo:
        listed = repo.experiments.ls(all_commits=True)
        revisions = ["HEAD", *(sha for experiments in listed.values() for _, sha in experiments)]
        when = {revision: repo.scm.resolve_commit(revision).commit_time for revision in revisions}
    for revision in sorted(revisions, key=lambda revision: when[revision]):
        found += _rows(revision)
    table = pd.DataFrame(found)
    if FILE.is_file():
        table = pd.concat([read_experiments(), table])
    table = table.drop_duplicates(list(KEYS), keep="last").sort_values(list(KEYS))
    with replacing(FILE) as aside:
        table.to_csv(aside, index=False, float_format="%.6g", lineterminator="\n")
    return len(found)


def read_experiments() -> pd.DataFrame:
    """The table in docs/experiments.csv, or an empty one; intervals are in columns METRIC_low and METRIC_high."""
    if FILE.is_file():
        return pd.read_csv(FILE, keep_default_na=False, na_values=[""])
    return pd.DataFrame(columns=[*KEYS, *CONDITIONS, *(f"training.{key}" for key in TRAINING)])


def _rows(revision: str) -> list[dict[str, Any]]:
    """A row for each category of the experiment at `revision`; none if it has no metrics or DVC has lost them."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=revision)
    params = yaml.safe_load(files.read_text("params.yaml"))
    dataset = params["dataset"]["name"]
    flat = {key: lookup(params, key) for key in CONDITIONS}
    defects = flat["supervision.defects"] or []
    flat["audit.exclude"] = flat["audit.exclude"] or "none"
    name = experiment_name(flat | {"supervision.defects": defects})
    flat["supervision.defects"] = "+".join(defects) or "all"
    rows = []
    for category in params["dataset"]["categories"]:
        try:
            quality, training, cost = (
                json.loads(files.read_text(f"metrics/{dataset}/{part}{category}.json"))
                for part in ("", "training/", "cost/")
            )
        except FileNotFoundError:
            continue
        row = {"experiment": name, "category": category, **flat} | {metric: quality.get(metric) for metric in PLAIN}
        for metric in WITH_INTERVALS:
            row[metric] = quality.get(metric)
            row[f"{metric}_low"], row[f"{metric}_high"] = quality["intervals"].get(metric, (None, None))
        row["image_auroc_by_defect"] = json.dumps(quality.get("image_auroc_by_defect", {}))
        row |= {key: cost.get(key) for key in COST} | {f"training.{key}": training.get(key) for key in TRAINING}
        rows.append(row)
    return rows


def lookup(params: dict[str, Any], key: str) -> Any:
    """A value of dotted `key`; None where an older experiment has no such parameter."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
