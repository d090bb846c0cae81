"""GLASS (Chen et al., "A Unified Anomaly Synthesis Strategy with Gradient Ascent for Industrial Anomaly Detection and
Localization", ECCV 2024).

A linear layer adapts frozen patch features; a discriminator learns to tell normal ones (output 0) from two
kinds of made ones (output 1). Global anomalies are normal features plus Gaussian noise, driven on by
gradient ascent of the discriminator's loss and kept at a distance from the normal ones by truncated
projection. Local anomalies are features of images in which textures were pasted. anomalib's networks and
losses, around a step written from the paper's formulas.

Where anomalib differs from the paper or its code, we follow those: the backbone stays frozen whether or not it is
pre-trained; textures come from a folder or from `viad.models.components.textures` and never are plain noise;
opacity is drawn from N(0.5, 0.1) within [0.2, 0.8]; masks are one, the union or the overlap of two; the centre
is measured on normalised images, and only where it is used. Of the paper's two hypotheses,
`hypersphere` takes the one with a centre; the authors choose one for each category, after looking at it, and
also draw foreground masks and keep the best epoch on the test set: none of these here.

The noise, its radius (0.5) and the step of ascent (0.001) are in units of Wide ResNet-50's features.
`standardize` (not in the paper) scales features to unit variance by their training statistics, so that `noise` becomes
a share of their deviation; radius and step keep their proportion to the noise's length.
`patches_per_step` (not in the paper) trains each step on a random subset of the batch's patches.
The image score is the largest logit: it orders images as the paper's probability, and does not saturate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.image import Glass as AnomalibGlass
from anomalib.models.image.glass.components import Discriminator, Projection
from anomalib.models.image.glass.loss import FocalLoss
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, AdamW, Optimizer

from viad.models.components.channel_statistics import ChannelScale, standardize, training_batches
from viad.models.components.patch_embedding import PatchFeatures
from viad.models.components.texture_anomalies import TextureAnomalies
from viad.models.components.textures import Textures

NOISE_LENGTH = 0.015 * math.sqrt(1536)  # of the paper's noise; what follows is measured against it
RADIUS, ASCENT = 0.5 / NOISE_LENGTH, 0.001 / NOISE_LENGTH
PROJECT_EVERY = 5  # steps of ascent
RADIUS_QUANTILE = 0.75  # of the distances to the centre
HARD_QUANTILE = 0.5  # the worse half of the local anomalies' errors counts
WEIGHT_DECAY = 1e-5


@dataclass(frozen=True)
class Synthesis:
    """How global anomalies are made: noise (deviation a dimension), steps of ascent, and which hypothesis."""

    noise: float
    steps: int
    hypersphere: bool


class Glass(AnomalibGlass):
    """GLASS on a frozen backbone.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        pre_trained: load the backbone's weights.
        textures: a folder of textures, or None for synthetic ones (see `viad.models.components.textures`).
        dimensions: D, values of a patch, and of each layer's share before the layers are joined.
        hidden: width of the discriminator.
        noise: standard deviation of the noise on adapted features.
        standardize: scale features to zero mean and unit variance over the training images.
        ascent_steps: of gradient ascent.
        hypersphere: keep anomalies away from a centre, not from their own normal feature.
        patches_per_step: patches sampled from each batch at most; None takes all.
        learning_rate: of the adaptor; the discriminator has twice as much.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels, as the authors smooth
    CACHES_FEATURES = True  # those of the images as they are; `training_step` keeps textures out

    def __init__(
        self, backbone: str, layers: Sequence[str], *, textures: str | None, dimensions: int, hidden: int,
        noise: float, standardize: bool, ascent_steps: int, hypersphere: bool, patches_per_step: int | None,
        learning_rate: float, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibGlass, self).__init__(**options)  # anomalib's own constructor may download DTD
        extractor = PatchFeatures(
            backbone, layers, per_layer=dimensions, dimensions=dimensions, pre_trained=pre_trained
        )
        self.model = GlassModel(extractor, dimensions, hidden, Synthesis(noise, ascent_steps, hypersphere))
        self.textures, self.standardize = textures, standardize
        self.patches_per_step, self.learning_rate = patches_per_step, learning_rate
        self.automatic_optimization = False

    def configure_optimizers(self) -> list[Optimizer]:
        """AdamW for the discriminator, Adam for the adaptor, no schedule."""
        return [
            AdamW(self.model.discriminator.parameters(), lr=2 * self.learning_rate),
            Adam(self.model.projection.parameters(), lr=self.learning_rate, weight_decay=WEIGHT_DECAY),
        ]

    def on_train_start(self) -> None:
        """Find the textures; measure the patches' mean and variance in one pass over the training images."""
        self.anomalies = TextureAnomalies(
            Textures(self.textures, self.input_size), _opacity, probability=1, combined=True
        )
        if self.standardize:
            standardize(self, [self.model.scale], lambda images: [self.model.patches(images)])

    @torch.no_grad()
    def on_train_epoch_start(self) -> None:
        """Measure the centre : the adapted features' mean over the images, a position each."""
        if not self.model.synthesis.hypersphere:
            return
        total, count = torch.zeros((), device=self.device), 0
        for batch in training_batches(self):
            total = total + self.model.adapted(self.model.patches(batch.image)).sum(dim=0)
            count += len(batch.image)
        self.center = total / count

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """One step of both optimisers."""
        del args, kwargs
        patches = self.model.patches(batch.image)
        self._do_not_cache()
        changed, mask = self._with_textures(batch.image)
        pasted = self.model.patches(changed)
        loss = self._loss(patches, pasted, F.adaptive_max_pool2d(mask, patches.shape[2:]))
        optimizers = cast("list[Optimizer]", self.optimizers())
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(patches))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images: that of normal and of noisy patches."""
        del args, kwargs
        patches = self.model.patches(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            adapted = self.model.adapted(patches[normal]).flatten(0, 1)
            noisy = adapted + self.model.synthesis.noise * torch.randn_like(adapted)
            loss = discrimination_loss(self.model.discriminator(torch.cat([adapted, noisy])))
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model.scores(patches)._asdict())

    def _loss(self, patches: Tensor, pasted: Tensor, mask: Tensor) -> Tensor:
        normal, local = (self.model.adapted(x) for x in (patches, pasted))
        center = self.center.expand_as(normal) if self.model.synthesis.hypersphere else normal.detach()
        rows = [x.flatten(0, 1) for x in (normal, local, center)]
        chosen = self._drawn(len(rows[0]))
        return self.model.loss(*(x[chosen] for x in rows), mask=mask.flatten()[chosen])

    def _drawn(self, count: int) -> Tensor:
        limit = count if self.patches_per_step is None else self.patches_per_step
        return torch.randperm(count, device=self.device)[:limit]

    def _with_textures(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) with a texture in each, and the masks (B, 1, H, W)."""
        mean, deviation = (images.new_tensor(x).view(3, 1, 1) for x in self._extract_normalize_params())
        changed, mask = self.anomalies(images * deviation + mean)
        return (changed - mean) / deviation, mask

    def _do_not_cache(self) -> None:
        """What the backbone sees next in this step are other images than those announced."""
        if (cache := getattr(self.model.feature_extractor, "cache", None)) is not None:
            cache.announce(None)


