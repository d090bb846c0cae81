"""Features of a frozen backbone, computed once: epochs after the first read them from local disk.

Only for models that train on frozen features of unchanged images (no augmentation). The files
are memory-mapped, so their size is bounded by the disk and not by memory, and they are
removed with the training run's scratch folder.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

Features = dict[str, Tensor]


class FeatureCache:
    """Features by image path.

    A backbone sees pixels, not paths, so the training loop announces the paths of a batch before the
    backbone runs. Features of other images are computed and not cached.

    Args:
        folder: an existing folder on local disk for the files.
        images: every path that may be announced.
    """

    def __init__(self, folder: Path, images: Sequence[str]) -> None:
        self._folder = folder
        self._rows = {image: row for row, image in enumerate(dict.fromkeys(images))}
        self._filled = np.zeros(len(self._rows), dtype=bool)
        self._files: dict[str, np.ndarray] = {}
        self._announced: np.ndarray | None = None

    def announce(self, images: Sequence[str] | None) -> None:
        """The paths of the batch that comes next, in its order; None for images that must not be cached.

        Raises:
            KeyError: a path that is not in `images`.
        """
        self._announced = None if images is None else np.array([self._rows[image] for image in images])

    def features(self, images: Tensor, compute: Callable[[], Features]) -> Features:
        """Features (B, D, h, w) float32 by layer on the device of `images`, equal to what `compute` gives.

        Args:
            images: the announced batch (B, C, H, W).
            compute: gives the batch's features; called unless all of them are stored.
        """
        rows = self._announced
        if rows is None or len(rows) != len(images):
            return compute()
        if self._filled[rows].all():
            return {layer: torch.from_numpy(file[rows]).to(images.device) for layer, file in self._files.items()}
        features = compute()
        if not self._files:
            self._files = {layer: self._new_file(i, f) for i, (layer, f) in enumerate(features.items())}
        for layer, feature in features.items():
            self._files[layer][rows] = feature.float().cpu().numpy()
        self._filled[rows] = True
        return features

    def _new_file(self, i: int, feature: Tensor) -> np.ndarray:
        shape = (len(self._rows), *feature.shape[1:])
        return open_memmap(self._folder / f"features-{i}.npy", mode="w+", dtype=np.float32, shape=shape)
