"""Experiments out of DVC: a row for each experiment and category, and the scores of its test images."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from viad.artifacts.dvc_adapter import Repository
from viad.experiments import conditions
from viad.experiments.conditions import as_cell, lookup, read_conditions
from viad.experiments.earlier_versions import translate_params
from viad.experiments.measurements import read_quality
from viad.experiments.naming import experiment_name
from viad.experiments.overrides import CommittedConf, ReadYaml, find_overrides
from viad.experiments.revisions import Revision
from viad.metrics import catalogue
from viad.metrics.catalogue import Metric, measured_metrics, metrics_at

ROW = ("experiment", "category")  # what a row is of
READER = "dataset.code"  # the module that reads the dataset: two datasets may be cut from the same images
AS_JSON = ("image_auroc_by_defect", "by_domain")
TRAINING = ("epochs", "selection", "learning_type")  # what training recorded beside its metrics
PRACTICE = ("selection", "threshold", "center_crop")  # of predictions made elsewhere, as their maker declares it
FINDINGS = ("leak", "duplicate", "near_duplicate")  # of the audit: images that may stand on both sides of the split
ENDS = ("low", "high")  # of an interval
SAMPLE = ["sample", "label", "defect", "domain"]  # what a table of scores says of an image


def table_columns() -> list[str]:
    """The columns of the table of experiments."""
    metrics = [column for metric in catalogue.CATALOGUE for column in metric_columns(metric)]
    return [
        *ROW, *conditions.KEYS, READER, *metrics, *AS_JSON, "device", *(f"training.{key}" for key in TRAINING),
        *(f"audit.{key}" for key in FINDINGS), *(f"practice.{key}" for key in PRACTICE),
    ]  # fmt: skip


def metric_columns(metric: Metric) -> list[str]:
    """The columns of a metric: its value, and the ends of its interval if it has one."""
    return [metric.column, *(f"{metric.column}_{end}" for end in ENDS if metric.interval)]


@dataclass
class Experiments:
    """Tidy tables of many experiments.

    `table` has a row for each experiment and category, with `table_columns()`. `scores` holds by (dataset, category)
    a table with a row a test image: `SAMPLE`, then a column of image scores for each experiment (NaN where an
    experiment did not test the image). `revisions` are the git commits of those that DVC has here, by experiment.
    """

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=table_columns()))
    scores: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)

    def updated(self, newer: "Experiments") -> "Experiments":
        """These and `newer`, which replaces what has the same name."""
        parts = [one for one in (self.table, newer.table) if len(one)]
        table = pd.concat(parts).drop_duplicates(list(ROW), keep="last") if parts else self.table
        scores = dict(self.scores)
        for key, fresh in newer.scores.items():
            scores[key] = joined(scores[key], fresh) if key in scores else fresh
        table = table.sort_values(list(ROW)).reset_index(drop=True)
        return Experiments(table, scores, self.revisions | newer.revisions)


def joined(older: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """Two tables of scores as one, `newer` replacing experiments of the same name; images and columns sorted."""
    kept = older.drop(columns=[name for name in newer.columns if name in older.columns and name not in SAMPLE])
    both = (
        kept.set_index("sample")
        .merge(newer.set_index("sample"), how="outer", left_index=True, right_index=True, suffixes=("", ".newer"))
        .reset_index()
    )
    for name in SAMPLE[1:]:
        both[name] = both[name].where(both[name].notna(), both.pop(f"{name}.newer"))
    both["label"] = both["label"].astype(int)
    return both[SAMPLE + sorted(set(both.columns) - set(SAMPLE))].sort_values("sample", ignore_index=True)


def from_dvc() -> Experiments:
    """All experiments that DVC knows here, and the last commit's own run unless its params were changed after it.

    A later run of an experiment takes the place of an earlier one with the same conditions.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    scores: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    when: dict[str, str] = {}
    with Repository() as repo:
        revisions = ["HEAD", *(sha for _, sha in repo.list_experiments())]
        conf = CommittedConf(Revision(repo, "HEAD").yaml)
        for revision in sorted(revisions, key=lambda revision: repo.read_commit(revision).time):
            files = Revision(repo, revision)
            if revision == "HEAD" and not _reproduced(files):
                continue
            start = files if revision == "HEAD" else start_of(repo, revision)
            for row in _rows(files, start.yaml, conf):
                key = (row["dataset.name"], row["category"])
                found[row["experiment"], row["category"]] = row
                when[row["experiment"]] = revision
                if (tested := files.table(f"metrics/{key[0]}/scores/{key[1]}.csv")) is not None:
                    scores.setdefault(key, {})[row["experiment"]] = tested
    table = pd.DataFrame(list(found.values()), columns=table_columns())
    return Experiments(table, {key: _wide(tables) for key, tables in scores.items()}, when)