class GlassModel(nn.Module):
    """Patch features, adaptor, discriminator, and the loss of a step."""

    def __init__(self, extractor: PatchFeatures, dimensions: int, hidden: int, synthesis: Synthesis) -> None:
        super().__init__()
        self.feature_extractor = extractor
        self.projection = Projection(dimensions, dimensions, 1)
        self.discriminator = Discriminator(dimensions, hidden=hidden)
        self.focal_loss = FocalLoss()
        self.synthesis = synthesis
        length = synthesis.noise * math.sqrt(dimensions)
        self.radius, self.ascent = RADIUS * length, ASCENT * length
        self.scale = ChannelScale(dimensions)

    def patches(self, images: Tensor) -> Tensor:
        """Patches (B, D, h, w) of normalised images (B, C, H, W)."""
        return self.feature_extractor(images)["patches"]

    def adapted(self, patches: Tensor) -> Tensor:
        """Adapted features (B, h w, D) of patches (B, D, h, w)."""
        return self.projection(self.scale(patches).flatten(2).transpose(1, 2))

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores and maps of normalised images (B, C, H, W)."""
        return self.scores(self.patches(images))

    def scores(self, patches: Tensor) -> InferenceBatch:
        """Maps (B, 1, h, w), probabilities, of patches (B, D, h, w), and scores (B,), the largest logits."""
        adapted = self.adapted(patches)
        logits = self.discriminator.tail[0](self.discriminator.body(adapted.flatten(0, 1)))
        grid = logits.view(len(patches), 1, *patches.shape[2:])
        return InferenceBatch(pred_score=grid.amax(dim=(1, 2, 3)), anomaly_map=grid.sigmoid())

    def loss(self, normal: Tensor, local: Tensor, center: Tensor, *, mask: Tensor) -> Tensor:
        """The loss of a step.

        Args:
            normal: adapted features (P, D) of images as they are.
            local: those of the same places with textures.
            center: (P, D); read under the hypersphere hypothesis alone.
            mask: (P,), 1 where a texture lies.
        """
        outer = self._outer_radius(normal, local, center, mask) if self.synthesis.hypersphere else None
        globally = self._ascended(normal, center, outer)
        bce = discrimination_loss(self.discriminator(torch.cat([normal, globally])))
        if outer is not None:
            local = torch.where(mask[:, None] > 0, truncated(local, center, 2 * outer, 4 * outer), local)
        return bce + self._focal(self.discriminator(local).squeeze(1), mask)

    def _outer_radius(self, normal: Tensor, local: Tensor, center: Tensor, mask: Tensor) -> Tensor:
        clean = mask == 0
        distances = torch.cat([(local - center)[clean], normal - center]).norm(dim=1)
        return distances.detach().quantile(RADIUS_QUANTILE)

    def _ascended(self, normal: Tensor, center: Tensor, outer: Tensor | None) -> Tensor:
        """Global anomalies (P, D): noisy normal features after gradient ascent and truncated projection."""
        points = normal + self.synthesis.noise * torch.randn_like(normal)
        for step in range(self.synthesis.steps):
            outputs = self.discriminator(torch.cat([normal.detach(), points]))[len(normal) :]
            gradient = torch.autograd.grad(F.binary_cross_entropy(outputs, torch.ones_like(outputs)), points)[0]
            points = points + self.ascent * gradient / (gradient.norm(dim=1, keepdim=True) + 1e-10)
            if (step + 1) % PROJECT_EVERY == 0:
                points = (
                    truncated(points, normal, self.radius, 2 * self.radius)
                    if outer is None
                    else truncated(points, center, outer, 2 * outer)
                )
        return points

    def _focal(self, outputs: Tensor, mask: Tensor) -> Tensor:
        errors = (outputs - mask).square().detach()
        hard = errors >= errors.quantile(HARD_QUANTILE)
        chosen = outputs[hard, None]
        return self.focal_loss(torch.cat([1 - chosen, chosen], dim=1), mask[hard, None])


def truncated(points: Tensor, origin: Tensor, least: Tensor | float, greatest: Tensor | float) -> Tensor:
    """Points (P, D) moved along their rays from `origin` (P, D) until their distance lies within the limits."""
    ray = points - origin
    length = ray.norm(dim=1, keepdim=True)
    return origin + ray * length.clamp(least, greatest) / (length + 1e-10)


def discrimination_loss(outputs: Tensor) -> Tensor:
    """Cross-entropies of outputs (2 P, 1), the first half normal and the second anomalous, added."""
    normal, anomalous = outputs.chunk(2)
    return F.binary_cross_entropy(normal, torch.zeros_like(normal)) + F.binary_cross_entropy(
        anomalous, torch.ones_like(anomalous)
    )


def _opacity() -> float:
    return min(max(0.5 + 0.1 * float(torch.randn(())), 0.2), 0.8)
