"""Stage evaluate: metrics, curves and heat maps of one category. It knows nothing of the model."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.anomaly_maps import StoredMaps
from viad.artifacts.atomic import replacing
from viad.artifacts.images import read_mask
from viad.artifacts.provenance import write_json
from viad.artifacts.samples import ANOMALOUS, NORMAL, read_samples
from viad.artifacts.scores import read_scores
from viad.config.numbers import check_share, check_whole_number
from viad.config.params import read_params
from viad.errors import DataError
from viad.metrics.bootstrap import intervals
from viad.metrics.image import auroc_by_defect, image_metrics
from viad.metrics.operating import by_domain, rates, shift_effect, threshold
from viad.metrics.pixel import Batch, pixel_metrics
from viad.plots.curves import write_curves
from viad.plots.heatmaps import draw_gallery
from viad.seeds import generator

SCORED = ["sample", "image", "mask", "label", "defect", "domain", "score", "row"]  # `row` of maps.npy


def main(category: str) -> None:
    """Measure predictions/<dataset>/<category> against the labels and masks."""
    params = read_params("dataset.name", "dataset.attribution", "threshold", "bootstrap", "shift.name", "seed")
    dataset, seed = params["dataset.name"], check_whole_number("seed", params["seed"])
    predictions = Path("predictions") / dataset / category
    told = read_samples(Path("data/contaminated") / dataset / category)
    val, test = told[told["split"] == "val"], read_samples(Path("data/shifted") / dataset / category)
    scored = read_scores(predictions, pd.concat([val["sample"], test["sample"]]))
    maps = StoredMaps(predictions, len(scored))

    val_normals = scored["score"].to_numpy()[: len(val)][val["label"].to_numpy() == NORMAL]
    test = test.assign(score=scored["score"].to_numpy()[len(val) :], row=scored["row"].to_numpy()[len(val) :])
    rate = check_share("threshold.false_positive_rate", params["threshold"]["false_positive_rate"])
    limit = threshold(val_normals, rate)
    resamples = check_whole_number("bootstrap.resamples", params["bootstrap"]["resamples"], low=1)
    metrics = {
        "counts": _counts(test, val_normals),
        **_image_level(test, resamples, generator(seed, "bootstrap", category)),
        **_operating(test, val_normals, limit, shifted=params["shift.name"] != "none"),
        "by_domain": by_domain(test["score"].to_numpy(), test["label"].to_numpy(), test["domain"].to_numpy(), limit),
        **_pixel_level(test, maps),
    }
    with replacing(Path("metrics") / dataset / "scores" / f"{category}.csv") as out:
        test[SCORED].to_csv(out, index=False, float_format="%.9g", lineterminator="\n")
    write_json(metrics, Path("metrics") / dataset / f"{category}.json")
    with replacing(Path("plots") / dataset / category) as out:
        out.mkdir()
        write_curves(test, category, out)
        draw_gallery(test, maps, limit, params["dataset.attribution"], category, out / "heatmaps.jpg")


def _counts(test: pd.DataFrame, val_normals: np.ndarray) -> dict[str, int]:
    labels = test["label"]
    return {
        "test_normal": int((labels == NORMAL).sum()),
        "test_anomalous": int((labels == ANOMALOUS).sum()),
        "val_normal": len(val_normals),
    }


def _image_level(test: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    scores, labels, defects = (test[c].to_numpy() for c in ("score", "label", "defect"))
    return {
        **{name: value for name, value in image_metrics(scores, labels).items() if value is not None},
        "intervals": {name: list(pair) for name, pair in intervals(scores, labels, resamples, rng).items()},
        "image_auroc_by_defect": auroc_by_defect(scores, labels, defects),
    }


def _operating(test: pd.DataFrame, val_normals: np.ndarray, limit: float | None, *, shifted: bool) -> dict[str, Any]:
    if limit is None:
        return {}
    scores, labels, defects = (test[c].to_numpy() for c in ("score", "label", "defect"))
    result = rates(scores, labels, defects, limit)
    if shifted and (labels == NORMAL).any():
        result |= shift_effect(scores[labels == NORMAL], val_normals, limit)
    return result


def _pixel_level(test: pd.DataFrame, maps: StoredMaps) -> dict[str, Any]:
    """Pixel metrics over the test images whose defects are known: normal ones, and anomalous ones with a mask."""
    if (test["mask"] == "").all():
        return {}
    test = test[(test["label"] != ANOMALOUS) | (test["mask"] != "")]
    height, width = maps.recipe.height, maps.recipe.width
    masks = dict(zip(test["row"], test["mask"], strict=True))

    def stream() -> Iterable[Batch]:
        for rows, full in maps.stream(test["row"].to_numpy()):
            yield full, np.stack(list(_masks([masks[row] for row in rows], height, width)))

    found = {name: value for name, value in pixel_metrics(stream).items() if value is not None}
    return {**found, "pixel_resolution": [height, width]} if found else {}


def _masks(paths: list[str], height: int, width: int) -> Iterator[np.ndarray]:
    for path in paths:
        mask = read_mask(Path(path)) if path else np.zeros((height, width), bool)
        if mask.shape != (height, width):
            raise DataError(
                f"{path}: the mask is {mask.shape[1]}x{mask.shape[0]}, the maps {width}x{height}. Predict again."
            )
        yield mask
