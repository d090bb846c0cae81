"""SuperSimpleNet (Rolih et al., "No Label Left Behind", Journal of Intelligent Manufacturing 2025; ICPR 2024).

anomalib's heads, noise masks and loss, in the journal's version: the segmentation head sees adapted features, the
classification head plain ones. Each training batch is taken twice, with fresh Gaussian noise inside Perlin masks
in about half of the copies; inference has no noise. What differs from anomalib's module:

- Pre-trained weights are a choice. Scores and maps are logits at the features' resolution, which do not
  saturate; the pipeline upsamples and smooths the map.
- `standardize` scales features to zero mean and unit variance by their training statistics. The paper's noise
  (0.015) fits the torchvision V1 weights of Wide ResNet-50; on standardised features it means the same everywhere.
- `upscale` 1 leaves out the paper's doubling of the finest layer's grid, at about a fifth of the cost.
- With `balance` the model is supervised: so many images of each batch are labelled anomalies. Those with a
  mask train both heads. Those without one, or whose mask vanishes at the features' resolution, train the classification
  head only (the journal's weak supervision; anomalib raises). Masks of images labelled normal are ignored.
  The paper's flips are left out, so that features are computed once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image import Supersimplenet as AnomalibSupersimplenet
from anomalib.models.image.supersimplenet.anomaly_generator import AnomalyGenerator
from anomalib.models.image.supersimplenet.loss import SSNLoss
from anomalib.models.image.supersimplenet.torch_model import (
    FeatureAdapter,
    SegmentationDetectionModule,
    SupersimplenetModel,
)
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from viad.models.components.balance import Balance
from viad.models.components.channel_statistics import ChannelScale, standardize

# The paper's grid at 256 px; anomalib's Perlin noise has up to 32 periods a side, and needs twice that.
PERLIN_SIDE = 64
DROPS, DROP = (0.8, 0.9), 0.4  # shares of the epochs after which the learning rates are multiplied, and by what
CLIP = 1.0  # of the gradient's norm, in supervised training


class Supersimplenet(AnomalibSupersimplenet):
    """SuperSimpleNet, one-class or supervised.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        perlin_threshold: above which Perlin noise is a defect; higher makes smaller defects.
        noise: standard deviation of the Gaussian noise on features.
        standardize: scale features to zero mean and unit variance over the training images.
        upscale: the grid of the features, in multiples of the finest layer's.
        learning_rate: of the heads; the adaptor has half of it.
        balance: arguments of `Balance` for supervised training; None for one-class training.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels; the paper's smoothing
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, perlin_threshold: float, noise: float, standardize: bool,
        upscale: int, learning_rate: float, balance: Mapping[str, int] | None, pre_trained: bool = True,
        **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibSupersimplenet, self).__init__(**options)  # anomalib's constructor wants pre-trained weights
        supervised = balance is not None
        self.model = SupersimplenetNetwork(
            backbone, layers, perlin_threshold=perlin_threshold, noise=noise, upscale=upscale,
            stop_grad=not supervised, pre_trained=pre_trained,
        )  # fmt: skip
        self.loss = SSNLoss()
        self.norm_clip_val = CLIP if supervised else 0  # read by anomalib's trainer_arguments
        self.standardize, self.learning_rate = standardize, learning_rate
        self.balance = Balance(**balance) if balance is not None else None

    def configure_optimizers(self) -> tuple[list[Optimizer], list[MultiStepLR]]:
        """AdamW as anomalib's, with the learning rate as an argument; two drops."""
        optimizer = AdamW(
            [
                {"params": self.model.adaptor.parameters(), "lr": self.learning_rate / 2},
                {"params": self.model.segdec.parameters(), "lr": self.learning_rate, "weight_decay": 1e-5},
            ]
        )
        milestones = [int(share * self.trainer.max_epochs) for share in DROPS]
        return [optimizer], [MultiStepLR(optimizer, milestones, gamma=DROP)]

    def on_train_start(self) -> None:
        """Measure the features' mean and variance in one pass over the training images."""
        if self.standardize:
            standardize(self, [self.model.scale], lambda images: [self.model.pooled(images)])

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch with noise."""
        del args, kwargs
        loss = self.noisy_loss(batch.image, batch.gt_label, batch.gt_mask)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images under noise that is the same in every epoch."""
        del args, kwargs
        normal = batch.gt_label == 0
        if normal.any():
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(0)
                loss = self.noisy_loss(batch.image[normal], batch.gt_label[normal], None)
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model(batch.image)._asdict())

    def noisy_loss(self, images: Tensor, labels: Tensor, masks: Tensor | None) -> Tensor:
        """Focal loss and truncated L1 loss of the maps with a known truth, plus focal loss of the scores.

        Args:
            images: (B, C, H, W), normalised.
            labels: (B,), 1 for images labelled anomalous.
            masks: (B, H, W) bool, all False where there is none; None if no image has one.
        """
        features = self.model.features(images)
        told = labels.float()
        truth = told.new_zeros(len(told), 1, *features.shape[-2:])
        if masks is not None:
            truth = SupersimplenetModel.downsample_mask(masks, *truth.shape[-2:]) * told[:, None, None, None]
        known = ((told == 0) | truth.flatten(1).any(dim=1)).repeat(2)
        plain, adapted, truth, told = self.model.anomaly_generator(features, self.model.adaptor(features), truth, told)
        maps, scores = self.model.segdec(seg_features=adapted, cls_features=plain)
        loss = self.loss.focal_loss(scores, told)
        if known.any():
            maps, truth = maps[known], truth[known]
            loss = loss + self.loss.focal_loss(maps, truth) + self.loss.trunc_l1_loss(maps, truth)
        return cast("Tensor", loss)


