"""The contents of the report as plain data, which the page renders."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from viad.artifacts.dvc_adapter import Repository
from viad.comparison.caveats import CAVEATS
from viad.comparison.comparison_files import build_study_table, compare_experiments, describe_setting, format_readable
from viad.comparison.comparison_tables import FRONT_COSTS
from viad.comparison.condition_axes import AXES, BASELINE
from viad.comparison.condition_curves import build_curves
from viad.documentation.published_values import format_published_rows
from viad.experiments.experiment_tables import Experiments, list_metric_columns
from viad.metrics.catalogue import metrics_shown
from viad.plots.critical_difference import format_diagram_svg
from viad.report.cards import read_dataset_cards, read_model_cards
from viad.report.pictures import choose_experiments, write_galleries
from viad.studies.plans import (
    list_attempted,
    list_datasets,
    list_states,
    list_studies,
    plan_experiments,
    read_question,
    read_shown_tables,
    read_study,
)

MOST_ANSWERS = 8  # at the top of the page
SETTING_COLUMNS = {  # of the page's table of experiments: column of the table of results
    "experiment": "experiment", "category": "category", "dataset": "dataset.name", "model": "model.name",
    "learning_type": "training.learning_type", "backbone": "backbone.name", "preset": "preset",
    "image_size": "image_size", "condition": "condition", "seed": "seed", "caveats": "caveats",
}  # fmt: skip


def collect_contents(experiments: Experiments, named: Sequence[str], pictures: Path) -> dict[str, Any]:
    """Collect the contents of the page.

    Args:
        experiments: all experiments.
        named: experiments that get a gallery; if empty, the best of each dataset.
        pictures: the folder for the pictures of the galleries.
    """
    tables = compare_experiments(experiments)
    table = tables["experiments"]
    return {
        "made": {**_read_commit(), "experiments": int(table["experiment"].nunique())},
        "answers": [
            {"question": row["question"], "words": row["words"], "experiments": list(row["experiments"])}
            for row in tables["recommendations"].head(MOST_ANSWERS).to_dict("records")
        ],
        "columns": describe_metrics(),
        "experiments": _experiments(table),
        "caveats": {name: asdict(caveat) for name, caveat in CAVEATS.items()},
        "models": {"metric": "AUROC", **_table(format_readable("means", tables["means"]))},
        "ranks": _ranks(tables["ranks"]),
        "pareto": _pareto(tables["pareto"]),
        "differences": _differences(tables["differences"]),
        "studies": [_study(name, table, experiments) for name in list_studies()],
        "galleries": write_galleries(experiments, named or choose_experiments(table, experiments), pictures),
        "cards": {"datasets": read_dataset_cards(), "models": read_model_cards()},
        "published": _table(format_published_rows(experiments.table)),
    }


def describe_metrics() -> list[dict[str, Any]]:
    """Describe the metrics of the page's table of experiments: key, heading, explanation, display and sorting."""
    return [
        {
            "field": metric.key, "title": metric.label, "hint": metric.explanation, "level": metric.level,
            "better": metric.better, "digits": metric.digits, "interval": metric.interval,
        }
        for metric in metrics_shown("page")
    ]  # fmt: skip


def _read_commit() -> dict[str, str]:
    """Read the last commit and its day: the page is the same for the same commit and experiments."""
    with Repository() as repo:
        commit = repo.read_commit("HEAD")
    return {"commit": commit.sha[:7], "date": f"{commit.time:%Y-%m-%d}"}


