"""Image scores and anomaly maps of a trained model, batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anomalib.models import AnomalibModule
from numpy.lib.format import open_memmap
from tqdm import tqdm

from viad.errors import DataError
from viad.training.loading import load_batches

BATCH_SIZE = 16


def score_images(
    model: AnomalibModule, rows: pd.DataFrame, device: torch.device, maps_file: Path, category: str
) -> Iterator[np.ndarray]:
    """Yield the scores batch by batch, and write the maps to `maps_file`."""
    stored = None
    loader = load_batches(rows, BATCH_SIZE, on_gpu=device.type == "cuda")
    first = 0
    for batch in tqdm(loader, desc=f"predict {category}", unit="batch", mininterval=1):
        scores, maps = score_batch(model, batch.image, device)
        if not (np.isfinite(scores).all() and np.isfinite(maps).all()):
            raise DataError(
                f"the scores of the batch from {batch.image_path[0]} on are not finite. "
                "Train again with a lower learning rate, or report a bug in the model."
            )
        if stored is None:
            stored = open_memmap(maps_file, mode="w+", dtype=np.float32, shape=(len(rows), *maps.shape[1:]))
        stored[first : first + len(maps)] = maps
        first += len(maps)
        yield scores
    if stored is not None:
        stored.flush()


def find_map_resizing(model: AnomalibModule) -> tuple[str, float]:
    """Find the interpolation and the smoothing with which a model's maps are resized to the image."""
    return getattr(model, "MAP_INTERPOLATION", "bilinear"), getattr(model, "MAP_SIGMA", 0.0)


@torch.inference_mode()
def score_batch(model: AnomalibModule, images: torch.Tensor, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Compute scores (B,) and maps (B, h, w) of images (B, 3, H, W) in [0, 1], as float32 in main memory."""
    output = model(images.to(device, non_blocking=True))
    scores = output.pred_score.float().flatten().cpu().numpy()
    maps = output.anomaly_map.float().cpu().numpy()
    return scores, maps.reshape(len(scores), *maps.shape[-2:])
