"""Measuring all metrics of the catalogue on the predictions of one category."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viad.metrics import image, pixel, threshold
from viad.metrics.bootstrap import bootstrap_intervals
from viad.metrics.catalogue import Level, metrics_at
from viad.metrics.image import Labels, Scores, image_auroc_by_defect
from viad.metrics.pixel_counts import Stream, count_pixels
from viad.metrics.threshold import by_domain, false_negative_rate_by_defect, set_threshold

if TYPE_CHECKING:
    from viad.artifacts.labelled_predictions import LabelledPredictions

MODULES: Mapping[Level, ModuleType] = {"image": image, "threshold": threshold, "shift": threshold, "pixel": pixel}


def measure_category(
    predictions: "LabelledPredictions", *, rate: float, resamples: int, rng: np.random.Generator, shifted: bool
) -> dict[str, Any]:
    """All that metrics/<dataset>/<category>.json holds.

    Args:
        predictions: of the category.
        rate: the share of validation normals that may exceed the threshold.
        resamples: of the bootstrap.
        rng: of the bootstrap.
        shifted: whether the test images are.
    """
    test, val_normals = predictions.test, predictions.val_normals
    scores, labels, defects, domains = (test[c].to_numpy() for c in ("score", "label", "defect", "domain"))
    limit = set_threshold(val_normals, rate)
    pixels = measure_pixels(predictions.stream_masked_maps) if predictions.has_masks else {}
    return {
        "counts": {
            "test_normal": int((labels == 0).sum()),
            "test_anomalous": int((labels == 1).sum()),
            "val_normal": len(val_normals),
        },
        **measure_images(scores, labels, defects, resamples, rng),
        **measure_at_threshold(scores, labels, defects, val_normals, limit, shifted=shifted),
        "by_domain": by_domain(scores, labels, domains, limit),
        **pixels,
        **({"pixel_resolution": list(predictions.resolution)} if pixels else {}),
    }


def measure(level: Level, *inputs: Any) -> dict[str, float]:
    """The metrics of a level by key; undefined ones are left out.

    Args:
        level: of the catalogue.
        inputs: what the functions of this level take.
    """
    values = {metric.key: function_of(level, metric.key)(*inputs) for metric in metrics_at(level)}
    return {key: value for key, value in values.items() if value is not None}


def function_of(level: Level, key: str) -> Callable[..., float | None]:
    """The function that computes a metric."""
    function: Callable[..., float | None] = getattr(MODULES[level], key)
    return function


def measure_images(
    scores: Scores, labels: Labels, defects: NDArray[np.str_], resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The threshold-free metrics of images, with their intervals and by defect type.

    Args:
        scores: (N,), higher is more anomalous.
        labels: (N,), 0 normal and 1 anomalous.
        defects: (N,), the type of each anomaly.
        resamples: of the bootstrap.
        rng: of the bootstrap.
    """
    return {
        **measure("image", scores, labels),
        "intervals": {key: list(ends) for key, ends in bootstrap_intervals(scores, labels, resamples, rng).items()},
        "image_auroc_by_defect": image_auroc_by_defect(scores, labels, defects),
    }


def measure_at_threshold(
    scores: Scores, labels: Labels, defects: NDArray[np.str_], val_normals: Scores, limit: float | None, *,
    shifted: bool,
) -> dict[str, Any]:  # fmt: skip
    """The threshold and the metrics at it; nothing without one.

    Args:
        scores: (N,) of the test images.
        labels: (N,)
        defects: (N,)
        val_normals: scores of the validation normals, which no shift changes.
        limit: the threshold; None where there are no validation normals.
        shifted: whether the test images are.
    """
    if limit is None:
        return {}
    result: dict[str, Any] = {"threshold": limit, **measure("threshold", scores, labels, limit)}
    if (labels == 1).any():
        result["false_negative_rate_by_defect"] = false_negative_rate_by_defect(scores, labels, defects, limit)
    if shifted and (labels == 0).any():
        result |= measure("shift", scores[labels == 0], val_normals, limit)
    return result


def measure_pixels(stream: Stream) -> dict[str, float]:
    """The pixel-level metrics; none where no pixel is anomalous, or none normal.

    Args:
        stream: called several times; each time gives the same maps and masks again, in pieces.
            Images are normal where their mask is empty.
    """
    counts = count_pixels(stream)
    return {} if counts is None else measure("pixel", counts)
