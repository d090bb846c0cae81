"""Tables of the experiments in DVC: one row per experiment and category, and the scores of the test images."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from viad.artifacts.dvc_adapter import Repository
from viad.experiments import conditions
from viad.experiments.conditions import format_cell, look_up, read_conditions
from viad.experiments.earlier_versions import translate_params
from viad.experiments.experiment_names import name_experiment
from viad.experiments.measurements import read_quality
from viad.experiments.overrides import CommittedConf, ReadYaml, find_overrides
from viad.experiments.revisions import Revision
from viad.metrics import catalogue
from viad.metrics.catalogue import Metric, measured_metrics, metrics_at

ROW_KEYS = ("experiment", "category")  # identify a row
READER_COLUMN = "dataset.code"  # the module that reads the dataset: two datasets may be subsets of the same images
JSON_COLUMNS = ("image_auroc_by_defect", "by_domain")
TRAINING_KEYS = ("epochs", "selection", "learning_type")  # records of the training that are not metrics
PRACTICE_KEYS = ("selection", "threshold", "center_crop")  # declared for external predictions by their author
AUDIT_KEYS = ("leak", "duplicate", "near_duplicate")  # findings on images that may be in both training and test
INTERVAL_ENDS = ("low", "high")
IMAGE_COLUMNS = ["sample", "label", "defect", "domain"]  # describe an image in a table of scores


def list_table_columns() -> list[str]:
    """List the columns of the table of experiments."""
    metrics = [column for metric in catalogue.CATALOGUE for column in list_metric_columns(metric)]
    return [
        *ROW_KEYS, *conditions.CONDITION_KEYS, READER_COLUMN, *metrics, *JSON_COLUMNS, "device",
        *(f"training.{key}" for key in TRAINING_KEYS),
        *(f"audit.{key}" for key in AUDIT_KEYS), *(f"practice.{key}" for key in PRACTICE_KEYS),
    ]  # fmt: skip


def list_metric_columns(metric: Metric) -> list[str]:
    """List the columns of a metric: its value, and the ends of its interval if it has one."""
    return [metric.column, *(f"{metric.column}_{end}" for end in INTERVAL_ENDS if metric.interval)]


@dataclass
class Experiments:
    """Tidy tables of many experiments.

    `table` has one row per experiment and category, with the columns of `list_table_columns`. `scores` has a table for
    each (dataset, category) with one row per test image: `IMAGE_COLUMNS`, then a column of image scores for each
    experiment (NaN if the experiment did not test the image). `revisions` are the git commits of the experiments in
    DVC, by name.
    """

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list_table_columns()))
    scores: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)

    def merge(self, newer: "Experiments") -> "Experiments":
        """Return these experiments and the newer ones, which replace experiments of the same name."""
        parts = [table for table in (self.table, newer.table) if len(table)]
        table = pd.concat(parts).drop_duplicates(list(ROW_KEYS), keep="last") if parts else self.table
        scores = dict(self.scores)
        for key, fresh in newer.scores.items():
            scores[key] = merge_scores(scores[key], fresh) if key in scores else fresh
        table = table.sort_values(list(ROW_KEYS)).reset_index(drop=True)
        return Experiments(table, scores, self.revisions | newer.revisions)


def merge_scores(older: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """Merge two tables of scores; `newer` replaces experiments of the same name; images and columns are sorted."""
    replaced = [name for name in newer.columns if name in older.columns and name not in IMAGE_COLUMNS]
    merged = (
        older.drop(columns=replaced)
        .set_index("sample")
        .merge(newer.set_index("sample"), how="outer", left_index=True, right_index=True, suffixes=("", ".newer"))
        .reset_index()
    )
    for name in IMAGE_COLUMNS[1:]:
        merged[name] = merged[name].where(merged[name].notna(), merged.pop(f"{name}.newer"))
    merged["label"] = merged["label"].astype(int)
    columns = IMAGE_COLUMNS + sorted(set(merged.columns) - set(IMAGE_COLUMNS))
    return merged[columns].sort_values("sample", ignore_index=True)


def load_dvc_experiments() -> Experiments:
    """Load all experiments in DVC, and the last commit's own run unless its params were changed after the run.

    A later run of an experiment replaces an earlier one with the same conditions.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    scores: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    commits: dict[str, str] = {}
    with Repository() as repo:
        revisions = ["HEAD", *(sha for _, sha in repo.list_experiments())]
        conf = CommittedConf(Revision(repo, "HEAD").read_yaml)
        for revision in sorted(revisions, key=lambda revision: repo.read_commit(revision).time):
            files = Revision(repo, revision)
            if revision == "HEAD" and not _is_reproduced(files):
                continue
            start = files if revision == "HEAD" else find_start(repo, revision)
            for row in _read_rows(files, start.read_yaml, conf):
                key = (row["dataset.name"], row["category"])
                rows[row["experiment"], row["category"]] = row
                commits[row["experiment"]] = revision
                if (tested := files.read_table(f"metrics/{key[0]}/scores/{key[1]}.csv")) is not None:
                    scores.setdefault(key, {})[row["experiment"]] = tested
    table = pd.DataFrame(list(rows.values()), columns=list_table_columns())
    return Experiments(table, {key: _combine_scores(tables) for key, tables in scores.items()}, commits)


