"""A natural shift: whether magnetic tiles score higher under exposures that are not in the training set."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from viad.artifacts import markdown
from viad.artifacts.samples import NORMAL
from viad.comparison.comparison_tables import PAIRED_RESAMPLES, Scores, select_baseline_runs
from viad.comparison.paired_bootstrap import compare_image_pairs, compute_interval, resample_mean

SOME_EXPOSURES, ALL_EXPOSURES = "mtd_exposures", "mtd"  # training sees some of the exposures, or all
MIN_NORMALS = 10  # normal tiles; exposures with fewer are left out
EXPOSURE_COLUMNS = ("detector", "trained_on_some", "trained_on_all", "difference", "low", "high")


def compare_exposures(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Compare normal tiles under unseen and seen exposures: the share of pairs in which the unseen one scores higher.

    0.5 is no difference.

    Some exposures may be harder in themselves, so each detector is compared with the same detector trained on all
    exposures. The two have different test tiles, so the difference is resampled independently on both sides.

    Returns:
        one row per detector that ran on both: the two shares, and their difference with its 95 % interval.
    """
    runs = select_baseline_runs(table[table["dataset.name"].isin([SOME_EXPOSURES, ALL_EXPOSURES])])
    rows = []
    for detector, group in runs.groupby("detector"):
        shares = {}
        for seed, dataset in enumerate((SOME_EXPOSURES, ALL_EXPOSURES)):  # different seeds resample different tiles
            names = group[group["dataset.name"] == dataset][["experiment", "category"]].to_records(index=False)
            if len(names) and (won := _compare_tiles(scores.get((dataset, names[0][1])), names[0][0])) is not None:
                shares[dataset] = won.mean(), resample_mean(won, PAIRED_RESAMPLES, seed)
        if len(shares) == 2:
            (some, resampled), (every, control) = shares[SOME_EXPOSURES], shares[ALL_EXPOSURES]
            rows.append([detector, some, every, some - every, *compute_interval(resampled - control)])
    return pd.DataFrame(rows, columns=list(EXPOSURE_COLUMNS))


def _compare_tiles(tested: pd.DataFrame | None, experiment: str) -> NDArray[np.float64] | None:
    """Which tiles under unseen exposures score above which under seen ones; None if the scores are missing."""
    if tested is None or experiment not in tested.columns:
        return None
    normals = tested[tested["label"] == NORMAL].dropna(subset=[experiment])
    normals = normals[normals.groupby("domain")["label"].transform("size") >= MIN_NORMALS]
    conf = yaml.safe_load(Path(f"conf/dataset/{SOME_EXPOSURES}.yaml").read_text(encoding="utf-8"))
    unseen = 1 - normals["domain"].isin(conf["options"]["train_exposures"]).to_numpy(dtype=np.int64)
    return compare_image_pairs(normals[experiment].to_numpy(dtype=float), unseen) if len(set(unseen)) == 2 else None


def format_exposures(shares: pd.DataFrame) -> str:
    """Format the rows of `compare_exposures` as a Markdown table."""
    if shares.empty:
        return "*Not run yet.*\n"
    rows = [
        [
            row["detector"], f"{row['trained_on_some']:.3f}", f"{row['trained_on_all']:.3f}",
            f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
            "yes" if row["low"] > 0 or row["high"] < 0 else "no",
        ]
        for row in shares.to_dict("records")
    ]  # fmt: skip
    head = ["detector", "trained on some exposures", "trained on all", "difference", "significant"]
    return markdown.format_table(head, rows)
