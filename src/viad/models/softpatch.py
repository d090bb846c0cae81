"""SoftPatch (Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022).

An implementation from the method's formulas. PatchCore's memory bank, built from training images that may be
anomalous. At each grid position, the local outlier factor of every training patch among the
patches of that position tells how noisy it is; the noisiest share of all patches is left out of the
coreset, and those that stay weigh the distances to them with their factor: a patch
scores w d^2, d its distance to the nearest bank patch and w that one's factor.

Choices: k = 6 neighbours as the paper says (the authors' code swallows the argument and uses 5); no
centre crop; noisy patches are removed before the coreset is picked (the code zeroes their sampling
weight, yet may start with one of them); the coreset is the exact greedy one (`viad.models.components.coreset`),
its size a share of all patches, those left out included. The score is not min-max normalised.
The factors need the same position to show the same thing in most images.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from anomalib.data import InferenceBatch
from anomalib.models.components.base import DynamicBufferMixin
from sklearn.neighbors import LocalOutlierFactor
from torch import Tensor, nn

from viad.errors import DataError
from viad.models.components.coreset import coreset_size, greedy_coreset
from viad.models.components.patch_bank import PatchBankModule, nearest
from viad.models.components.patch_embedding import PatchFeatures

PROJECTED = 128  # dimensions in which outlier factors are measured and the coreset is picked


class SoftPatch(PatchBankModule):
    """SoftPatch as an anomalib module.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        pre_trained: load the backbone's weights.
        dimensions: D, values of a patch, and of each layer's share before the layers are joined.
        neighbors: k of the local outlier factor.
        noise_share: share of the training patches that is left out as noise.
        coreset_sampling_ratio: share of the training patches that the memory bank keeps.
        max_patches: the bank's size at most, whatever the ratio; None for no limit.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels, as the authors smooth

    def __init__(
        self, backbone: str, layers: Sequence[str], *, dimensions: int, neighbors: int, noise_share: float,
        coreset_sampling_ratio: float, max_patches: int | None, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        extractor = PatchFeatures(
            backbone, layers, per_layer=dimensions, dimensions=dimensions, pre_trained=pre_trained
        )
        self.model = SoftPatchModel(extractor)
        self.neighbors, self.noise_share = neighbors, noise_share
        self.coreset_sampling_ratio, self.max_patches = coreset_sampling_ratio, max_patches

    def fit(self) -> None:
        """Make the bank of the gathered patches.

        Raises:
            DataError: not more training images than neighbours.
        """
        patches = self.model.gathered()
        factors = outlier_factors(_projected(patches), self.neighbors).flatten()
        patches = patches.flatten(0, 1)
        count = coreset_size(len(patches), self.coreset_sampling_ratio, self.max_patches)
        kept = torch.from_numpy(np.flatnonzero(quiet(factors, self.noise_share))).to(patches.device)
        picks = kept[_coreset(patches[kept], min(count, len(kept)))]
        self.model.bank = patches[picks]
        self.model.weights = torch.from_numpy(factors).float().to(patches.device)[picks]


class SoftPatchModel(DynamicBufferMixin, nn.Module):
    """Patch features, and a bank of weighted patches."""

    bank: Tensor
    weights: Tensor

    def __init__(self, extractor: PatchFeatures) -> None:
        super().__init__()
        self.feature_extractor = extractor
        self.register_buffer("bank", torch.empty(0))
        self.register_buffer("weights", torch.empty(0))
        self._store: list[Tensor] = []

    def gather(self, images: Tensor) -> None:
        """Keep the patches of normalised training images (B, C, H, W)."""
        self._store.append(self.feature_extractor(images)["patches"].flatten(2).transpose(1, 2))

    def gathered(self) -> Tensor:
        """Hand over what was kept: (N, P, D), P grid positions."""
        patches = torch.cat(self._store)
        self._store.clear()
        return patches

    def forward(self, images: Tensor) -> InferenceBatch:
        """Maps (B, 1, h, w) of normalised images (B, C, H, W), and scores (B,), each the largest of its map."""
        patches = self.feature_extractor(images)["patches"]
        # Image by image, so that the search's blocks do not depend on the batch.
        scores = torch.stack([self.score(image.flatten(1).T) for image in patches])
        anomaly_map = scores.unflatten(1, patches.shape[2:])[:, None]
        return InferenceBatch(pred_score=scores.amax(dim=1), anomaly_map=anomaly_map)

    def score(self, patches: Tensor) -> Tensor:
        """w d^2 (P,) of patches (P, D)."""
        squared, found = nearest(patches, self.bank)
        return squared * self.weights[found]


def outlier_factors(patches: Tensor, neighbors: int) -> np.ndarray:
    """Local outlier factor (Breunig et al., 2000) of each patch among those of its position; near 1 if not an outlier.

    Args:
        patches: (N, P, D), N images with P grid positions.
        neighbors: k.

    Returns:
        (N, P) float64, above 0.

    Raises:
        DataError: N is not above k.
    """
    if len(patches) <= neighbors:
        raise DataError(
            f"{len(patches)} training images are too few for local outlier factors with {neighbors} neighbours. "
            "Use more images or lower model.small.args.neighbors."
        )
    found = np.empty(patches.shape[:2])
    for position in range(patches.shape[1]):
        one = LocalOutlierFactor(n_neighbors=neighbors, algorithm="brute")
        found[:, position] = -one.fit(patches[:, position].cpu().numpy()).negative_outlier_factor_
    return found


def quiet(factors: np.ndarray, noise_share: float) -> np.ndarray:
    """Which patches stay: those whose factor is not above the (1 - noise_share) quantile of all factors (M,)."""
    return cast("np.ndarray", factors <= np.quantile(factors, 1 - noise_share))


def _coreset(patches: Tensor, count: int) -> Tensor:
    start = int(torch.randint(len(patches), (1,)))
    return greedy_coreset(_projected(patches), count, start, show_progress=True)


def _projected(patches: Tensor) -> Tensor:
    """A random linear map of the last axis to fewer values, where there are more."""
    features = patches.shape[-1]
    if features <= PROJECTED:
        return patches
    # From the CPU's generator, so that a GPU draws the same.
    directions = torch.randn(features, PROJECTED) / features**0.5
    return patches @ directions.to(patches)