class SupersimplenetNetwork(nn.Module):
    """A frozen backbone, an adaptor, and the two heads."""

    def __init__(
        self, backbone: str, layers: Sequence[str], *, perlin_threshold: float, noise: float, upscale: int,
        stop_grad: bool, pre_trained: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.feature_extractor = TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval()
        self.feature_extractor.requires_grad_(requires_grad=False)
        channels = sum(self.feature_extractor.out_dims)
        self.adaptor = FeatureAdapter(channels)
        self.segdec = SegmentationDetectionModule(channels, stop_grad=stop_grad)
        self.to(memory_format=torch.channels_last)  # on a CPU up to twice as fast (measured)
        self.anomaly_generator = _AnomalyGenerator(noise_mean=0, noise_std=noise, threshold=perlin_threshold)
        self.upscale = upscale
        self.scale = ChannelScale(channels)

    def pooled(self, images: Tensor) -> Tensor:
        """The layers' features side by side, 3x3 averaged, of normalised images (B, C, H, W): (B, D, h, w)."""
        layers = list(self.feature_extractor(images).values())
        size = [self.upscale * side for side in layers[0].shape[-2:]]
        together = torch.cat([F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in layers], dim=1)
        return F.avg_pool2d(together, 3, stride=1, padding=1).contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features, standardised."""
        return self.scale(self.pooled(images))

    def forward(self, images: Tensor) -> InferenceBatch:
        """Logits of images (B, C, H, W): scores (B,) and maps (B, 1, h, w) at the features' resolution."""
        features = self.features(images)
        maps, scores = self.segdec(seg_features=self.adaptor(features), cls_features=features)
        return InferenceBatch(pred_score=scores, anomaly_map=maps)


class _AnomalyGenerator(AnomalyGenerator):
    def generate_perlin(self, batches: int, height: int, width: int) -> Tensor:
        """Masks (batches, 1, height, width) of 0 and 1; drawn at 64 x 64 for smaller grids, where anomalib's fails."""
        masks = super().generate_perlin(batches, max(height, PERLIN_SIDE), max(width, PERLIN_SIDE))
        return F.adaptive_max_pool2d(masks.float(), (height, width))
