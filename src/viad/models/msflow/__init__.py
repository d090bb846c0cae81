"""MSFlow (Zhou et al., "MSFlow: Multi-Scale Flow-based Framework for Unsupervised Anomaly Detection", TNNLS 2024).

Written from the paper's formulas. A frozen backbone gives features at three scales; each
scale goes through conditional affine couplings of its own (the parallel flows), then one
coupling over all scales together lets them inform each other (the fusion flow). Training
maximises the likelihood of normal features under a standard normal distribution.

Choices where the paper leaves some: one anomaly map for all purposes, the additive one
summed at the finest scale's grid, and the last epoch. `standardize` (not in the paper) scales
features to unit variance by their training statistics, so that few epochs suffice; the paper's
settings leave it off.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models import AnomalibModule
from anomalib.models.components import TimmFeatureExtractor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from viad.models.components.channel_statistics import ChannelScale, standardize
from viad.models.msflow.flows import FusionFlow, coupling, positional_encoding

TOP_SHARE = 0.03  # of the positions, averaged for the image score
WARM_UP, FIRST_DECAY, SECOND_DECAY = 0.12, 0.7, 0.9  # shares of the epochs: 12, 70 and 90 of the paper's 100
WARM_UP_START, DECAY = 0.1, 0.33


class MSFlow(AnomalibModule):
    """MSFlow as an anomalib module.

    Args:
        backbone: a timm name.
        layers: three feature layers, the finest first.
        pre_trained: load the backbone's weights.
        flow_steps: coupling blocks of each parallel flow.
        learning_rate: of Adam, after warm-up.
        standardize: scale features to zero mean and unit variance over the training images.
        reflect_padding: pad the backbone's convolutions by reflection, as the authors do.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, flow_steps: Sequence[int], learning_rate: float,
        standardize: bool, reflect_padding: bool, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.model = MSFlowModel(backbone, layers, flow_steps, pre_trained=pre_trained, reflect=reflect_padding)
        self.learning_rate, self.standardize = learning_rate, standardize

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Clip gradients at norm 2, as the paper does."""
        return {"gradient_clip_val": 2.0, "num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """Trained on normal images only."""
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Adam without weight decay; a linear warm-up, then two drops."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        epochs = int(self.trainer.max_epochs)
        optimizer = Adam(trainable, lr=self.learning_rate)
        return [optimizer], [LambdaLR(optimizer, lambda epoch: learning_rate_factor(epoch, epochs))]

    def on_train_start(self) -> None:
        """Measure the features' mean and variance in one pass over the training images."""
        if self.standardize:
            standardize(self, self.model.scales, self.model.pooled)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Negative log-likelihood of a batch."""
        del args, kwargs
        loss = negative_log_likelihood(*self.model.flow(self.model.scaled(self.model.pooled(batch.image))))
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        outputs, log_det = self.model.flow(self.model.scaled(self.model.pooled(batch.image)))
        normal = batch.gt_label == 0
        if normal.any():
            loss = negative_log_likelihood([z[normal] for z in outputs], log_det[normal])
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(outputs)._asdict())


class _PooledFeatures(TimmFeatureExtractor):
    """Pools right behind the backbone, so that a feature cache keeps a quarter."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {k: F.avg_pool2d(v, 3, stride=2, padding=1) for k, v in super().forward(inputs).items()}


