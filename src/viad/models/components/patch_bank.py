"""What models with a bank of training patches share: one pass over the images, and the nearest patch of the bank."""

from collections.abc import Iterator
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from anomalib.models.components import MemoryBankMixin
from torch import Tensor

SEARCH_BLOCK = 1 << 22  # entries of a distance block: 16 MiB stay in the cache


class PatchBankModule(MemoryBankMixin, AnomalibModule):
    """A module whose model gathers patches while it trains, and whose `fit` makes the bank of them."""

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """A single pass on a single device."""
        return {"gradient_clip_val": 0, "max_epochs": 1, "num_sanity_val_steps": 0, "devices": 1}

    @property
    def learning_type(self) -> LearningType:
        """anomalib has no word for training images that may be anomalous."""
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> None:
        """Nothing is optimised."""

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Gather the batch's patches; the loss stands for none."""
        del args, kwargs
        self.model.gather(batch.image)
        return torch.zeros((), requires_grad=True, device=self.device)

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch."""
        del args, kwargs
        return batch.update(**self.model(batch.image)._asdict())


def nearest(patches: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest bank patch of every patch, exactly.

    Args:
        patches: (P, D) float32.
        bank: (M, D) float32.

    Returns:
        squared Euclidean distances (P,) float32, and indices into the bank (P,) int64.
    """
    norms = bank.square().sum(dim=1)
    # A patch's own norm does not change which is nearest.
    found = torch.cat([block.argmin(dim=1) for block in _blocks(patches, bank, norms)])
    # The distance itself by differences: exact where the product would cancel.
    return (patches - bank[found]).square().sum(dim=1), found


def _blocks(patches: Tensor, bank: Tensor, norms: Tensor) -> Iterator[Tensor]:
    for part in patches.split(max(1, SEARCH_BLOCK // len(bank))):
        yield torch.addmm(norms, part, bank.T, alpha=-2)
