"""One pass over the training images before the first epoch, for models that fit themselves to the features' scale."""

from collections.abc import Callable, Iterator, Sequence

import torch
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from torch import Tensor


def training_batches(module: AnomalibModule) -> Iterator[Batch]:
    """The training batches on the module's device, pre-processed, with their images announced to the feature cache."""
    cache = getattr(getattr(module.model, "feature_extractor", None), "cache", None)
    for batch in module.trainer.train_dataloader:
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
    """Mean and standard deviation of every channel over all training images and positions.

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
