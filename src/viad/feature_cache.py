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


class FeatureCache:
    """Features by image path.

    Args:
        folder: an existing folder on local disk for the files.
        images: every path that may be asked for.
    """

    def __init__(self, folder: Path, images: Sequence[str]) -> None:
        self._folder = folder
        self._rows = {image: row for row, image in enumerate(dict.fromkeys(images))}
        self._filled = np.zeros(len(self._rows), dtype=bool)
        self._files: list[np.ndarray] = []

    def features(self, images: Sequence[str], compute: Callable[[], list[Tensor]]) -> list[Tensor]:
        """The features of a batch of images, each (B, D, h, w) float32, equal to what `compute` gives.

        Args:
            images: the batch's paths, in its order.
            compute: gives the batch's features; called unless all of them are stored.

        Raises:
            KeyError: a path that was not announced.
        """
        rows = np.array([self._rows[image] for image in images])
        if self._filled[rows].all():
            return [torch.from_numpy(file[rows]) for file in self._files]
        features = compute()
        if not self._files:
            self._files = [self._new_file(i, feature) for i, feature in enumerate(features)]
        for file, feature in zip(self._files, features, strict=True):
            file[rows] = feature.float().cpu().numpy()
        self._filled[rows] = True
        return features

    def _new_file(self, i: int, feature: Tensor) -> np.ndarray:
        shape = (len(self._rows), *feature.shape[1:])
        return open_memmap(self._folder / f"features-{i}.npy", mode="w+", dtype=np.float32, shape=shape)
