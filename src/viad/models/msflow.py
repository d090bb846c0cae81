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
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from viad.models.statistics import ChannelScale, standardize

CONDITION_CHANNELS = 64
CLAMP = 1.9  # alpha: how far a coupling can stretch, exp(1.9) at most
OUTPUT_LIMIT = 1e6
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
            nn.ModuleList(_coupling(channels) for _ in range(steps))
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


class FusionFlow(nn.Module):
    """One affine coupling over all scales: each half of the channels is changed by the other half of every scale."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = [c - c // 2 for c in channels]
        second = [c // 2 for c in channels]
        for i, c in enumerate(channels):
            self.register_buffer(f"permutation_{i}", torch.randperm(c))
        self.from_second = _FusionNet(second, self.first)
        self.from_first = _FusionNet(self.first, second)

    def forward(self, xs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs shaped like the inputs (B, D, h, w) a scale, and the log-determinant (B,)."""
        mixed = [x[:, getattr(self, f"permutation_{i}")] for i, x in enumerate(xs)]
        first = [x[:, :c] for x, c in zip(mixed, self.first, strict=True)]
        second = [x[:, c:] for x, c in zip(mixed, self.first, strict=True)]
        first, log_first = _affine(first, *self.from_second(second))
        second, log_second = _affine(second, *self.from_first(first))
        outputs = [
            torch.cat(halves, dim=1).clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT) for halves in zip(first, second, strict=True)
        ]
        return outputs, log_first + log_second

    def inverse(self, ys: list[Tensor]) -> list[Tensor]:
        """The inputs that `forward` maps to `ys`."""
        first = [y[:, :c] for y, c in zip(ys, self.first, strict=True)]
        second = [y[:, c:] for y, c in zip(ys, self.first, strict=True)]
        second = _unaffine(second, *self.from_first(first))
        first = _unaffine(first, *self.from_second(second))
        mixed = [torch.cat(halves, dim=1) for halves in zip(first, second, strict=True)]
        return [x[:, torch.argsort(getattr(self, f"permutation_{i}"))] for i, x in enumerate(mixed)]


class _FusionNet(nn.Module):
    """Scale and shift of each scale, from the halves of all scales met at the coarsest."""

    def __init__(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        super().__init__()
        together, narrow = sum(sources), max(1, sum(sources) // 4)
        self.sources = list(sources)
        self.mix = nn.Sequential(
            nn.Conv2d(together, narrow, 3, padding=1),
            _ChannelNorm(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, together, 3, padding=1),
            nn.ReLU(),
        )
        self.scale = nn.ModuleList(nn.Conv2d(s, t, 3, padding=1) for s, t in zip(sources, targets, strict=True))
        self.shift = nn.ModuleList(nn.Conv2d(s, t, 3, padding=1) for s, t in zip(sources, targets, strict=True))

    def forward(self, halves: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        size = (halves[-1].shape[-2], halves[-1].shape[-1])
        met = self.mix(torch.cat([F.adaptive_avg_pool2d(x, size) for x in halves], dim=1))
        informed = [
            x + F.interpolate(part, size=x.shape[-2:], mode="bilinear", align_corners=True)
            for x, part in zip(halves, met.split(self.sources, dim=1), strict=True)
        ]
        return (
            [conv(x) for conv, x in zip(self.scale, informed, strict=True)],
            [conv(x) for conv, x in zip(self.shift, informed, strict=True)],
        )


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels at each position of (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _coupling(channels: int) -> AllInOneBlock:
    return AllInOneBlock(
        [(channels, 1, 1)],
        [(CONDITION_CHANNELS, 1, 1)],
        subnet_constructor=_subnet,
        affine_clamping=CLAMP,
        global_affine_type="SOFTPLUS",
    )


class _ConditionedConv(nn.Conv2d):
    """A convolution of (x, condition) that convolves the condition once: it is the same for all images of a batch."""

    def forward(self, joined: Tensor) -> Tensor:
        own = joined.shape[1] - CONDITION_CHANNELS
        # A slice of what is joined has gaps: closed, in the order that the channel norms read.
        x = joined[:, :own].contiguous(memory_format=torch.channels_last)
        condition = joined[:1, own:]
        constant = F.conv2d(condition, self.weight[:, own:], self.bias, padding=1)
        return F.conv2d(x, self.weight[:, :own], padding=1) + constant


def _subnet(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        _ConditionedConv(inputs, inputs, 3, padding=1),
        _ChannelNorm(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 3, padding=1),
    )


def _stretch(scale: Tensor) -> Tensor:
    return CLAMP * 0.636 * torch.atan(scale / CLAMP)  # 0.636 is 2/pi: the exponent stays within +-alpha


def _affine(xs: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    exponents = [_stretch(scale) for scale in scales]
    ys = [e.exp() * x + shift for x, e, shift in zip(xs, exponents, shifts, strict=True)]
    return ys, torch.stack([e.flatten(1).sum(dim=1) for e in exponents]).sum(dim=0)


def _unaffine(ys: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> list[Tensor]:
    return [(y - shift) * (-_stretch(scale)).exp() for y, scale, shift in zip(ys, scales, shifts, strict=True)]


def positional_encoding(height: int, width: int) -> Tensor:
    """The condition (64, height, width): 32 channels for the column, then 32 for the row, sin and cos in turn."""
    half = CONDITION_CHANNELS // 2
    frequencies = 10000.0 ** (-torch.arange(0, half, 2) / half)
    encoding = torch.empty(CONDITION_CHANNELS, height, width)
    columns = torch.arange(width)[None, :] * frequencies[:, None]
    rows = torch.arange(height)[None, :] * frequencies[:, None]
    encoding[0:half:2], encoding[1:half:2] = columns.sin()[:, None, :], columns.cos()[:, None, :]
    encoding[half::2], encoding[half + 1 :: 2] = rows.sin()[:, :, None], rows.cos()[:, :, None]
    return encoding


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
