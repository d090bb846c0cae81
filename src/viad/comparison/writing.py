"""A comparison as DataFrames, and as Markdown, CSV, LaTeX and JSON."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from viad.artifacts import markdown
from viad.artifacts.atomic import replacing
from viad.artifacts.folders import check_replaceable
from viad.comparison.caveats import CAVEATS, find_caveats
from viad.comparison.conditions import AXES, BASELINE, UNSET, in_words, name_equipment, prepared, without
from viad.comparison.ranking import ranked
from viad.comparison.recommendation import recommendations
from viad.comparison.tables import (
    COSTLY,
    Scores,
    best_on_test,
    differences,
    domains,
    effects,
    fronts,
    means,
)
from viad.experiments.tables import Experiments
from viad.metrics.catalogue import Metric, find_metric, metrics_shown

TITLES = {
    "recommendations": "Which detector to take",
    "means": "Means over categories and seeds",
    "differences": "The best against the others, on the same images",
    "ranks": "Ranks over test sets",
    "pareto": "Quality against latency and memory, as measured",
    "effects": "What a condition changes, on the same images",
    "domains": "By source condition of the test images",
    "best_on_test": "What choosing the epochs on the test set gains over the longest run",
}
BY_DEFECT = ("input_size", "seen_defects")  # axes that ask about kinds of defect
ALL = "comparison.json"  # all tables in one file
INTERVALS = (
    "Differences are of AUROC, in brackets with 95 % intervals of a paired bootstrap over the test images (1,000 "
    "resamples). A difference whose interval holds 0 is not told from chance. The interval is that of the test images: "
    "what another training seed would change is not in it."
)


def compare(experiments: Experiments) -> dict[str, pd.DataFrame]:
    """All tables of a comparison by name, and `experiments` with the `caveats` of each."""
    table, scores = with_caveats(experiments), experiments.scores
    averages, apart = means(table), differences(table, scores)
    advice = recommendations(table, averages, apart)
    changed = [effects(table, scores, name, by_defect=name in BY_DEFECT) for name in AXES]
    return {
        "experiments": table,
        "recommendations": pd.DataFrame([vars(one) for one in advice], columns=["question", "words", "experiments"]),
        "means": averages,
        "differences": apart,
        "ranks": rank_table(table),
        "pareto": fronts(averages),
        "effects": pd.concat([one for one in changed if len(one)] or changed[:1], ignore_index=True),
        "domains": domains(table, scores),
        "best_on_test": best_on_test(table, scores),
    }


def with_caveats(experiments: Experiments) -> pd.DataFrame:
    """The table of experiments with conditions in words and the `caveats` of each."""
    table = prepared(experiments.table)
    return table.assign(caveats=pd.Series(find_caveats(table), index=table.index, dtype=object))


def shown(table: pd.DataFrame, scores: Scores, what: str) -> tuple[str, pd.DataFrame]:
    """Title and readable table of what a study shows: an axis of `AXES`, or one of the tables below.

    Args:
        table: of the study's experiments, as `with_caveats` gives it.
        scores: of their test images.
        what: its name.
    """
    if what in AXES:
        return TITLES["effects"], readable("effects", effects(table, scores, what, by_defect=what in BY_DEFECT))
    made = {
        "means": lambda: means(table),
        "ranks": lambda: rank_table(table),
        "domains": lambda: domains(table, scores),
        "best_on_test": lambda: best_on_test(table, scores),
    }
    return TITLES[what], readable(what, made[what]())


def rank_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean ranks, with what they are over, Friedman's p and Nemenyi's critical difference in every row."""
    found = ranked(table)
    if found is None:
        return pd.DataFrame(columns=["detector", "rank", "test_sets", "p", "critical_difference"])
    detectors, sets, numbers = found
    return pd.DataFrame({"detector": detectors, "rank": numbers.mean}).assign(
        test_sets=", ".join(sets), p=numbers.p, critical_difference=numbers.critical_difference
    )