def _is_reproduced(files: Revision) -> bool:
    """Whether a commit's results come from its params: params can be changed and committed without a run."""
    params, lock = files.read_yaml("params.yaml") or {}, files.read_lock() or {}
    stages = (files.read_yaml("dvc.yaml") or {}).get("stages", {})
    categories = look_up(params, "dataset.categories") or []
    for name, stage in lock.get("stages", {}).items():
        base, _, category = name.partition("@")
        if base not in stages or (category and category not in categories):
            continue  # dvc.lock keeps entries of other datasets and of removed stages
        used = stage.get("params", {}).get("params.yaml", {})
        if any(look_up(params, key) != value for key, value in used.items()):
            return False
    return True


def find_start(repo: Repository, revision: str) -> Revision:
    """Find the commit that an experiment started from."""
    return Revision(repo, repo.read_commit(revision).parents[0])


def describe_experiment(files: Revision, start: ReadYaml, conf: CommittedConf) -> dict[str, Any] | None:
    """Return the conditions of a revision by dotted key, and its name as `experiment`; None without a model in params.

    Args:
        files: of the revision.
        start: reads the yamls of the commit that it started from.
        conf: of all revisions; describe them in the order of their time.
    """
    written = files.read_yaml("params.yaml") or {}
    if look_up(written, "model.name") is None:
        return None
    params = translate_params(written, _read_budget(files, written))
    read = conf.make_reader(start, written)
    overrides = find_overrides(params, lambda path: None if (yaml := read(path)) is None else translate_params(yaml))
    values = read_conditions(params, overrides)
    cells = {key: format_cell(value) for key, value in values.items()}
    declared = {f"practice.{key}": look_up(params, f"model.practice.{key}") for key in PRACTICE_KEYS}
    reader = look_up(params, READER_COLUMN) or ""
    return {"experiment": name_experiment(values), **cells, READER_COLUMN: reader, **declared}


def _read_budget(files: Revision, params: dict[str, Any]) -> str | None:
    """Read the budget that training recorded in experiments of earlier versions."""
    dataset = params["dataset"]
    paths = (f"metrics/{dataset['name']}/training/{category}.json" for category in dataset["categories"])
    trainings = (training for path in paths if (training := files.read_json(path)) is not None)
    return next((training["budget"] for training in trainings if "budget" in training), None)


def _read_rows(files: Revision, start: ReadYaml, conf: CommittedConf) -> Iterator[dict[str, Any]]:
    """Read the row of each category of an experiment; none if it has no metrics or DVC has lost them."""
    if (description := describe_experiment(files, start, conf)) is None:
        return
    dataset = description["dataset.name"]
    audit = files.read_json(f"metrics/{dataset}/audit.json") or {}
    for category in files.read_yaml("params.yaml")["dataset"]["categories"]:
        quality = read_quality(files, dataset, category)
        training, cost = (files.read_json(f"metrics/{dataset}/{part}/{category}.json") for part in ("training", "cost"))
        if quality is None or training is None or cost is None:
            continue
        row = {**description, "category": category} | _list_measurements(quality)
        row |= {metric.column: cost.get(metric.key) for metric in metrics_at("cost")} | {"device": cost.get("device")}
        row |= {metric.column: training.get(metric.key) for metric in metrics_at("training")}
        row |= {f"training.{key}": training.get(key) for key in TRAINING_KEYS}
        findings = audit.get(category, {}).get("findings", {})
        yield row | {f"audit.{key}": findings.get(key) for key in AUDIT_KEYS}


def _list_measurements(quality: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in measured_metrics():
        ends = quality["intervals"].get(metric.key, (None, None)) if metric.interval else ()
        row |= dict(zip(list_metric_columns(metric), (quality.get(metric.key), *ends), strict=True))
    return row | {key: json.dumps(quality.get(key, {})) for key in JSON_COLUMNS}


def _combine_scores(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Combine the test scores of several experiments into one table, one column per experiment."""
    images = (
        pd.concat([table[IMAGE_COLUMNS] for table in tables.values()]).drop_duplicates("sample").set_index("sample")
    )
    columns = {name: table.set_index("sample")["score"] for name, table in sorted(tables.items())}
    return images.join(pd.DataFrame(columns)).sort_index().reset_index()
