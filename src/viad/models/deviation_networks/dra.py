"""DRA (Ding et al., "Catching Both Gray and Black Swans: Open-set Supervised Anomaly Detection", CVPR 2022).

Written from the paper's formulas. Four heads share a backbone and its two-scale pyramid: one learns
the labelled anomalies, one pseudo anomalies made by cut and paste, one the difference of an image's
features from those of normal references, and one, holistic, what is normal. Each is trained with the
deviation loss; the score is the first three minus the last.

Choices:
- References are normal training images, evenly spaced in the table and unchanged. Their mean features
  are stored with the model, so a score depends on nothing but its image. The authors' code draws references anew for
  every batch, in testing too; the paper's eq. 6 fixes them.
- Half of a batch's normal images become pseudo anomalies; the authors toss a coin for each.
- Learning rate and weight decay are those of the authors' code (2e-4, 1e-5), which later work
  keeps; the paper's text has 1e-3 and 1e-2. The rate falls at thirds of the training.
- The paper has no map. Ours adds |score| of the three patch-wise heads, upsampled and averaged over scales.
- Whitening (`viad.models.deviation_networks.deviation`) is ours, and off in the paper's settings.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components.base import DynamicBufferMixin
from torch import Tensor, nn
from torchvision.transforms.v2 import ColorJitter

from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.models.deviation_networks.deviation import (
    SCALES,
    DeviationModule,
    PyramidModel,
    deviation_loss,
    mean_magnitude,
    top_k_score,
)

PSEUDO = 2  # beside NORMAL and ANOMALOUS
PASTED_AREA = (0.02, 0.15)  # shares of the image
NARROWEST = 0.3  # width to height of a pasted rectangle, or height to width
JITTER = 0.1  # of brightness, contrast, saturation and hue
HOLISTIC_WIDTH = 256


class DRA(DeviationModule):
    """DRA as an anomalib module.

    Args:
        backbone: a timm name.
        layers: feature layers, concatenated at the first one's grid.
        references: how many normal images the residual head compares with.
        fine_tune: train the backbone too.
        pre_trained: load the backbone's weights.
        options: as for `DeviationModule`.
    """

    model: "DRAModel"

    def __init__(
        self, backbone: str, layers: Sequence[str], *, references: int, fine_tune: bool, pre_trained: bool = True,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(fine_tune=fine_tune, **options)
        self.model = DRAModel(backbone, layers, pre_trained=pre_trained, fine_tune=fine_tune)
        self.references = references
        self.jitter = ColorJitter(JITTER, JITTER, JITTER, JITTER)

    def on_train_start(self) -> None:
        """Fit the whitening, and take the reference images: the same after a resume."""
        super().on_train_start()
        dataset = self.trainer.train_dataloader.dataset
        normals = [row for row, label in enumerate(dataset.labels) if label == NORMAL]
        rows = [normals[i * len(normals) // self.references] for i in range(self.references)]
        images = torch.stack([dataset[row].image for row in rows]).to(self.device)
        self.reference_images = self.pre_processor(images)
        self.model.set_references(self.reference_images)

    def on_validation_start(self) -> None:
        """A backbone that trains sees the references differently now."""
        if self.trains_backbone:
            self.model.set_references(self.reference_images)

    def on_train_end(self) -> None:
        """The references as inference will see them."""
        if self.trains_backbone:
            self.model.set_references(self.reference_images)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Sum of the four heads' deviation losses."""
        del args, kwargs
        kinds = batch.gt_label.long()
        normals = (kinds == NORMAL).nonzero().flatten().tolist()
        pasted = normals[: len(normals) // 2]  # the loader has shuffled them
        kept = [row for row in range(len(kinds)) if row not in set(pasted)]
        pyramid, references = self._features(batch, kept, self.pseudo_anomalies(batch.image[pasted]))
        kinds = torch.cat([kinds[kept], kinds.new_full((len(pasted),), PSEUDO)])
        loss = dra_loss(self.model.scores(pyramid, references), kinds)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(kinds))
        return loss

    def _features(self, batch: Batch, kept: list[int], pseudo: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Two-scale features of the kept images, then the pseudo anomalies; and the references' mean features."""
        if self.trains_backbone:  # all in one pass: they share the batch normalisation
            images = self.augmented(torch.cat([batch.image[kept], pseudo]))
            together = self.model.pyramid(torch.cat([self.reference_images, images]))
            return [x[self.references :] for x in together], [x[: self.references].mean(dim=0) for x in together]
        if (cache := self.feature_cache) is not None:
            cache.announce([batch.image_path[row] for row in kept])
        known = self.model.pyramid(self.augmented(batch.image[kept]))
        if cache is not None:
            cache.announce(None)  # pseudo anomalies are new every time
        parts = [known, self.model.pyramid(self.augmented(pseudo))] if len(pseudo) else [known]
        return [torch.cat(scales) for scales in zip(*parts, strict=True)], self.model.references

    def pseudo_anomalies(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W), each with a rectangle of it pasted elsewhere in changed colours."""
        black, white = self.colours(0.0), self.colours(1.0)
        plain = ((images - black) / (white - black)).clamp(0, 1)
        pasted = [cut_and_paste(image, self.jitter) for image in plain]
        return torch.stack(pasted) * (white - black) + black if pasted else images


class DRAModel(DynamicBufferMixin, PyramidModel):
    """Backbone, four heads, and the references' mean features, one (D, h, w) a scale."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen = nn.Conv2d(self.channels, 1, 1)
        self.pseudo = nn.Conv2d(self.channels, 1, 1)
        self.residual = nn.Sequential(
            nn.Conv2d(self.channels, self.channels, 3, padding=1),
            nn.BatchNorm2d(self.channels),
            nn.ReLU(),
            nn.Conv2d(self.channels, 1, 1),
        )
        self.holistic = nn.Sequential(nn.Linear(self.channels, HOLISTIC_WIDTH), nn.ReLU(), nn.Linear(HOLISTIC_WIDTH, 1))
        for i in range(SCALES):
            self.register_buffer(f"reference_{i}", torch.empty(0))

    @property
    def references(self) -> list[Tensor]:
        """Mean features of the references, one (D, h, w) a scale."""
        return [getattr(self, f"reference_{i}") for i in range(SCALES)]

    @torch.no_grad()
    def set_references(self, images: Tensor) -> None:
        """Compare with the mean features of these normalised images (N, C, H, W) from now on."""
        training = self.training
        self.eval()
        for i, features in enumerate(self.pyramid(images)):
            setattr(self, f"reference_{i}", features.mean(dim=0))
        self.train(training)

    def score_maps(self, pyramid: list[Tensor], references: list[Tensor]) -> dict[str, list[Tensor]]:
        """What the patch-wise heads give to every position: maps (B, 1, h, w), one a scale."""
        return {
            "seen": [self.seen(x) for x in pyramid],
            "pseudo": [self.pseudo(x) for x in pyramid],
            "residual": [self.residual(r - x) for x, r in zip(pyramid, references, strict=True)],
        }

    def scores(self, pyramid: list[Tensor], references: list[Tensor]) -> dict[str, Tensor]:
        """Each head's score (B,), averaged over scales."""
        maps = self.score_maps(pyramid, references)
        scores = {head: _mean([top_k_score(m) for m in scales]) for head, scales in maps.items()}
        return scores | {"holistic": self._holistic(pyramid)}

    def _holistic(self, pyramid: list[Tensor]) -> Tensor:
        return _mean([self.holistic(x.mean(dim=(2, 3))).flatten().abs() for x in pyramid])

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the first layer's grid of images (B, C, H, W)."""
        pyramid = self.pyramid(images)
        maps = self.score_maps(pyramid, self.references)
        score = torch.stack([_mean([top_k_score(m) for m in scales]) for scales in maps.values()]).sum(dim=0)
        anomaly_map = torch.stack([mean_magnitude(scales) for scales in maps.values()]).sum(dim=0)
        return InferenceBatch(pred_score=score - self._holistic(pyramid), anomaly_map=anomaly_map)


def _mean(scales: list[Tensor]) -> Tensor:
    return torch.stack(scales).mean(dim=0)


def dra_loss(scores: dict[str, Tensor], kinds: Tensor) -> Tensor:
    """Sum of the heads' deviation losses.

    Args:
        scores: of each head (B,).
        kinds: (B,), NORMAL, ANOMALOUS (labelled) or PSEUDO. The heads for seen and for pseudo anomalies do
            not see each other's; the holistic one is to give normal images the high scores.
    """
    no_pseudo, no_known = kinds != PSEUDO, kinds != ANOMALOUS
    return (
        deviation_loss(scores["seen"][no_pseudo], kinds[no_pseudo] == ANOMALOUS)
        + deviation_loss(scores["pseudo"][no_known], kinds[no_known] == PSEUDO)
        + deviation_loss(scores["residual"], kinds != NORMAL)
        + deviation_loss(scores["holistic"], kinds == NORMAL)
    )


def cut_and_paste(image: Tensor, jitter: nn.Module) -> Tensor:
    """A copy of an image (C, H, W) in [0, 1] with one of its rectangles, its colours jittered, at another place."""
    height, width = image.shape[-2:]
    area = float(torch.empty(()).uniform_(*PASTED_AREA)) * height * width
    ratio = math.exp(float(torch.empty(()).uniform_(math.log(NARROWEST), -math.log(NARROWEST))))
    tall = max(1, min(round(math.sqrt(area / ratio)), height))
    wide = max(1, min(round(math.sqrt(area * ratio)), width))
    (y, x), (to_y, to_x) = (
        (int(torch.randint(height - tall + 1, ())), int(torch.randint(width - wide + 1, ()))) for _ in range(2)
    )
    pasted = image.clone()
    pasted[:, to_y : to_y + tall, to_x : to_x + wide] = jitter(image[:, y : y + tall, x : x + wide])
    return pasted
