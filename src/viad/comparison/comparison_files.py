"""All tables of a comparison, and their files: Markdown, CSV, LaTeX and JSON."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from viad.artifacts import markdown
from viad.artifacts.atomic import replacing
from viad.artifacts.folders import check_replaceable
from viad.comparison.caveats import CAVEATS, find_caveats
from viad.comparison.comparison_tables import (
    FRONT_COSTS,
    Scores,
    average_runs,
    compare_with_best,
    find_fronts,
    list_domain_results,
    measure_effects,
    measure_test_selection,
)
from viad.comparison.condition_axes import (
    AXES,
    BASELINE,
    UNSET_VALUES,
    describe_conditions,
    name_equipment,
    prepare_experiments,
    reset_axis,
)
from viad.comparison.detector_ranks import rank_detectors
from viad.comparison.recommendation import recommend_detectors
from viad.experiments.experiment_tables import Experiments
from viad.metrics.catalogue import Metric, find_metric, metrics_shown

TABLE_TITLES = {
    "recommendations": "Recommended detectors",
    "means": "Means over categories and seeds",
    "differences": "The best detector against the others, on the same images",
    "ranks": "Ranks over test sets",
    "pareto": "Quality against measured latency and memory",
    "effects": "Effects of conditions, on the same images",
    "domains": "By source condition of the test images",
    "best_on_test": "Optimistic bias of choosing the epochs on the test set, against the longest run",
}
DEFECT_AXES = ("input_size", "seen_defects")  # axes that are also compared per defect type
COMPARISON_JSON = "comparison.json"  # all tables in one file
INTERVALS_NOTE = (
    "Differences are in AUROC; brackets hold 95 % intervals of a paired bootstrap over the test images (1,000 "
    "resamples). A difference is significant if its interval excludes 0. The intervals cover the choice of test "
    "images, not the choice of the training seed."
)


def compare_experiments(experiments: Experiments) -> dict[str, pd.DataFrame]:
    """Compute all tables of a comparison by name, and `experiments` with the `caveats` of each."""
    table, scores = add_caveats(experiments), experiments.scores
    averages, differences = average_runs(table), compare_with_best(table, scores)
    advice = recommend_detectors(table, averages, differences)
    effects = [measure_effects(table, scores, name, by_defect=name in DEFECT_AXES) for name in AXES]
    return {
        "experiments": table,
        "recommendations": pd.DataFrame(map(vars, advice), columns=["question", "words", "experiments"]),
        "means": averages,
        "differences": differences,
        "ranks": build_rank_table(table),
        "pareto": find_fronts(averages),
        "effects": pd.concat([rows for rows in effects if len(rows)] or effects[:1], ignore_index=True),
        "domains": list_domain_results(table, scores),
        "best_on_test": measure_test_selection(table, scores),
    }


def add_caveats(experiments: Experiments) -> pd.DataFrame:
    """Return the table of experiments with the description of the conditions and the `caveats` of each."""
    table = prepare_experiments(experiments.table)
    return table.assign(caveats=pd.Series(find_caveats(table), index=table.index, dtype=object))


def build_study_table(table: pd.DataFrame, scores: Scores, what: str) -> tuple[str, pd.DataFrame]:
    """Build the title and the readable table for an entry of a study's `shows`: an axis of `AXES`, or a table below.

    Args:
        table: of the study's experiments, from `add_caveats`.
        scores: of their test images.
        what: the name of the axis or the table.
    """
    if what in AXES:
        return TABLE_TITLES["effects"], format_readable(
            "effects", measure_effects(table, scores, what, by_defect=what in DEFECT_AXES)
        )
    made = {
        "means": lambda: average_runs(table),
        "ranks": lambda: build_rank_table(table),
        "domains": lambda: list_domain_results(table, scores),
        "best_on_test": lambda: measure_test_selection(table, scores),
    }
    return TABLE_TITLES[what], format_readable(what, made[what]())


def build_rank_table(table: pd.DataFrame) -> pd.DataFrame:
    """Build the table of mean ranks; each row has the test sets, Friedman's p and Nemenyi's critical difference."""
    ranking = rank_detectors(table)
    if ranking is None:
        return pd.DataFrame(columns=["detector", "rank", "test_sets", "p", "critical_difference"])
    detectors, sets, ranks = ranking
    return pd.DataFrame({"detector": detectors, "rank": ranks.mean}).assign(
        test_sets=", ".join(sets), p=ranks.p, critical_difference=ranks.critical_difference
    )


def write_comparison(tables: dict[str, pd.DataFrame], out: Path) -> str:
    """Write every table as CSV and LaTeX, all tables as comparison.json and comparison.md; return the Markdown.

    Markdown and LaTeX have the columns for readers; CSV and JSON have every column.

    Raises:
        DataError: `out` exists and is not a comparison.
    """
    check_replaceable(out, COMPARISON_JSON, "comparison")
    shown = {name: format_readable(name, tables[name]) for name in TABLE_TITLES}
    text = _format_markdown(shown)
    with replacing(out) as aside:
        aside.mkdir()
        (aside / "comparison.md").write_text(text, encoding="utf-8")
        records = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
        (aside / COMPARISON_JSON).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        for name, table in tables.items():
            table.to_csv(aside / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        for name, table in shown.items():
            latex = table.to_latex(index=False, escape=True, caption=TABLE_TITLES[name], label=f"tab:{name}")
            (aside / f"{name}.tex").write_text(latex, encoding="utf-8")
    return text


def _format_markdown(shown: dict[str, pd.DataFrame]) -> str:
    parts = [f"# Comparison\n\n{INTERVALS_NOTE}\n"]
    for name, table in shown.items():
        parts.append(f"## {TABLE_TITLES[name]}\n")
        if name == "recommendations":
            parts += [f"**{row['question']}** {row['answer']}\n" for row in table.to_dict("records")]
        elif len(table):
            parts.append(markdown.format_table(list(table.columns), table.to_numpy().tolist()))
        else:
            parts.append("Nothing to compare.\n")
    return "\n".join(parts)


def format_readable(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Format a table of `compare_experiments` for readers: few columns of text, without metrics that no row has."""
    text = pd.DataFrame([ROW_FORMATTERS[name](row) for row in table.to_dict("records")]).fillna("")
    unmeasured = [m.label for m in metrics_shown("compare") if m.label in text and (text[m.label] == "").all()]
    return text.drop(columns=unmeasured)


