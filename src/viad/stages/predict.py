"""Stage predict: image scores and anomaly maps of val and test rows. It never reads labels."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.anomaly_maps import Recipe, write_recipe
from viad.artifacts.atomic import replacing
from viad.artifacts.provenance import describe_environment, write_json
from viad.artifacts.samples import read_samples
from viad.artifacts.scores import write_scores
from viad.config.params import read_params
from viad.inference.cost import measure_footprint, measure_latency
from viad.inference.scoring import find_map_resizing, score_images
from viad.models.external import External
from viad.training.build import choose_device, load_model


def main(category: str) -> None:
    """Score with models/<dataset>/<category>; write predictions/ and, separately, the cost."""
    params = read_params("dataset.name", "accelerator", "precision")
    dataset = params["dataset.name"]
    device = choose_device(params["accelerator"])
    model, spec = load_model(Path("models") / dataset / category, params["precision"], device)
    rows = _read_rows(Path("data") / "contaminated" / dataset / category, Path("data") / "shifted" / dataset / category)

    recipe = Recipe(spec.image_size, spec.image_size, *find_map_resizing(model))
    start = time.perf_counter()
    with replacing(Path("predictions") / dataset / category) as out:
        out.mkdir()
        if isinstance(model, External):
            scores = model.predictions(category, rows, recipe, out / "maps.npy")
        else:
            scores = np.concatenate(list(score_images(model, rows, device, out / "maps.npy", category)))
        seconds = time.perf_counter() - start
        write_scores(rows["sample"], scores, out)
        write_recipe(recipe, out)
    cost: dict[str, Any] = {}
    if not isinstance(model, External):  # predictions from elsewhere have no cost here
        cost |= {"images_per_second": round(len(rows) / seconds, 2)}
        cost |= measure_latency(model, recipe, rows["image"].tolist(), device)
        cost |= measure_footprint(model, Path("models") / dataset / category, device)
    write_json({**cost, **describe_environment(device.type)}, Path("metrics") / dataset / "cost" / f"{category}.json")


def _read_rows(contaminated: Path, shifted: Path) -> pd.DataFrame:
    columns = ["sample", "image", "split"]
    samples = read_samples(contaminated, columns=columns)
    return pd.concat([samples[samples["split"] == "val"], read_samples(shifted, columns=columns)], ignore_index=True)[
        ["sample", "image"]
    ]
