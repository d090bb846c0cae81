"""The cost of a prediction: latency, memory, parameters.

Latency is the time from a decoded image in memory (float32 in [0, 1]) to its score and its map at the image's
resolution, at batch 1. It includes normalisation, transfer to the device, upsampling and smoothing, but not reading and
decoding files. It is measured after warm-up, with the device synchronised.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib.models import AnomalibModule

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.inference.scoring import score_batch
from viad.training.loading import load_tensor

WARM_UP_IMAGES, TIMED_IMAGES = 3, 30


def measure_latency(model: AnomalibModule, recipe: Recipe, images: list[str], device: torch.device) -> dict[str, float]:
    """Measure median and 95th percentile latency at batch 1, in milliseconds, over at most 30 images."""
    tensors = [load_tensor(Path(image))[None] for image in images[: WARM_UP_IMAGES + TIMED_IMAGES]]
    times = []
    for tensor in tensors[:WARM_UP_IMAGES] + tensors:
        start = time.perf_counter()
        _, maps = score_batch(model, tensor, device)
        resize_maps(maps, recipe)
        times.append(1000 * (time.perf_counter() - start))
    measured = np.array(times[WARM_UP_IMAGES:])
    return {"latency_p50_ms": float(np.median(measured)), "latency_p95_ms": float(np.quantile(measured, 0.95))}


def measure_footprint(model: AnomalibModule, folder: Path, device: torch.device) -> dict[str, Any]:
    """Measure parameters (with the backbone), megabytes on disk (without it) and peak memory of this process or GPU."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "model_megabytes": round(sum(f.stat().st_size for f in folder.iterdir()) / 1e6, 3),
        "peak_memory_megabytes": round(peak / 1e6, 1),
    }