def _format_mean(row: dict[Any, Any]) -> dict[str, str]:
    cells = {"where": describe_setting(row), "detector": row["detector"]}
    cells |= {metric.label: format_with_spread(row, metric) for metric in metrics_shown("compare")}
    return cells | {"categories x seeds": _format_counts(row)}


def format_with_spread(row: dict[Any, Any], metric: Metric) -> str:
    """Format a mean with the spread over categories and, after a slash, over seeds; '' if the metric is missing."""
    if pd.isna(row[metric.column]):
        return ""
    spreads = [row.get(f"{metric.column}_{over}") for over in ("categories", "seeds")]  # costs have none
    texts = ["–" if pd.isna(spread) else metric.format(spread) for spread in spreads]
    return metric.format(row[metric.column]) + ("" if texts == ["–", "–"] else f" ± {texts[0]} / {texts[1]}")


def _format_metric(row: dict[Any, Any], key: str) -> str:
    return "" if pd.isna(row[key]) else find_metric(key).format(row[key])


def _format_counts(row: dict[Any, Any]) -> str:
    return f"{row['categories']} x {row['seeds']}"


def _format_best(row: dict[Any, Any]) -> dict[str, str]:
    return {"where": describe_setting(row), "better": row["better"], "worse": row["worse"]} | _format_result(row)


def _format_effect(row: dict[Any, Any]) -> dict[str, str]:
    axis = AXES[row["axis"]]
    where = describe_setting(row | reset_axis(axis)) + "".join(f", {row[key]}" for key in axis.joint_keys)
    where += f", {row['defect']} defects" if row["defect"] else ""
    change = f"{row['baseline'] or UNSET_VALUES.get(axis.name, 'none')} → {row['value']}"
    cells = {"condition and where": f"{axis.label}: {where}", "detector": row["detector"], "change": change}
    return cells | _format_result(row)


def _format_result(row: dict[Any, Any]) -> dict[str, str]:
    return {"difference": format_difference(row), "significant": _format_significance(row["significant"])}


def _format_significance(is_significant: Any) -> str:
    return "yes" if is_significant else "no"


def format_difference(row: dict[Any, Any]) -> str:
    """Format a difference with its sign and interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _format_auroc(row: dict[Any, Any]) -> str:
    if pd.isna(row["image_auroc"]):
        return ""
    within = "" if pd.isna(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['image_auroc']:.3f}{within}"


def describe_setting(row: dict[Any, Any]) -> str:
    """Describe a setting: dataset, size, and all conditions that differ from the baseline."""
    words = describe_conditions(row)
    # Effects of the image size have no fixed size.
    size = "" if pd.isna(row.get("image_size")) else f", {row['image_size']} px"
    return f"{row['dataset.name']}{size}{name_equipment(row)}" + ("" if words == BASELINE else f", {words}")


ROW_FORMATTERS: dict[str, Any] = {
    "recommendations": lambda row: {"question": row["question"], "answer": row["words"]},
    "means": _format_mean,
    "differences": _format_best,
    "effects": _format_effect,
    "versus": lambda row: {
        "where": describe_setting(row), "detector": row["detector"], "against": row["against"], **_format_result(row),
    },
    "ranks": lambda row: {
        "detector": row["detector"], "mean rank": f"{row['rank']:.2f}", "Friedman's p": f"{row['p']:.3g}",
        "critical difference": f"{row['critical_difference']:.2f}", "over": row["test_sets"],
    },
    "pareto": lambda row: {
        "where": describe_setting(row), "detector": row["detector"], "AUROC": f"{row['image_auroc']:.3f}",
        **{find_metric(key).label: _format_metric(row, key) for key in FRONT_COSTS},
        "on the front": "yes" if row["front"] else "",
    },
    "domains": lambda row: {
        "where": f"{describe_setting(row)}, {row['category']}", "detector": row["detector"], "domain": row["domain"],
        "AUROC": _format_auroc(row),
        find_metric("false_positive_rate").label: _format_metric(row, "false_positive_rate"),
    },
    "best_on_test": lambda row: {
        "where": describe_setting(row | {"epochs": ""}), "detector": row["detector"],
        "epochs to choose from": row["epochs"], "selected": row["chosen"],
        "optimistic bias": format_difference(row), "significant": _format_significance(row["significant"]),
        "caveat": CAVEATS["selected_on_test"].title,
    },
}  # fmt: skip
