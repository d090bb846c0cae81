"""PatchCore here against anomalib's own: fit and predict, same images, backbone and coreset size, one run.

    make bench                                  # a coreset of 0.2 %, some minutes
    python bench/patchcore.py --ratio 0.01      # anomalib's loop alone then takes a quarter of an hour

Needs the default run's data (`dvc repro`). Times are those of this machine now: read the ratios.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
import torch
from anomalib.models.components import KCenterGreedy
from anomalib.models.image import Patchcore as AnomalibPatchcore
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import Normalize

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.artifacts.samples import read_samples
from viad.backbones.frozen import FrozenBackbone
from viad.errors import DataError
from viad.metrics.image import image_auroc
from viad.models.components.coreset import coreset_size, greedy_coreset
from viad.models.patchcore import Patchcore
from viad.training.loading import load_batches

BACKBONE, LAYERS, HALF = "viad_efficientnet_lite0", ["blocks.2", "blocks.4"], [0.5, 0.5, 0.5]


def main() -> None:
    """Time both, print a table, and compare picks and AUROC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/resized/elpv/mono"), help="a resized category")
    parser.add_argument("--ratio", type=float, default=0.002, help="share of the patches in the coreset")
    parser.add_argument("--ours-also", type=float, default=0.1, help="a ratio to time here alone; 0 for none")
    arguments = parser.parse_args()
    try:
        samples = read_samples(arguments.data)
    except DataError as error:
        sys.exit(f"error: {error}")
    train, test = samples[samples["split"] == "train"], samples[samples["split"] == "test"]
    options: dict[str, Any] = {"coreset_sampling_ratio": arguments.ratio, "num_neighbors": 9}
    options |= {"post_processor": False, "evaluator": False, "visualizer": False}

    print(f"{len(train)} training and {len(test)} test images, {torch.get_num_threads()} threads", flush=True)
    theirs = AnomalibPatchcore(BACKBONE, LAYERS, pre_processor=PreProcessor(Normalize(HALF, HALF)), **options)
    sampler = _watch_sampler()
    reference = _run(theirs, train, test, smooth=False)
    torch.set_flush_denormal(True)
    ours = Patchcore(BACKBONE, LAYERS, pre_processor=PreProcessor(Normalize(HALF, HALF)), **options)
    ours.model.feature_extractor = FrozenBackbone(ours.model.feature_extractor)
    result = _run(ours, train, test, smooth=True)

    start = time.perf_counter()
    picks = greedy_coreset(sampler["features"], len(sampler["picks"]), sampler["picks"][0])
    result["coreset"], reference["coreset"] = time.perf_counter() - start, sampler["seconds"]
    print(f"\n| coreset {arguments.ratio:.1%} ({len(picks)} picks) | anomalib | here | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for name in ("fit", "coreset", "predict"):
        print(
            f"| {name}, seconds | {reference[name]:.1f} | {result[name]:.1f} | {reference[name] / result[name]:.1f} |"
        )
    print(f"| image AUROC | {reference['auroc']:.4f} | {result['auroc']:.4f} | |")
    print(f"\npicks on anomalib's own features equal, in order: {picks.tolist() == sampler['picks']}")
    if arguments.ours_also:
        count = coreset_size(len(sampler["features"]), arguments.ours_also, None)
        start = time.perf_counter()
        greedy_coreset(sampler["features"], count, 0)
        print(f"a coreset of {arguments.ours_also:.0%}, {count} picks, here: {time.perf_counter() - start:.0f} s")


def _run(model: Any, train: Any, test: Any, *, smooth: bool) -> dict[str, float]:
    torch.manual_seed(0)
    model.train()
    start = time.perf_counter()
    for batch in load_batches(train, 16):
        model.model(model.pre_processor(batch.image))
    model.fit()
    fitted = time.perf_counter()
    model.eval()
    scores = np.concatenate(list(_scores(model, test, smooth=smooth)))
    done = time.perf_counter()
    value = image_auroc(scores, test["label"].to_numpy())
    return {"fit": fitted - start, "predict": done - fitted, "auroc": float(value or 0)}


@torch.inference_mode()
def _scores(model: Any, test: Any, *, smooth: bool) -> Iterator[np.ndarray]:
    """Scores, and maps at the images' resolution as anomalib's model gives them."""
    for batch in load_batches(test, 16):
        output = model(batch.image)
        if smooth:
            resize_maps(
                output.anomaly_map[:, 0].numpy(),
                Recipe(*batch.image.shape[-2:], model.MAP_INTERPOLATION, model.MAP_SIGMA),
            )
        yield output.pred_score.flatten().numpy()


def _watch_sampler() -> dict[str, Any]:
    """Have anomalib's sampler leave its picks, features and time behind."""
    seen: dict[str, Any] = {}
    select = KCenterGreedy.select_coreset_idxs

    def watched(self: KCenterGreedy) -> list[int]:
        start = time.perf_counter()
        picks = select(self)
        seen.update(picks=picks, features=self.features, seconds=time.perf_counter() - start)
        return picks

    KCenterGreedy.select_coreset_idxs = watched
    return seen


if __name__ == "__main__":
    main()
