"""Rows of samples.csv as the batches that anomalib's models and Engine take."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anomalib.data.dataclasses import ImageBatch, ImageItem
from torch.utils.data import DataLoader, Dataset, Sampler

from viad.artifacts.images import read_image, read_mask
from viad.artifacts.samples import ANOMALOUS
from viad.models.components.balance import Balance
from viad.seeds import generator


class SampleDataset(Dataset[ImageItem]):
    """Images of a table; with `label` and `mask` only where the table has those columns.

    An item's image is (3, H, W) float32 in [0, 1], not yet normalised; its label is
    `train_label`.
    """

    def __init__(self, samples: pd.DataFrame) -> None:
        self.images = samples["image"].tolist()
        self.labels = samples["train_label"].tolist() if "train_label" in samples else None
        self.masks = samples["mask"].tolist() if "mask" in samples else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ImageItem:
        image = load_tensor(Path(self.images[index]))
        label = None if self.labels is None else torch.tensor(self.labels[index])
        mask = None
        if self.masks is not None and self.masks[index]:
            mask = torch.from_numpy(np.array(read_mask(Path(self.masks[index]))))
        return ImageItem(image=image, gt_label=label, gt_mask=mask, image_path=self.images[index])


def load_tensor(path: Path) -> torch.Tensor:
    """An image file as (3, H, W) float32 in [0, 1]; one grey channel is repeated three times (anomalib needs three)."""
    pixels = torch.from_numpy(np.array(read_image(path)))
    pixels = pixels.expand(3, -1, -1) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return pixels.float().div_(255)


def _collate(items: list[ImageItem]) -> ImageBatch:
    images = torch.stack([item.image for item in items])
    labels = None if items[0].gt_label is None else torch.stack([item.gt_label for item in items])
    masks = None
    if any(item.gt_mask is not None for item in items):
        blank = torch.zeros(images.shape[-2:], dtype=torch.bool)
        masks = torch.stack([blank if item.gt_mask is None else item.gt_mask for item in items])
    return ImageBatch(image=images, gt_label=labels, gt_mask=masks, image_path=[item.image_path for item in items])


class EpochOrder(Sampler[int]):
    """Row numbers of a training epoch, in an order that depends only on the seed and the epoch's number.

    So an epoch is the same whether or not training was interrupted before it.

    Args:
        labels: the `train_label` of each row.
        seed: of the order.
        batch_size: of the batches that `balance` counts in.
        balance: None takes every row once.
    """

    def __init__(self, labels: Sequence[int], seed: int, batch_size: int, balance: Balance | None = None) -> None:
        self.labels, self.seed, self.batch_size, self.balance = np.asarray(labels), seed, batch_size, balance
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The number of the epoch to come; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels) if self.balance is None else self.balance.steps * self.batch_size

    def __iter__(self) -> Iterator[int]:
        rng = generator(self.seed, "epoch", self.epoch)
        if self.balance is None:
            yield from rng.permutation(len(self.labels)).tolist()
            return
        anomalous = _endless(np.flatnonzero(self.labels == ANOMALOUS), rng)
        normal = _endless(np.flatnonzero(self.labels != ANOMALOUS), rng)
        for _ in range(self.balance.steps):
            yield from (next(normal) for _ in range(self.batch_size - self.balance.anomalous))
            yield from (next(anomalous) for _ in range(self.balance.anomalous))


def _endless(rows: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Rows without replacement, shuffled again after each pass."""
    while True:
        yield from rng.permutation(rows).tolist()


def load_batches(
    samples: pd.DataFrame, batch_size: int, *, order: EpochOrder | None = None, on_gpu: bool = False
) -> DataLoader[ImageItem]:
    """A loader over the rows, as they stand or in the order of each epoch."""
    return DataLoader(
        SampleDataset(samples),
        batch_size=batch_size,
        sampler=order,
        generator=torch.Generator(),  # else a loader draws from the global one whenever it starts
        collate_fn=_collate,
        # On a CPU the cores are busy with the network; decoding a small PNG takes a tenth of its time.
        num_workers=4 if on_gpu else 0,
        # Python 3.14 no longer forks by default: each epoch would start with four imports of torch and anomalib.
        # The workers only decode images and never touch the GPU.
        multiprocessing_context="fork" if on_gpu else None,
        pin_memory=on_gpu,
    )