class MSFlowModel(nn.Module):
    """Backbone, parallel flows and fusion flow."""

    def __init__(
        self, backbone: str, layers: Sequence[str], flow_steps: Sequence[int], *, pre_trained: bool, reflect: bool
    ) -> None:
        super().__init__()
        self.feature_extractor = _PooledFeatures(backbone, list(layers), pre_trained=pre_trained).eval()
        if reflect:
            _pad_by_reflection(self.feature_extractor)
        self.layers, self.channels = list(layers), list(self.feature_extractor.out_dims)
        self.parallel = nn.ModuleList(
            nn.ModuleList(coupling(channels) for _ in range(steps))
            for channels, steps in zip(self.channels, flow_steps, strict=True)
        )
        self.fusion = FusionFlow(self.channels)
        self.scales = nn.ModuleList(ChannelScale(channels) for channels in self.channels)

    def pooled(self, images: Tensor) -> list[Tensor]:
        """Features of normalised images (B, C, H, W), one (B, D, h, w) a scale, average-pooled by two."""
        features = self.feature_extractor(images)
        return [features[layer] for layer in self.layers]

    def scaled(self, pooled: list[Tensor]) -> list[Tensor]:
        """Pooled features, standardised."""
        return [scale(x) for scale, x in zip(self.scales, pooled, strict=True)]

    def flow(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs z, shaped like the features, and the log-determinant (B,) of the whole flow."""
        log_det = features[0].new_zeros(len(features[0]))
        outputs = []
        for feature, blocks in zip(features, cast("list[nn.ModuleList]", list(self.parallel)), strict=True):
            # Channels last: so the channel norms read memory in order, and CPU convolutions run faster.
            x = feature.contiguous(memory_format=torch.channels_last)
            condition = positional_encoding(*x.shape[-2:]).to(x).expand(len(x), -1, -1, -1)
            for block in blocks:
                (x,), jacobian = block([x], [condition])  # the flow's state
                log_det = log_det + jacobian
            outputs.append(x)
        outputs, jacobian = self.fusion(outputs)
        return outputs, log_det + jacobian

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the finest scale of images (B, C, H, W)."""
        outputs, _ = self.flow(self.scaled(self.pooled(images)))
        return anomaly_scores(outputs)


def negative_log_likelihood(outputs: list[Tensor], log_det: Tensor) -> Tensor:
    """Mean over the batch of sum_l ||z_l||^2 / 2 - log|det J|, without the constant."""
    energy = torch.stack([z.flatten(1).square().sum(dim=1) for z in outputs]).sum(dim=0) / 2
    return (energy - log_det).mean()


def anomaly_scores(outputs: list[Tensor]) -> InferenceBatch:
    """Image scores and maps from the flow's outputs, each image by itself (the Jacobian is dropped).

    With log p_l = -mean_c(z_l^2) / 2 at each position: the map adds the scales'
    p_l / max p_l and turns the sum around. The paper's score is the mean m of the top 3 % of
    1 - S / max S, where S multiplies the p_l of all scales. Large defects bring m so near to
    1 that float32 ties them; -log(1 - m) orders images alike and does not saturate.
    """
    size = outputs[0].shape[-2:]
    logs = [-z.square().mean(dim=1, keepdim=True) / 2 for z in outputs]
    relative = [_upsample((log - log.amax(dim=(2, 3), keepdim=True)).exp(), size) for log in logs]
    added = torch.stack(relative).sum(dim=0)
    anomaly_map = added.amax(dim=(2, 3), keepdim=True) - added
    product = torch.stack([_upsample(log, size) for log in logs]).sum(dim=0)
    drop = (product - product.amax(dim=(2, 3), keepdim=True)).flatten(1)
    count = max(1, int(drop.shape[1] * TOP_SHARE))
    lowest = drop.topk(count, dim=1, largest=False).values
    return InferenceBatch(pred_score=math.log(count) - lowest.logsumexp(dim=1), anomaly_map=anomaly_map)


def learning_rate_factor(epoch: int, epochs: int) -> float:
    """The schedule: a linear rise from a tenth over the warm-up, then a third of it after 70 % and again after 90 %."""
    warm_up = max(1, round(WARM_UP * epochs))
    if epoch < warm_up:
        return WARM_UP_START + (1 - WARM_UP_START) * (epoch + 1) / warm_up
    return DECAY ** ((epoch >= round(FIRST_DECAY * epochs)) + (epoch >= round(SECOND_DECAY * epochs)))


def _upsample(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _pad_by_reflection(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and isinstance(module.padding, tuple) and max(module.padding) > 0:
            module.padding_mode = "reflect"
