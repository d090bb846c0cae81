"""Measuring all metrics of the catalogue on the predictions of one category."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viad.metrics import image, pixel, threshold
from viad.metrics.bootstrap import compute_bootstrap_intervals
from viad.metrics.catalogue import Level, metrics_at
from viad.metrics.image import Labels, Scores, image_auroc_by_defect
from viad.metrics.pixel_counts import Stream, count_pixels
from viad.metrics.threshold import false_negative_rate_by_defect, measure_by_domain, set_threshold

if TYPE_CHECKING:
    from viad.artifacts.labelled_predictions import LabelledPredictions

FUNCTION_MODULES: Mapping[Level, ModuleType] = {
    "image": image, "threshold": threshold, "shift": threshold, "pixel": pixel,
}  # fmt: skip


def measure_category(
    predictions: "LabelledPredictions", *, rate: float, resamples: int, rng: np.random.Generator, shifted: bool
) -> dict[str, Any]:
    """Measure everything in metrics/<dataset>/<category>.json.

    Args:
        predictions: of the category, with labels and masks.
        rate: the share of validation normals that may exceed the threshold.
        resamples: the number of bootstrap resamples.
        rng: the generator of the bootstrap.
        shifted: whether the test images are shifted.
    """
    test, val_normals = predictions.test, predictions.val_normals
    scores, labels, defects, domains = (test[c].to_numpy() for c in ("score", "label", "defect", "domain"))
    limit = set_threshold(val_normals, rate)
    pixels = measure_pixel_level(predictions.stream_masked_maps) if predictions.has_masks else {}
    return {
        "counts": {
            "test_normal": int((labels == 0).sum()),
            "test_anomalous": int((labels == 1).sum()),
            "val_normal": len(val_normals),
        },
        **measure_image_level(scores, labels, defects, resamples, rng),
        **measure_at_threshold(scores, labels, defects, val_normals, limit, shifted=shifted),
        "by_domain": measure_by_domain(scores, labels, domains, limit),
        **pixels,
        **({"pixel_resolution": list(predictions.resolution)} if pixels else {}),
    }


def measure_level(level: Level, *inputs: Any) -> dict[str, float]:
    """Measure the metrics of a level, by key; undefined ones are left out.

    Args:
        level: of the catalogue.
        inputs: the arguments of the functions of this level.
    """
    values = {metric.key: find_function(level, metric.key)(*inputs) for metric in metrics_at(level)}
    return {key: value for key, value in values.items() if value is not None}


def find_function(level: Level, key: str) -> Callable[..., float | None]:
    """Find the function that computes a metric."""
    function: Callable[..., float | None] = getattr(FUNCTION_MODULES[level], key)
    return function


def measure_image_level(
    scores: Scores, labels: Labels, defects: NDArray[np.str_], resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure the image-level metrics without a threshold, with their intervals and by defect type.

    Args:
        scores: (N,), higher is more anomalous.
        labels: (N,), 0 normal and 1 anomalous.
        defects: (N,), the type of each anomaly.
        resamples: the number of bootstrap resamples.
        rng: the generator of the bootstrap.
    """
    return {
        **measure_level("image", scores, labels),
        "intervals": {
            key: list(ends) for key, ends in compute_bootstrap_intervals(scores, labels, resamples, rng).items()
        },
        "image_auroc_by_defect": image_auroc_by_defect(scores, labels, defects),
    }


def measure_at_threshold(
    scores: Scores, labels: Labels, defects: NDArray[np.str_], val_normals: Scores, limit: float | None, *,
    shifted: bool,
) -> dict[str, Any]:  # fmt: skip
    """Measure the metrics at a threshold; nothing where there is no threshold.

    Args:
        scores: (N,) of the test images.
        labels: (N,), 0 normal and 1 anomalous.
        defects: (N,), the type of each anomaly.
        val_normals: scores of the validation normals, which no shift changes.
        limit: the threshold; None where there are no validation normals.
        shifted: whether the test images are shifted.
    """
    if limit is None:
        return {}
    result: dict[str, Any] = {"threshold": limit, **measure_level("threshold", scores, labels, limit)}
    if (labels == 1).any():
        result["false_negative_rate_by_defect"] = false_negative_rate_by_defect(scores, labels, defects, limit)
    if shifted and (labels == 0).any():
        result |= measure_level("shift", scores[labels == 0], val_normals, limit)
    return result


def measure_pixel_level(stream: Stream) -> dict[str, float]:
    """Measure the pixel-level metrics; nothing without both anomalous and normal pixels.

    Args:
        stream: yields maps and masks in batches, the same at every call; it is called several times. Images with an
            empty mask are normal.
    """
    counts = count_pixels(stream)
    return {} if counts is None else measure_level("pixel", counts)
