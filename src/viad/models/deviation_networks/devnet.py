"""DevNet (Pang et al., "Explainable Deep Few-shot Anomaly Detection with Deviation Networks", arXiv 2108.00462, 2021).

Written from the paper's formulas. A 1x1 convolution scores every position of a backbone's
features; an image's score is the mean of the largest tenth of |score|, averaged over the image
and the image at half its size. The deviation loss keeps the scores of normal images near the mean
of a Gaussian prior, and pushes those of labelled anomalies five deviations above it.

Choices: the map is |score| of both scales, upsampled and averaged. The authors' map, a gradient with
respect to the input, is scaled image by image and so cannot be compared between images. Images are turned
with bilinear interpolation. Whitening (see `deviation`) is ours, and off in the paper's settings.
"""

from collections.abc import Sequence
from typing import Any

import torch
from anomalib.data import Batch, InferenceBatch
from torch import Tensor, nn

from viad.models.deviation_networks.deviation import (
    DeviationModule,
    PyramidModel,
    deviation_loss,
    mean_magnitude,
    top_k_score,
)


class DevNet(DeviationModule):
    """DevNet as an anomalib module.

    Args:
        backbone: a timm name.
        layers: feature layers, concatenated at the first one's grid.
        fine_tune: train the backbone too.
        pre_trained: load the backbone's weights.
        options: as for `DeviationModule`.
    """

    def __init__(
        self, backbone: str, layers: Sequence[str], *, fine_tune: bool, pre_trained: bool = True, **options: Any
    ) -> None:
        super().__init__(fine_tune=fine_tune, **options)
        self.model = DevNetModel(backbone, layers, pre_trained=pre_trained, fine_tune=fine_tune)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Deviation loss of a batch."""
        del args, kwargs
        scores = self.model(self.augmented(batch.image)).pred_score
        loss = deviation_loss(scores, batch.gt_label)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(scores))
        return loss


class DevNetModel(PyramidModel):
    """Backbone and the scoring convolution, which both scales share."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the first layer's grid of images (B, C, H, W)."""
        score_maps = [self.head(features) for features in self.pyramid(images)]
        score = torch.stack([top_k_score(score_map) for score_map in score_maps]).mean(dim=0)
        return InferenceBatch(pred_score=score, anomaly_map=mean_magnitude(score_maps))
