"""A training loader over tensors, as models see it through their trainer."""

import torch
from anomalib.data.dataclasses import ImageItem
from torch.utils.data import DataLoader, Dataset

from viad.training.loading import _collate


class Rows(Dataset):
    """Images (N, 3, H, W) with what training is told of each, under the names 0, 1, ..."""

    def __init__(self, pixels, labels=None):
        self.pixels = pixels
        self.labels = [0] * len(pixels) if labels is None else list(labels)
        self.images = [str(i) for i in range(len(pixels))]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return ImageItem(image=self.pixels[i], gt_label=torch.tensor(self.labels[i]), image_path=self.images[i])


def loader(pixels, labels=None, batch_size=2, **options):
    return DataLoader(Rows(pixels, labels), batch_size, collate_fn=_collate, **options)
