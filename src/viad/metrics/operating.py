"""What an operator gets: a threshold set on validation normals, and how it fares on the test set."""

import numpy as np
from numpy.typing import NDArray

from viad.metrics.image import Labels, Scores, auroc


def threshold(val_normals: Scores, false_positive_rate: float) -> float | None:
    """The lowest validation score that at most this share of validation normals exceeds.

    None without validation normals: a threshold is never fitted on test images.
    """
    if len(val_normals) == 0:
        return None
    return float(np.quantile(val_normals, 1 - false_positive_rate, method="inverted_cdf"))


def rates(scores: Scores, labels: Labels, defects: NDArray[np.str_], limit: float) -> dict[str, object]:
    """False-alarm and miss rate of calling scores above `limit` anomalous; misses also by defect type."""
    called = scores > limit
    result: dict[str, object] = {"threshold": limit}
    if (labels == 0).any():
        result["false_positive_rate"] = float(called[labels == 0].mean())
    if (labels == 1).any():
        result["false_negative_rate"] = float((~called[labels == 1]).mean())
        result["false_negative_rate_by_defect"] = {
            str(defect): float((~called[(labels == 1) & (defects == defect)]).mean())
            for defect in sorted(set(defects[labels == 1]))
        }
    return result


def by_domain(
    scores: Scores, labels: Labels, domains: NDArray[np.str_], limit: float | None
) -> dict[str, dict[str, float]]:
    """AUROC and false-alarm rate of each source condition by itself, where there are several."""
    result: dict[str, dict[str, float]] = {}
    for domain in sorted(set(domains)) if len(set(domains)) > 1 else []:
        chosen = domains == domain
        found = {"image_auroc": auroc(scores[chosen], labels[chosen])}
        normals = scores[chosen & (labels == 0)]
        if limit is not None and len(normals):
            found["false_positive_rate"] = float((normals > limit).mean())
        result[str(domain)] = {name: value for name, value in found.items() if value is not None}
    return result


def shift_effect(shifted_normals: Scores, unshifted_normals: Scores, limit: float) -> dict[str, float]:
    """How far a shift alone moves normal images towards the anomalous.

    shifted_called_anomalous: share of shifted test normals above the threshold.
    shifted_vs_unshifted_auroc: of shifted test normals against unshifted validation
    normals, other images; around 0.5 the model does not see the shift.
    """
    scores = np.concatenate([unshifted_normals, shifted_normals])
    labels = np.repeat([0, 1], [len(unshifted_normals), len(shifted_normals)])
    result = {"shifted_called_anomalous": float((shifted_normals > limit).mean())}
    if (value := auroc(scores, labels)) is not None:
        result["shifted_vs_unshifted_auroc"] = value
    return result
