"""SimpleNet (Liu et al., "SimpleNet: A Simple Network for Image Anomaly Detection and Localization", CVPR 2023).

An implementation from the method's formulas. A linear adaptor takes frozen patch features q; Gaussian noise
added to them makes anomalous ones; a small discriminator tells the two apart with a truncated L1
loss, D(q) >= th for normal and D(q + noise) <= -th for anomalous ones. At inference there is
no noise, and a patch scores -D(q).

Choices: the last epoch (the authors keep the best one on the test set), no centre crop, Adam for both
parts as in the paper (the code has AdamW for the adaptor), and no schedule. The noise is 0.015
in units of Wide ResNet-50's features. `standardize` (not in the paper) scales features to unit variance
by their training statistics, so that `noise` becomes a share of their deviation and fits any backbone.
`patches_per_step` (not in the paper) trains each step on a random subset of the batch's patches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models import AnomalibModule
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam

from viad.models.components.channel_statistics import ChannelScale, standardize
from viad.models.components.patch_embedding import PatchFeatures

THRESHOLD = 0.5  # th
WEIGHT_DECAY = 1e-5
SLOPE = 0.2  # of the leaky ReLU


class SimpleNet(AnomalibModule):
    """SimpleNet as an anomalib module.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        pre_trained: load the backbone's weights.
        dimensions: D, values of a patch, and of each layer's share before the layers are joined.
        hidden: width of the discriminator.
        noise: standard deviation of the noise on adapted features.
        standardize: scale features to zero mean and unit variance over the training images.
        patches_per_step: patches sampled from each batch at most; None takes all.
        adaptor_learning_rate: of Adam, for the adaptor.
        discriminator_learning_rate: of Adam, for the discriminator.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels, as the authors smooth
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, dimensions: int, hidden: int, noise: float, standardize: bool,
        patches_per_step: int | None, adaptor_learning_rate: float, discriminator_learning_rate: float,
        pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        extractor = PatchFeatures(
            backbone, layers, per_layer=dimensions, dimensions=dimensions, pre_trained=pre_trained
        )
        self.model = SimpleNetModel(extractor, dimensions, hidden)
        self.noise, self.standardize, self.patches_per_step = noise, standardize, patches_per_step
        self.learning_rates = adaptor_learning_rate, discriminator_learning_rate

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """No clipping, no sanity check."""
        return {"gradient_clip_val": 0, "num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """Trained on normal images only."""
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> Adam:
        """Adam with a learning rate for each part."""
        parts = (self.model.adaptor, self.model.discriminator)
        groups = [{"params": part.parameters(), "lr": lr} for part, lr in zip(parts, self.learning_rates, strict=True)]
        return Adam(groups, weight_decay=WEIGHT_DECAY)

    def on_train_start(self) -> None:
        """Measure the patches' mean and variance in one pass over the training images."""
        if self.standardize:
            standardize(self, [self.model.scale], lambda images: [self.model.patches(images)])

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch's patches."""
        del args, kwargs
        loss = self._loss(self._drawn(_rows(self.model.patches(batch.image))))
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        patches = self.model.patches(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            self.log("val_loss", self._loss(_rows(patches[normal])), on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model.scores(patches)._asdict())

    def _drawn(self, patches: Tensor) -> Tensor:
        if self.patches_per_step is None or self.patches_per_step >= len(patches):
            return patches
        return patches[torch.randperm(len(patches), device=patches.device)[: self.patches_per_step]]

    def _loss(self, patches: Tensor) -> Tensor:
        adapted = self.model.adapted(patches)
        noisy = adapted + self.noise * torch.randn_like(adapted)
        # In one batch, so that batch-norm's statistics are those of both.
        normality = self.model.discriminator(torch.cat([adapted, noisy])).squeeze(1)
        return truncated_loss(normality[: len(adapted)], normality[len(adapted) :])


class SimpleNetModel(nn.Module):
    """Patch features, adaptor and discriminator."""

    def __init__(self, extractor: PatchFeatures, dimensions: int, hidden: int) -> None:
        super().__init__()
        self.feature_extractor = extractor
        self.adaptor = nn.Linear(dimensions, dimensions)
        self.discriminator = nn.Sequential(
            nn.Linear(dimensions, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, 1, bias=False),
        )
        for module in (self.adaptor, *self.discriminator):
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
        self.scale = ChannelScale(dimensions)

    def patches(self, images: Tensor) -> Tensor:
        """Patches (B, D, h, w) of normalised images (B, C, H, W)."""
        return self.feature_extractor(images)["patches"]

    def adapted(self, patches: Tensor) -> Tensor:
        """Adapted features (P, D) of patches (P, D)."""
        return self.adaptor(self.scale(patches))

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores and maps of normalised images (B, C, H, W)."""
        return self.scores(self.patches(images))

    def scores(self, patches: Tensor) -> InferenceBatch:
        """Maps (B, 1, h, w) of patches (B, D, h, w), and scores (B,), each the largest of its map."""
        normality = self.discriminator(self.adapted(_rows(patches)))
        anomaly_map = -normality.view(len(patches), 1, *patches.shape[2:])
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)


def _rows(patches: Tensor) -> Tensor:
    """(B, D, h, w) to (B h w, D)."""
    return patches.permute(0, 2, 3, 1).flatten(0, 2)


def truncated_loss(normal: Tensor, anomalous: Tensor) -> Tensor:
    """The truncated L1 loss, each of its two terms averaged: how far outputs fall short of th and exceed -th.

    Args:
        normal: the discriminator's outputs (P,) for normal patches.
        anomalous: those (P,) for patches with noise.
    """
    return F.relu(THRESHOLD - normal).mean() + F.relu(THRESHOLD + anomalous).mean()
