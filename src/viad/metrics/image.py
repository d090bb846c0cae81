"""Image-level metrics of scores (N,) and labels (N,), 0 normal and 1 anomalous.

The catalogue lists those that evaluate measures. Rank metrics are scikit-learn's. PGn and PBn are those of Baitieva et
al. (CVPRW 2025), as anomalib computes them.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

Scores = NDArray[np.floating]
Labels = NDArray[np.integer]


def image_auroc(scores: Scores, labels: Labels) -> float | None:
    """Area under the ROC curve; None without both classes."""
    return float(roc_auc_score(labels, scores)) if _has_two_classes(labels) else None


def image_aupr(scores: Scores, labels: Labels) -> float | None:
    """Average precision, anomalous images being the positives; None without both classes."""
    return float(average_precision_score(labels, scores)) if _has_two_classes(labels) else None


def image_f1max(scores: Scores, labels: Labels) -> float | None:
    """The F1 score at the best threshold for the same labels: an oracle. None without both classes."""
    if not _has_two_classes(labels):
        return None
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)).max())


def pg(scores: Scores, labels: Labels, false_negative_rate: float) -> float | None:
    """PGn, presorted good: the share of normal images that score below the nth percentile of the anomalous ones.

    An operator can release these images without inspection, at the price of missing n % of the anomalies. None without
    both classes.
    """
    if not _has_two_classes(labels):
        return None
    threshold = _quantile(scores[labels == 1], false_negative_rate)
    return float((scores[labels == 0] < threshold).mean())


def pb(scores: Scores, labels: Labels, false_positive_rate: float) -> float | None:
    """PBn, presorted bad: the share of anomalous images that score above the (100 - n)th percentile of the normal ones.

    An operator can reject these images without inspection, at the price of rejecting n % of the normal ones. None
    without both classes.
    """
    if not _has_two_classes(labels):
        return None
    threshold = _quantile(scores[labels == 0], 1 - false_positive_rate)
    return float((scores[labels == 1] > threshold).mean())


def pg2(scores: Scores, labels: Labels) -> float | None:
    """PG2: PGn at 2 % missed."""
    return pg(scores, labels, 0.02)


def pb2(scores: Scores, labels: Labels) -> float | None:
    """PB2: PBn at 2 % rejected."""
    return pb(scores, labels, 0.02)


def pg5(scores: Scores, labels: Labels) -> float | None:
    """PG5: PGn at 5 % missed."""
    return pg(scores, labels, 0.05)


def pb5(scores: Scores, labels: Labels) -> float | None:
    """PB5: PBn at 5 % rejected."""
    return pb(scores, labels, 0.05)


def image_auroc_by_defect(scores: Scores, labels: Labels, defects: NDArray[np.str_]) -> dict[str, float]:
    """AUROC of each defect type against all normals; types by name, sorted."""
    result = {}
    for defect in sorted(set(defects[labels == 1])):
        rows = (labels == 0) | (defects == defect)
        if (value := image_auroc(scores[rows], labels[rows])) is not None:
            result[str(defect)] = value
    return result


def _has_two_classes(labels: Labels) -> bool:
    return bool((labels == 0).any() and (labels == 1).any())


def _quantile(values: Scores, q: float) -> float:
    """Linearly interpolated quantile, in the precision of the scores, like torch.quantile."""
    return float(np.quantile(values.astype(np.float64), q))