def write_comparison(tables: dict[str, pd.DataFrame], out: Path) -> str:
    """Write every table as CSV and LaTeX, all as comparison.json, and comparison.md, which is returned.

    The Markdown and LaTeX have what a reader wants; CSV and JSON have every column.

    Raises:
        DataError: `out` holds something that is no comparison.
    """
    check_replaceable(out, ALL, "comparison")
    shown = {name: readable(name, tables[name]) for name in TITLES}
    text = _markdown(shown)
    with replacing(out) as aside:
        aside.mkdir()
        (aside / "comparison.md").write_text(text, encoding="utf-8")
        records = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
        (aside / ALL).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        for name, table in tables.items():
            table.to_csv(aside / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        for name, table in shown.items():
            latex = table.to_latex(index=False, escape=True, caption=TITLES[name], label=f"tab:{name}")
            (aside / f"{name}.tex").write_text(latex, encoding="utf-8")
    return text


def _markdown(shown: dict[str, pd.DataFrame]) -> str:
    parts = [f"# Comparison\n\n{INTERVALS}\n"]
    for name, table in shown.items():
        parts.append(f"## {TITLES[name]}\n")
        if name == "recommendations":
            parts += [f"**{row['question']}** {row['answer']}\n" for row in table.to_dict("records")]
        elif len(table):
            parts.append(markdown.format_table(list(table.columns), table.to_numpy().tolist()))
        else:
            parts.append("Nothing to compare.\n")
    return "\n".join(parts)


def readable(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """One of the tables of `compare` as a reader wants it: few columns, all of text; no metric that no row has."""
    read = pd.DataFrame([_READ[name](row) for row in table.to_dict("records")]).fillna("")
    unmeasured = [m.label for m in metrics_shown("compare") if m.label in read and (read[m.label] == "").all()]
    return read.drop(columns=unmeasured)


def _read_mean(row: dict[Any, Any]) -> dict[str, str]:
    said = {"where": where(row), "detector": row["detector"]}
    said |= {metric.label: with_spread(row, metric) for metric in metrics_shown("compare")}
    return said | {"categories x seeds": _times(row)}


def with_spread(row: dict[Any, Any], metric: Metric) -> str:
    """A mean with the spread of the categories, and after a slash that of the seeds; '' where there is none."""
    if pd.isna(row[metric.column]):
        return ""
    spreads = [row.get(f"{metric.column}_{over}") for over in ("categories", "seeds")]  # costs have none
    said = ["–" if pd.isna(spread) else metric.format(spread) for spread in spreads]
    return metric.format(row[metric.column]) + ("" if said == ["–", "–"] else f" ± {said[0]} / {said[1]}")


def _number(row: dict[Any, Any], key: str) -> str:
    return "" if pd.isna(row[key]) else find_metric(key).format(row[key])


def _times(row: dict[Any, Any]) -> str:
    return f"{row['categories']} x {row['seeds']}"


def _read_difference(row: dict[Any, Any]) -> dict[str, str]:
    return {"where": where(row), "better": row["better"], "worse": row["worse"]} | _found(row)


def _read_effect(row: dict[Any, Any]) -> dict[str, str]:
    axis = AXES[row["axis"]]
    held = f"{axis.label}: " + where(row | without(axis)) + "".join(f", {row[kind]}" for kind in axis.together)
    held += f", {row['defect']} defects" if row["defect"] else ""
    changed = f"{row['baseline'] or UNSET.get(axis.name, 'none')} → {row['value']}"
    return {"what and where": held, "detector": row["detector"], "change": changed} | _found(row)


def _found(row: dict[Any, Any]) -> dict[str, str]:
    return {"difference": interval(row), "told apart": _yes(row["told_apart"])}


def _yes(told_apart: Any) -> str:
    return "yes" if told_apart else "no"


def interval(row: dict[Any, Any]) -> str:
    """A difference with its sign and interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _level(row: dict[Any, Any]) -> str:
    if pd.isna(row["image_auroc"]):
        return ""
    within = "" if pd.isna(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['image_auroc']:.3f}{within}"


def where(row: dict[Any, Any]) -> str:
    """A setting in words: dataset, size and what is not the baseline."""
    words = in_words(row)
    size = (
        "" if pd.isna(row.get("image_size")) else f", {row['image_size']} px"
    )  # where sizes are compared, none is held
    return f"{row['dataset.name']}{size}{name_equipment(row)}" + ("" if words == BASELINE else f", {words}")


_READ: dict[str, Any] = {
    "recommendations": lambda row: {"question": row["question"], "answer": row["words"]},
    "means": _read_mean,
    "differences": _read_difference,
    "effects": _read_effect,
    "versus": lambda row: {"where": where(row), "detector": row["detector"], "against": row["against"]} | _found(row),
    "ranks": lambda row: {
        "detector": row["detector"], "mean rank": f"{row['rank']:.2f}", "Friedman's p": f"{row['p']:.3g}",
        "critical difference": f"{row['critical_difference']:.2f}", "over": row["test_sets"],
    },
    "pareto": lambda row: {
        "where": where(row), "detector": row["detector"], "AUROC": f"{row['image_auroc']:.3f}",
        **{find_metric(key).label: _number(row, key) for key in COSTLY},
        "on the front": "yes" if row["front"] else "",
    },
    "domains": lambda row: {
        "where": f"{where(row)}, {row['category']}", "detector": row["detector"], "domain": row["domain"],
        "AUROC": _level(row),
        find_metric("false_positive_rate").label: _number(row, "false_positive_rate"),
    },
    "best_on_test": lambda row: {
        "where": where(row | {"epochs": ""}), "detector": row["detector"], "epochs to choose from": row["epochs"],
        "chosen": row["chosen"], "pretended gain": interval(row), "told apart": _yes(row["told_apart"]),
        "caveat": CAVEATS["selected_on_test"].title,
    },
}  # fmt: skip
