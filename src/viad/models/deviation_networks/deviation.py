"""What DevNet and DRA share: deviation loss, top-K scores, the two-scale pyramid, and rotated training images.

Written from the formulas of Pang et al., "Explainable Deep Few-shot Anomaly Detection with Deviation
Networks", arXiv 2108.00462, 2021.

`whiten` is not in the papers. It is for frozen features: each scale is centred and multiplied by
(R + 0.1 I)^(-1/2) / sd, where sd are the deviations and R the correlations of its channels on
normal training images. A head then starts from the metric of a Mahalanobis distance, which is what a
few labelled anomalies leave undetermined.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.models import AnomalibModule
from anomalib.models.components import TimmFeatureExtractor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from viad.models.components.balance import Balance
from viad.models.components.channel_statistics import training_batches

MARGIN = 5.0  # a: how many deviations an anomaly's score shall lie above the prior's mean
PRIOR_DRAWS = 5000
TOP_SHARE = 0.1  # of a map's positions
SCALES = 2  # the image, and the image at half its size
SHRINKAGE = 0.1  # added to the correlations' eigenvalues, whose mean is 1


def deviation_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean of (1 - y) |dev| + y max(0, a - dev), with dev the scores' deviation from a Gaussian prior.

    Args:
        scores: (B,). The prior's mean and deviation are those of 5000 fresh draws.
        targets: (B,), 1 for what shall score high, else 0.
    """
    prior = torch.randn(PRIOR_DRAWS, device=scores.device)
    deviation = (scores - prior.mean()) / prior.std()
    return torch.where(targets == 1, (MARGIN - deviation).clamp_min(0), deviation.abs()).mean()


def top_k_score(score_map: Tensor) -> Tensor:
    """Image scores (B,) of score maps (B, 1, h, w): the mean of the largest tenth of |score|."""
    magnitudes = score_map.flatten(1).abs()
    count = max(1, int(TOP_SHARE * magnitudes.shape[1]))
    return magnitudes.topk(count, dim=1).values.mean(dim=1)


def mean_magnitude(score_maps: Sequence[Tensor]) -> Tensor:
    """The scales' |score maps|, each (B, 1, h, w), averaged at the first one's size."""
    size = score_maps[0].shape[-2:]
    return torch.stack([resized(score_map.abs(), size) for score_map in score_maps]).mean(dim=0)


