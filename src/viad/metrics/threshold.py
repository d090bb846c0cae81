"""Metrics at a threshold, which is set on validation normals and measured on the test set.

The functions that the catalogue lists under `threshold` take (scores, labels, limit), those under `shift` (scores of
shifted test normals, scores of unshifted validation normals, limit).
"""

import numpy as np
from numpy.typing import NDArray

from viad.metrics.image import Labels, Scores, image_auroc


def set_threshold(val_normals: Scores, rate: float) -> float | None:
    """Set the threshold: the lowest validation score that at most the share `rate` of the validation normals exceeds.

    None without validation normals: a threshold is never fitted on test images.
    """
    if len(val_normals) == 0:
        return None
    return float(np.quantile(val_normals, 1 - rate, method="inverted_cdf"))


def false_positive_rate(scores: Scores, labels: Labels, limit: float) -> float | None:
    """The share of normals that score above `limit` (false alarms); None without normals."""
    return float((scores > limit)[labels == 0].mean()) if (labels == 0).any() else None


def false_negative_rate(scores: Scores, labels: Labels, limit: float) -> float | None:
    """The share of anomalies that do not score above `limit` (misses); None without anomalies."""
    return float((~(scores > limit)[labels == 1]).mean()) if (labels == 1).any() else None


def false_negative_rate_by_defect(
    scores: Scores, labels: Labels, defects: NDArray[np.str_], limit: float
) -> dict[str, float]:
    """The false negative rate of each defect type; types by name, sorted."""
    missed = ~(scores > limit)
    return {
        str(defect): float(missed[(labels == 1) & (defects == defect)].mean())
        for defect in sorted(set(defects[labels == 1]))
    }


def measure_by_domain(
    scores: Scores, labels: Labels, domains: NDArray[np.str_], limit: float | None
) -> dict[str, dict[str, float]]:
    """Measure AUROC and false positive rate of each domain, where there are several."""
    result: dict[str, dict[str, float]] = {}
    for domain in sorted(set(domains)) if len(set(domains)) > 1 else []:
        rows = domains == domain
        values = {"image_auroc": image_auroc(scores[rows], labels[rows])}
        if limit is not None:
            values["false_positive_rate"] = false_positive_rate(scores[rows], labels[rows], limit)
        result[str(domain)] = {name: value for name, value in values.items() if value is not None}
    return result


def shifted_called_anomalous(shifted_normals: Scores, unshifted_normals: Scores, limit: float) -> float | None:
    """The share of shifted test normals that score above the threshold; None without test normals."""
    del unshifted_normals
    return float((shifted_normals > limit).mean()) if len(shifted_normals) else None


def shifted_vs_unshifted_auroc(shifted_normals: Scores, unshifted_normals: Scores, limit: float) -> float | None:
    """AUROC of shifted test normals against unshifted validation normals, other images; None if either is missing.

    Around 0.5 the model does not see the shift.
    """
    del limit
    scores = np.concatenate([unshifted_normals, shifted_normals])
    return image_auroc(scores, np.repeat([0, 1], [len(unshifted_normals), len(shifted_normals)]))
