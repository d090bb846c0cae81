"""Stage predict: image scores and anomaly maps of val and test rows. It reads no label."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anomalib.models import AnomalibModule
from numpy.lib.format import open_memmap
from tqdm import tqdm

from viad.atomic import replacing
from viad.cost import footprint, measure_latency, score_batch
from viad.datamodule import batches
from viad.errors import DataError
from viad.external import External
from viad.learning import device_for, load_model
from viad.maps import Recipe, write_recipe
from viad.params import read_params
from viad.predictions import write_scores
from viad.records import environment, write_json
from viad.samples import read_samples

BATCH_SIZE = 16


def main(category: str) -> None:
    """Score with models/<dataset>/<category>; write predictions/ and, apart from them, the cost."""
    params = read_params("dataset.name", "accelerator", "precision")
    dataset = params["dataset.name"]
    device = device_for(params["accelerator"])
    model, spec = load_model(Path("models") / dataset / category, params["precision"], device)
    rows = _rows(Path("data") / "contaminated" / dataset / category, Path("data") / "shifted" / dataset / category)

    recipe = Recipe(spec.image_size, spec.image_size, *_map_recipe(model))
    start = time.perf_counter()
    with replacing(Path("predictions") / dataset / category) as out:
        out.mkdir()
        if isinstance(model, External):
            scores = model.predictions(category, rows, recipe, out / "maps.npy")
        else:
            scores = np.concatenate(list(_score(model, rows, device, out / "maps.npy", category)))
        seconds = time.perf_counter() - start
        write_scores(rows["sample"], scores, out)
        write_recipe(recipe, out)
    cost: dict[str, Any] = {}
    if not isinstance(model, External):  # nothing was computed here, so nothing has a cost
        cost |= {"images_per_second": round(len(rows) / seconds, 2)}
        cost |= measure_latency(model, recipe, rows["image"].tolist(), device)
        cost |= footprint(model, Path("models") / dataset / category, device)
    write_json({**cost, **environment(device.type)}, Path("metrics") / dataset / "cost" / f"{category}.json")


def _rows(contaminated: Path, shifted: Path) -> pd.DataFrame:
    columns = ["sample", "image", "split"]
    told = read_samples(contaminated, columns=columns)
    return pd.concat([told[told["split"] == "val"], read_samples(shifted, columns=columns)], ignore_index=True)[
        ["sample", "image"]
    ]


def _score(
    model: AnomalibModule, rows: pd.DataFrame, device: torch.device, maps_file: Path, category: str
) -> Iterator[np.ndarray]:
    """Yield the scores batch by batch, and write the maps to `maps_file` as they come."""
    stored = None
    loader = batches(rows, BATCH_SIZE, on_gpu=device.type == "cuda")
    first = 0
    for batch in tqdm(loader, desc=f"predict {category}", unit="batch", mininterval=1):
        scores, maps = score_batch(model, batch.image, device)
        if not (np.isfinite(scores).all() and np.isfinite(maps).all()):
            raise DataError(
                f"the model gives scores that are not finite, first among {batch.image_path[0]} and on. "
                "Train again with a lower learning rate, or report the model."
            )
        if stored is None:
            stored = open_memmap(maps_file, mode="w+", dtype=np.float32, shape=(len(rows), *maps.shape[1:]))
        stored[first : first + len(maps)] = maps
        first += len(maps)
        yield scores
    if stored is not None:
        stored.flush()


def _map_recipe(model: AnomalibModule) -> tuple[str, float]:
    """How the model's class says its maps are brought to the image; full-resolution maps need nothing."""
    return getattr(model, "MAP_INTERPOLATION", "bilinear"), getattr(model, "MAP_SIGMA", 0.0)