def resized(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps (B, D, h, w) brought to `size` bilinearly."""
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size=size, mode="bilinear")


def image_pyramid(images: Tensor) -> list[Tensor]:
    """Images (B, C, H, W), and the same at half their size (by nearest neighbours, as the authors do)."""
    return [images] + [F.interpolate(images, scale_factor=0.5**i) for i in range(1, SCALES)]


def rotated(images: Tensor, black: Tensor) -> Tensor:
    """Each of the images (B, C, H, W) turned about its centre by a random angle.

    Args:
        images: of any value range.
        black: (C, 1, 1), what the uncovered corners show.
    """
    angles = (2 * torch.rand(len(images), device=images.device) - 1) * torch.pi
    ratio = images.shape[-1] / images.shape[-2]  # the sampling grid spans [-1, 1] along both sides
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    turns = torch.stack([cos, -sin / ratio, zero, sin * ratio, cos, zero], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(turns, list(images.shape), align_corners=False)
    return F.grid_sample(images - black, grid, align_corners=False) + black


class PyramidModel(nn.Module):
    """A backbone that sees an image at two scales; base of the networks.

    Args:
        backbone: a timm name.
        layers: feature layers; those after the first are resized to its grid, and all are concatenated.
        pre_trained: load the backbone's weights.
        fine_tune: the backbone trains with the model.
    """

    feature_extractor: nn.Module

    def __init__(self, backbone: str, layers: Sequence[str], *, pre_trained: bool, fine_tune: bool) -> None:
        super().__init__()
        extractor_class = TimmFeatureExtractor if fine_tune else _PyramidExtractor
        extractor = extractor_class(backbone, list(layers), pre_trained=pre_trained)
        self.feature_extractor = extractor
        self.layers, self.channels, self.fine_tune = list(layers), sum(extractor.out_dims), fine_tune
        for i in range(SCALES):
            self.register_buffer(f"centre_{i}", torch.zeros(self.channels, 1, 1))
            self.register_buffer(f"whitening_{i}", torch.eye(self.channels))

    def raw_pyramid(self, images: Tensor) -> list[Tensor]:
        """Features (B, D, h, w), one tensor a scale, of normalised images (B, C, H, W)."""
        if self.fine_tune:
            scales = [self.feature_extractor(scaled) for scaled in image_pyramid(images)]
            return [self._joined([features[layer] for layer in self.layers]) for features in scales]
        features = self.feature_extractor(images)
        return [self._joined([features[f"{layer}@{i}"] for layer in self.layers]) for i in range(SCALES)]

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """As `raw_pyramid`, whitened where `whiten` has been called."""
        features = self.raw_pyramid(images)
        if self.fine_tune:
            return features
        return [
            F.conv2d(x - getattr(self, f"centre_{i}"), getattr(self, f"whitening_{i}")[:, :, None, None])
            for i, x in enumerate(features)
        ]

    @torch.no_grad()
    def whiten(self, batches: Iterator[Tensor]) -> None:
        """Fit centre and whitening of every scale to batches of normal images (B, C, H, W)."""
        counts, sums, products = [0] * SCALES, [torch.zeros(())] * SCALES, [torch.zeros(())] * SCALES
        for images in batches:
            for i, maps in enumerate(self.raw_pyramid(images)):
                features = maps.double().movedim(1, -1).flatten(0, -2)
                counts[i] += len(features)
                sums[i] = sums[i].to(maps.device) + features.sum(dim=0)
                products[i] = products[i].to(maps.device) + features.T @ features
        for i, count in enumerate(counts):
            mean = sums[i] / count
            covariance = products[i] / count - torch.outer(mean, mean)
            getattr(self, f"centre_{i}").copy_(mean[:, None, None])
            getattr(self, f"whitening_{i}").copy_(whitening_matrix(covariance))

    @staticmethod
    def _joined(features: list[Tensor]) -> Tensor:
        return torch.cat([resized(x, features[0].shape[-2:]) for x in features], dim=1)


class _PyramidExtractor(TimmFeatureExtractor):
    """Both scales in one call, so that a feature cache keeps them together; keys are layer@scale."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        scales = [super(_PyramidExtractor, self).forward(scaled) for scaled in image_pyramid(inputs)]
        return {f"{layer}@{i}": x for i, features in enumerate(scales) for layer, x in features.items()}


def whitening_matrix(covariance: Tensor) -> Tensor:
    """The matrix (R + 0.1 I)^(-1/2) diag(1 / sd) of a covariance (D, D) float64, with correlations R."""
    deviations = covariance.diagonal().clamp_min(1e-12).sqrt()
    values, vectors = torch.linalg.eigh(covariance / torch.outer(deviations, deviations))
    root = (vectors / (values.clamp_min(0) + SHRINKAGE).sqrt()) @ vectors.T
    return root / deviations


class DeviationModule(AnomalibModule):
    """Training that DevNet and DRA have in common; a subclass sets `self.model` and has a training_step.

    Supervised: labelled anomalies are a fixed part of each batch. There is no validation loss:
    on normals alone, a head that knows nothing would have the smallest.

    Args:
        fine_tune: train the backbone too.
        learning_rate: of Adam at the start.
        weight_decay: of Adam.
        anomalous: labelled anomalies in each batch.
        drop_every: after this share of the epochs the learning rate falls to a tenth, again and again.
        rotate: turn each training image by a random angle.
        whiten: whiten frozen features by the training normals.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels
    STEPS = 20  # batches of an epoch

    model: PyramidModel

    def __init__(
        self, *, fine_tune: bool, learning_rate: float, weight_decay: float, anomalous: int, drop_every: float,
        rotate: bool, whiten: bool, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if fine_tune and whiten:
            raise TypeError("whiten needs frozen features: set fine_tune or whiten to false")
        self.trains_backbone = fine_tune
        self.balance = Balance(anomalous=anomalous, steps=self.STEPS)
        self.learning_rate, self.weight_decay, self.drop_every = learning_rate, weight_decay, drop_every
        self.rotate, self.whiten = rotate, whiten
        # The backbone must see every image as it is stored, or its features cannot be kept.
        self.CACHES_FEATURES = not (fine_tune or rotate)

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Clip gradients at norm 1, as the authors do."""
        return {"gradient_clip_val": 1.0, "num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """Trained on images; anomalib has no name for labelled anomalies among them."""
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Adam with L2 weight decay, and steps of the learning rate."""
        epochs = int(self.trainer.max_epochs)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = Adam(trainable, lr=self.learning_rate, weight_decay=self.weight_decay)
        return [optimizer], [LambdaLR(optimizer, lambda epoch: learning_rate_factor(epoch, epochs, self.drop_every))]

    def on_train_start(self) -> None:
        """Fit the whitening to all training normals, in one pass that also fills the feature cache."""
        if self.whiten:
            self.model.whiten(self.training_images())

    def training_images(self) -> Iterator[Tensor]:
        """Every normal training image once, normalised (B, C, H, W), in the table's order."""
        return (batch.image for batch in training_batches(self))

    @property
    def feature_cache(self) -> Any:
        """The frozen backbone's cache, or None."""
        return getattr(self.model.feature_extractor, "cache", None)

    def colours(self, value: float) -> Tensor:
        """A grey of `value` in [0, 1] as images look to the model, (C, 1, 1)."""
        plain = torch.full((1, 3, 8, 8), value, device=self.device)
        return cast("Tensor", self.pre_processor(plain) if self.pre_processor else plain)[0, :, :1, :1]

    def augmented(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) as training shows them."""
        return rotated(images, self.colours(0.0)) if self.rotate else images

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch."""
        del args, kwargs
        return batch.update(**self.model(batch.image)._asdict())


def learning_rate_factor(epoch: int, epochs: int, drop_every: float) -> float:
    """A tenth of the learning rate after each share `drop_every` of the epochs."""
    return float(0.1 ** int(epoch / (drop_every * epochs) + 1e-9))