def _experiments(table: pd.DataFrame) -> list[dict[str, Any]]:
    names = {
        column: column.removeprefix("training.") for m in metrics_shown("page") for column in list_metric_columns(m)
    }
    names |= {column: name for name, column in SETTING_COLUMNS.items()}
    rows = table[list(names)].rename(columns=names)
    rows = rows.assign(
        learning_type=rows["learning_type"].astype(str).str.replace("_", "-"),
        image_size=pd.to_numeric(rows["image_size"]),
        condition=[
            condition if labels == "0" else f"{condition}, {labels} labels".removeprefix(f"{BASELINE}, ")
            for condition, labels in zip(table["condition"], table["labels"], strict=True)
        ],
    )
    return rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[return-value]


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    text = frame.astype(object).where(frame.notna(), "")
    rows = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in text.to_numpy()]
    return {"head": list(frame.columns), "rows": rows}


def _ranks(ranks: pd.DataFrame) -> dict[str, Any]:
    if ranks.empty:
        none = "Ranks need three detectors on two test sets under the baseline."
        return {"blocks": 0, "p": None, "critical_difference": None, "models": [], "words": none, "figure": None}
    first = ranks.iloc[0]
    sets = str(first["test_sets"]).split(", ")
    verdict = "differ more than chance would make them" if first["p"] < 0.05 else "do not differ more than by chance"
    difference = first["critical_difference"]
    words = (
        f"Mean ranks over {len(sets)} test sets ({first['test_sets']}), 1 being the best. By Friedman's test the "
        f"detectors {verdict} (p = {first['p']:.3g}). A bar joins detectors whose ranks differ by less than the "
        f"critical difference of {difference:.2f} (Nemenyi, 95 %): these do not differ significantly."
    )
    return {
        "blocks": len(sets), "p": float(first["p"]), "critical_difference": float(first["critical_difference"]),
        "models": [{"model": row["detector"], "rank": row["rank"]} for row in ranks.to_dict("records")],
        "words": words, "figure": format_diagram_svg(ranks),
    }  # fmt: skip


def _pareto(fronts: pd.DataFrame) -> list[dict[str, Any]]:
    names = ["detector", "image_auroc", *FRONT_COSTS, "front"]
    titles = [describe_setting(row) for row in fronts.to_dict("records")]
    return [
        {"title": title, "points": group[names].rename(columns={"detector": "model"}).to_dict("records")}
        for title, group in fronts.groupby(pd.Series(titles, index=fronts.index, dtype=object), sort=False)
        if len(group) > 1
    ]


def _differences(differences: pd.DataFrame) -> list[dict[str, Any]]:
    rows = differences[differences["condition"] == BASELINE]
    return [
        {
            "title": f"{row['better']} − {row['worse']} on {describe_setting(row)}",
            "a": row["better"], "b": row["worse"],
            "category": row["categories"], "difference": row["difference"], "low": row["low"], "high": row["high"],
        }
        for row in rows.to_dict("records")
    ]  # fmt: skip


def list_planned_experiments(name: str, table: pd.DataFrame) -> list[str]:
    """The experiments of a study's small preset, and those of the paper preset once one of them was run or tried."""
    small, tried = _list_names(name, "small"), list_attempted(name)
    runs = table[table["preset"] == "paper"]
    like = runs["dataset.name"].isin(list_datasets(read_study(name, "paper")))
    if not like.any() and tried <= set(small):
        return small  # composing the other would take seconds
    others = [one for one in _list_names(name, "paper") if one not in small]
    return small + others if set(others) & (tried | set(runs["experiment"])) else small


def _list_names(name: str, preset: str) -> list[str]:
    return [one.name for one in plan_experiments(read_study(name, preset))]


def _study(name: str, table: pd.DataFrame, experiments: Experiments) -> dict[str, Any]:
    names = list_planned_experiments(name, table)
    mine = table[table["experiment"].isin(names)]
    tables = [build_study_table(mine, experiments.scores, what) for what in read_shown_tables(name)]
    drawn = [
        one for what in read_shown_tables(name) if what in AXES for one in build_curves(mine, experiments.scores, what)
    ]
    return {
        "name": name,
        "question": read_question(name),
        "states": list_states(name, names, set(table["experiment"])),
        "tables": [{"title": title, **_table(one)} for title, one in tables if len(one)],
        "curves": drawn,
    }
