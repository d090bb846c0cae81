"""One pass over the normal training images before the first epoch, for models that fit themselves to the features."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import torch
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from viad.artifacts.samples import NORMAL


def training_batches(module: AnomalibModule) -> Iterator[Batch]:
    """Every training image that is labelled normal, once, in the table's order.

    Not in the epochs' order: balanced epochs show some images never and others often, and a pass in an
    order of its own gives the same sums after a resume. Images are on the module's device, pre-processed, and
    announced to the feature cache.
    """
    loader = module.trainer.train_dataloader
    normals = [i for i, label in enumerate(loader.dataset.labels) if label == NORMAL]
    cache = getattr(getattr(module.model, "feature_extractor", None), "cache", None)
    once = DataLoader(
        Subset(loader.dataset, normals),
        loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        multiprocessing_context=loader.multiprocessing_context,
    )
    for batch in once:
        if cache is not None:
            cache.announce(batch.image_path)
        batch.image = module.pre_processor(batch.image.to(module.device))
        yield batch
    if cache is not None:
        cache.announce(None)


@torch.no_grad()
def channel_statistics(
    module: AnomalibModule, features: Callable[[Tensor], Sequence[Tensor]]
) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every channel over all normal training images and positions.

    Args:
        module: in training, so that its trainer has a loader.
        features: from normalised images (B, C, H, W) to maps (B, D_i, h_i, w_i).

    Returns:
        for every map the mean and the deviation, each (D_i,) float32; a constant channel deviates by 1e-6.
    """
    sums: list[Tensor] = []
    counts: list[int] = []
    for batch in training_batches(module):
        maps = features(batch.image)
        parts = [torch.stack([m.double().sum(dim=(0, 2, 3)), m.double().square().sum(dim=(0, 2, 3))]) for m in maps]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        counts = [a + m[:, 0].numel() for a, m in zip(counts or [0] * len(maps), maps, strict=True)]
    means = [total[0] / count for total, count in zip(sums, counts, strict=True)]
    deviations = [
        (total[1] / count - mean.square()).clamp_min(1e-12).sqrt()
        for total, count, mean in zip(sums, counts, means, strict=True)
    ]
    return [(mean.float(), deviation.float()) for mean, deviation in zip(means, deviations, strict=True)]


class ChannelScale(nn.Module):
    """Features with each channel brought to zero mean and unit variance; as they are until `standardize` is called."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled features of features (N, D) or (B, D, h, w)."""
        shape = (-1, *[1] * (features.ndim - 2))
        return (features - self.mean.view(shape)) / self.deviation.view(shape)


def standardize(
    module: AnomalibModule, scales: Iterable[nn.Module], features: Callable[[Tensor], Sequence[Tensor]]
) -> None:
    """Fit the `ChannelScale`s, one for each of the maps that `features` gives, by `channel_statistics`.

    A resumed training has them from its checkpoint.
    """
    if module.trainer.current_epoch > 0:
        return
    for scale, (mean, deviation) in zip(
        cast("Iterable[ChannelScale]", scales), channel_statistics(module, features), strict=True
    ):
        scale.mean.copy_(mean)
        scale.deviation.copy_(deviation)
