"""ROC, precision-recall and score histogram as small tables, which DVC's templates plot."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

MOST_CURVE_POINTS = 200  # a plot cannot show more, and a table of thousands slows it
HISTOGRAM_BINS = 40


def write_curves(test: pd.DataFrame, category: str, out: Path) -> None:
    """Write roc.csv, precision_recall.csv and score_histogram.csv; the first two need both classes."""
    labels, scores = test["label"].to_numpy(), test["score"].to_numpy()
    if 0 < labels.sum() < len(labels):
        false_alarms, recall, _ = roc_curve(labels, scores)
        _write(out / "roc.csv", category, false_positive_rate=false_alarms, true_positive_rate=recall)
        precision, recall, _ = precision_recall_curve(labels, scores)
        _write(out / "precision_recall.csv", category, recall=recall[::-1], precision=precision[::-1])
    _histogram(labels, scores).assign(category=category).to_csv(
        out / "score_histogram.csv", index=False, float_format="%.6g", lineterminator="\n"
    )


def _write(path: Path, category: str, **columns: np.ndarray) -> None:
    table = pd.DataFrame(columns)
    keep = np.unique(np.linspace(0, len(table) - 1, MOST_CURVE_POINTS).round().astype(int))
    table.iloc[keep].assign(category=category).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _histogram(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Compute the share of each class per bin; the bins span the scores of both classes."""
    edges = np.histogram_bin_edges(scores, bins=HISTOGRAM_BINS)
    parts = []
    for label, name in ((0, "normal"), (1, "anomalous")):
        counts, _ = np.histogram(scores[labels == label], edges)
        parts.append(
            pd.DataFrame({"score": (edges[:-1] + edges[1:]) / 2, "share": counts / max(counts.sum(), 1), "label": name})
        )
    return pd.concat(parts)