def _reproduced(files: Revision) -> bool:
    """Whether a commit's results are of its params, which can be changed and committed without a run."""
    params, lock = files.yaml("params.yaml") or {}, files.yaml("dvc.lock") or {}
    stages = (files.yaml("dvc.yaml") or {}).get("stages", {})
    categories = lookup(params, "dataset.categories") or []
    for name, stage in lock.get("stages", {}).items():
        base, _, category = name.partition("@")
        if base not in stages or (category and category not in categories):
            continue  # DVC keeps what it knows of other datasets and of stages that are gone
        used = stage.get("params", {}).get("params.yaml", {})
        if any(lookup(params, key) != value for key, value in used.items()):
            return False
    return True


def start_of(repo: Repository, revision: str) -> Revision:
    """The commit that an experiment started from."""
    return Revision(repo, repo.read_commit(revision).parents[0])


def described(files: Revision, start: ReadYaml, conf: CommittedConf) -> dict[str, Any] | None:
    """The conditions of a revision by dotted key, and its name as `experiment`; None if it is none of ours.

    Args:
        files: of the revision.
        start: reads the commit that it started from.
        conf: of all revisions, which are described in the order of their time.
    """
    written = files.yaml("params.yaml") or {}
    if lookup(written, "model.name") is None:
        return None
    params = translate_params(written, _used_budget(files, written))
    read = conf.reader(start, written)
    overrides = find_overrides(params, lambda path: None if (found := read(path)) is None else translate_params(found))
    values = read_conditions(params, overrides)
    cells = {key: as_cell(value) for key, value in values.items()}
    declared = {f"practice.{key}": lookup(params, f"model.practice.{key}") for key in PRACTICE}
    reader = lookup(params, READER) or ""
    return {"experiment": experiment_name(values), **cells, READER: reader, **declared}


def _used_budget(files: Revision, params: dict[str, Any]) -> str | None:
    """The budget that training recorded, in experiments of earlier versions."""
    dataset = params["dataset"]
    made = (files.json(f"metrics/{dataset['name']}/training/{category}.json") for category in dataset["categories"])
    return next((one["budget"] for one in made if one is not None and "budget" in one), None)


def _rows(files: Revision, start: ReadYaml, conf: CommittedConf) -> Iterator[dict[str, Any]]:
    """A row for each category of an experiment; none if it has no metrics or DVC has lost them."""
    if (description := described(files, start, conf)) is None:
        return
    dataset = description["dataset.name"]
    audit = files.json(f"metrics/{dataset}/audit.json") or {}
    for category in files.yaml("params.yaml")["dataset"]["categories"]:
        quality = read_quality(files, dataset, category)
        training, cost = (files.json(f"metrics/{dataset}/{part}/{category}.json") for part in ("training", "cost"))
        if quality is None or training is None or cost is None:
            continue
        row = {**description, "category": category} | _measured(quality)
        row |= {metric.column: cost.get(metric.key) for metric in metrics_at("cost")} | {"device": cost.get("device")}
        row |= {metric.column: training.get(metric.key) for metric in metrics_at("training")}
        row |= {f"training.{key}": training.get(key) for key in TRAINING}
        findings = audit.get(category, {}).get("findings", {})
        yield row | {f"audit.{key}": findings.get(key) for key in FINDINGS}


def _measured(quality: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in measured_metrics():
        ends = quality["intervals"].get(metric.key, (None, None)) if metric.interval else ()
        row |= dict(zip(metric_columns(metric), (quality.get(metric.key), *ends), strict=True))
    return row | {key: json.dumps(quality.get(key, {})) for key in AS_JSON}


def _wide(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The test scores of several experiments as one table, a column each."""
    images = pd.concat([table[SAMPLE] for table in tables.values()]).drop_duplicates("sample").set_index("sample")
    columns = {name: table.set_index("sample")["score"] for name, table in sorted(tables.items())}
    return images.join(pd.DataFrame(columns)).sort_index().reset_index()
