"""CFlow (Gudovskiy et al., "CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional
Normalizing Flows", WACV 2022).

Each position's feature vector (a fiber) is decoded by a flow of its scale, conditioned on where it lies.
anomalib's flows and loss; like the authors' code, training takes several optimiser steps a
batch of images, one for every batch of fibers.

What differs from anomalib. The paper divides likelihoods by the greatest of the test set, anomalib by the
greatest of the batch, so that scores depend on the company an image keeps; here it is the greatest of the last training
epoch, a constant of the model. Maps are the negative logarithm of the mean of these ratios over
scales, not the negative mean: the order at a position is the same, and large anomalies do not tie.
Coarse scales are interpolated as log-likelihoods, to the finest grid, and the image score is the map's
maximum there. No fiber is left out: they are cut into batches of nearly equal size. The warm-up and
the cosine are the paper's, anomalib has neither; they move every epoch, not every eighth. `standardize`
(not in the paper) scales features to unit variance, so that few epochs suffice; the paper's settings leave it off.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image import Cflow as AnomalibCflow
from anomalib.models.image.cflow.utils import cflow_head, get_logp, positional_encoding_2d
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import Optimizer

from viad.models.components.channel_statistics import ChannelScale, standardize
from viad.models.components.likelihood import joint_map

WARM_UP = 0.08  # share of the epochs: 2 of the paper's 25 times 8
WARM_UP_START, COSINE_END = 0.1, 1e-3
FIBERS_AT_ONCE = 1 << 14  # in prediction, for memory


class Cflow(AnomalibCflow):
    """CFlow with scores that depend on one image alone.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        fiber_batch_size: feature vectors an optimiser step, at least.
        condition_vector: channels of the positional encoding, a multiple of 4.
        coupling_blocks: of each scale's flow.
        clamp_alpha: how far a coupling can stretch, exp(alpha) at most.
        learning_rate: of Adam, after warm-up.
        standardize: scale features to zero mean and unit variance over the training images.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, fiber_batch_size: int, condition_vector: int,
        coupling_blocks: int, clamp_alpha: float, learning_rate: float, standardize: bool, pre_trained: bool = True,
        **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibCflow, self).__init__(**options)  # anomalib's own builds a model that is replaced here
        self.model = CflowModel(
            TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval(),
            condition_vector, coupling_blocks, clamp_alpha,
        )  # fmt: skip
        self.fiber_batch_size, self.learning_rate, self.standardize = fiber_batch_size, learning_rate, standardize
        self.automatic_optimization = False  # several steps a batch

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Adam; a warm-up, then a cosine."""
        epochs = int(self.trainer.max_epochs)
        optimizer = Adam(self.model.decoders.parameters(), lr=self.learning_rate)
        return [optimizer], [LambdaLR(optimizer, lambda epoch: learning_rate_factor(epoch, epochs))]

    def on_train_start(self) -> None:
        """Measure the features' mean and deviation in one pass over the training images."""
        if self.standardize:
            standardize(self, self.model.scales, self.model.features)

    def on_train_epoch_start(self) -> None:
        """Look for the epoch's greatest likelihoods anew: the flows have changed."""
        self.model.greatest.fill_(-math.inf)

    def on_train_epoch_end(self) -> None:
        """Move the learning rate, which Lightning leaves alone where a model steps by itself."""
        self.lr_schedulers().step()

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> None:
        """Optimiser steps over the batch's fibers in random order, scale after scale."""
        del args, kwargs
        optimizer, losses = self.optimizers(), []
        for i, feature in enumerate(self.model.features(batch.image)):
            for fibers, conditions in fiber_batches(feature, self.model.condition_vector, self.fiber_batch_size):
                likelihood = self.model.log_likelihood(i, fibers, conditions)
                loss = -F.logsigmoid(likelihood).mean()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
                self.model.greatest[i].clamp_(min=likelihood.detach().max())
                losses.append(loss.detach())
        mean = torch.stack(losses).mean()
        self.log("train_loss", mean, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images, the mean over scales."""
        del args, kwargs
        logs = self.model.log_maps(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            loss = -torch.stack([F.logsigmoid(log[normal]).mean() for log in logs]).mean()
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model.anomaly_scores(logs)._asdict())


class CflowModel(nn.Module):
    """Backbone, and a conditional flow for each scale.

    Args:
        extractor: gives the scales, the finest first.
        condition_vector, coupling_blocks, clamp_alpha: as for `Cflow`.
    """

    greatest: Tensor

    def __init__(
        self, extractor: TimmFeatureExtractor, condition_vector: int, coupling_blocks: int, clamp_alpha: float
    ) -> None:
        super().__init__()
        self.feature_extractor = extractor.requires_grad_(requires_grad=False)
        self.layers, self.condition_vector = list(extractor.layers), condition_vector
        self.decoders = nn.ModuleList(
            cflow_head(condition_vector, coupling_blocks, clamp_alpha, features) for features in extractor.out_dims
        )
        self.register_buffer("greatest", torch.zeros(len(self.layers)))
        self.scales = nn.ModuleList(ChannelScale(features) for features in extractor.out_dims)

    def features(self, images: Tensor) -> list[Tensor]:
        """Features (B, D, h, w) of each scale, of normalised images (B, C, H, W)."""
        features = self.feature_extractor(images)
        return [features[layer] for layer in self.layers]

    def log_likelihood(self, i: int, fibers: Tensor, conditions: Tensor) -> Tensor:
        """Log-likelihood per dimension (N,) of fibers (N, D) of scale `i`, standardised, under conditions (N, P)."""
        z, log_det = self.decoders[i](self.scales[i](fibers), [conditions])
        return cast("Tensor", get_logp(fibers.shape[1], z, log_det)) / fibers.shape[1]

    def log_maps(self, images: Tensor) -> list[Tensor]:
        """Log-likelihoods per dimension (B, 1, h, w) of each scale, of normalised images (B, C, H, W)."""
        maps = []
        for i, feature in enumerate(self.features(images)):
            batches = fiber_batches(feature, self.condition_vector, FIBERS_AT_ONCE, shuffle=False)
            flat = torch.cat([self.log_likelihood(i, fibers, conditions) for fibers, conditions in batches])
            maps.append(flat.reshape(len(feature), 1, *feature.shape[-2:]))
        return maps

    def anomaly_scores(self, log_maps: list[Tensor]) -> InferenceBatch:
        """Maps (B, 1, h, w) at the finest scale, and their maxima as scores (B,)."""
        anomaly_map = joint_map([log - greatest for log, greatest in zip(log_maps, self.greatest, strict=True)])
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) of normalised images (B, C, H, W)."""
        return self.anomaly_scores(self.log_maps(images))


def fiber_batches(
    feature: Tensor, condition_vector: int, size: int, *, shuffle: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """All fibers (N, D) of features (B, D, h, w) with the positional encodings (N, condition_vector) of their places.

    In batches of nearly equal length, `size` or more (all, if there are fewer); in the order of images, rows and
    columns, or shuffled by the global generator.
    """
    fibers = feature.movedim(1, -1).flatten(0, 2)
    encoding = positional_encoding_2d(condition_vector, *feature.shape[-2:]).flatten(1).T.to(feature)
    order = torch.randperm(len(fibers)) if shuffle else torch.arange(len(fibers))
    for part in order.to(feature.device).tensor_split(max(1, len(fibers) // size)):
        yield fibers[part], encoding[part % len(encoding)]


def learning_rate_factor(epoch: int, epochs: int) -> float:
    """The schedule: a linear rise from a tenth to where the cosine is by then, and down the cosine to a thousandth."""
    warm_up = max(1, round(WARM_UP * epochs))
    if epoch < warm_up:
        return WARM_UP_START + (_cosine(warm_up - 1, epochs) - WARM_UP_START) * (epoch + 1) / warm_up
    return _cosine(epoch, epochs)


def _cosine(epoch: int, epochs: int) -> float:
    return COSINE_END + (1 - COSINE_END) * (1 + math.cos(math.pi * epoch / epochs)) / 2
