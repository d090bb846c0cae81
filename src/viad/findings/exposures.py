"""A natural shift: whether magnetic tiles look more anomalous under exposures that training has not seen."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad import markdown
from viad.comparison.tables import Scores, interval_of, plain_runs
from viad.metrics.image import auroc
from viad.samples import NORMAL

TRAINED_ON = {"mtd_exposures": "some exposures", "mtd": "all exposures"}
LEAST = 10  # normal tiles of an exposure that count


def unseen_above_seen(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """How often a normal tile under an unseen exposure scores above one under a seen exposure; 0.5 is no difference.

    The same for detectors that were trained on all exposures says how much of it lies in the images themselves.

    Returns:
        a row an experiment with `trained_on`, `detector`, `share`, and `low` and `high` of its 95 % interval, as
        differences from 0.5.
    """
    conf = yaml.safe_load(Path("conf/dataset/mtd_exposures.yaml").read_text(encoding="utf-8"))
    rows = []
    for run in plain_runs(table[table["dataset.name"].isin(list(TRAINED_ON))]).to_dict("records"):
        tested = scores.get((run["dataset.name"], run["category"]))
        if tested is None or run["experiment"] not in tested.columns:
            continue
        normals = tested[tested["label"] == NORMAL].dropna(subset=[run["experiment"]])
        normals = normals[normals.groupby("domain")["label"].transform("size") >= LEAST]
        unseen = (~normals["domain"].isin(conf["options"]["train_exposures"])).astype(int)
        low, high = interval_of(normals.assign(label=unseen), run["experiment"])
        if low is None or high is None:
            continue
        rows.append(_row(run) | {
            "share": auroc(normals[run["experiment"]].to_numpy(dtype=float), unseen.to_numpy()),
            "low": low - 0.5, "high": high - 0.5,
        })  # fmt: skip
    columns = ["dataset.name", "trained_on", "detector", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values(["dataset.name", "detector"], ascending=[False, True])


def _row(run: dict[Any, Any]) -> dict[str, Any]:
    name = run["dataset.name"]
    return {"dataset.name": name, "trained_on": TRAINED_ON[name], "detector": run["detector"]}


def exposures_table(found: pd.DataFrame) -> str:
    """The same as Markdown."""
    if found.empty:
        return "*Not run yet.*\n"
    rows = [
        [
            row["trained_on"], row["detector"],
            f"{row['share']:.3f} [{row['low'] + 0.5:.3f}, {row['high'] + 0.5:.3f}]",
            "yes" if row["low"] > 0 or row["high"] < 0 else "no",
        ]
        for row in found.to_dict("records")
    ]  # fmt: skip
    return markdown.table(["trained on", "detector", "unseen above seen", "told from 0.5"], rows)
