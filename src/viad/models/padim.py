"""PaDiM (Defard et al., "PaDiM: a Patch Distribution Modeling Framework", ICPR 2021 workshops).

anomalib's module, with its Gaussians fitted in blocks and stored as triangles. One Gaussian
a position: at 256 px and 100 features their inverse covariances take 164 MB as anomalib
keeps them; the Cholesky factors of the inverses, lower triangles only, take half of that and give
the Mahalanobis distance as a plain norm, ||L^T (x - mean)||.
"""

from collections.abc import Sequence
from typing import Any

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components.base import DynamicBufferMixin
from anomalib.models.image import Padim as AnomalibPadim
from anomalib.models.image.padim.torch_model import PadimModel
from torch import Tensor, nn

from viad.artifacts.anomaly_maps import Recipe, resize_maps

REGULARISATION = 0.01  # paper, eq. 1
POSITIONS_AT_ONCE = 256


class Padim(AnomalibPadim):
    """PaDiM with compact Gaussians.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        n_features: channels kept, sampled at random (by the seeded global generator).
        options: as for anomalib's module.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels; the paper's smoothing

    def __init__(
        self, backbone: str, layers: Sequence[str], *, n_features: int, pre_trained: bool = True, **options: Any
    ) -> None:
        super().__init__(backbone, list(layers), pre_trained=False, n_features=n_features, **options)
        self.model = _CompactPadimModel(backbone, list(layers), pre_trained, n_features)


class _CompactPadimModel(PadimModel):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.gaussian = _Gaussians()

    def forward(self, input_tensor: Tensor) -> Tensor | InferenceBatch:
        """Training: store features. Inference: distances (B, 1, h, w), and the largest smoothed one an image."""
        embeddings = self.generate_embedding(self.feature_extractor(input_tensor))
        if self.training:
            self.memory_bank.append(embeddings)
            return embeddings
        distances = self.gaussian.distance(embeddings)
        height, width = input_tensor.shape[-2:]
        recipe = Recipe(height, width, Padim.MAP_INTERPOLATION, Padim.MAP_SIGMA)
        full = torch.from_numpy(resize_maps(distances.cpu().numpy(), recipe))
        return InferenceBatch(pred_score=full.amax(dim=(1, 2)).to(distances.device), anomaly_map=distances[:, None])


class _Gaussians(DynamicBufferMixin, nn.Module):
    """One multivariate Gaussian a position: means (D, P), packed inverse factors (P, D(D+1)/2)."""

    mean: Tensor
    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("factor", torch.empty(0))
        self._unpacked: Tensor | None = None

    def fit(self, embedding: Tensor) -> None:
        """Estimate from training features (N, D, h, w), N at least 2; covariance as in the paper's eq. 1."""
        count, features = embedding.shape[:2]
        flat = embedding.flatten(2)
        self.mean = flat.mean(dim=0)
        lower = torch.tril_indices(features, features)
        identity = torch.eye(features, device=embedding.device) * REGULARISATION
        packed = []
        for part, mean in zip(flat.split(POSITIONS_AT_ONCE, 2), self.mean.split(POSITIONS_AT_ONCE, 1), strict=True):
            centred = (part - mean).permute(2, 1, 0)
            covariance = centred @ centred.transpose(1, 2) / (count - 1) + identity
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
            packed.append(torch.linalg.cholesky(inverse)[:, lower[0], lower[1]])
        self.factor = torch.cat(packed)
        self._unpacked = None

    def distance(self, embedding: Tensor) -> Tensor:
        """Mahalanobis distance (paper, eq. 2) of features (B, D, h, w), as (B, h, w)."""
        delta = (embedding.flatten(2) - self.mean).permute(2, 0, 1)
        return torch.bmm(delta, self._factors()).norm(dim=2).T.reshape(len(embedding), *embedding.shape[2:])

    def _factors(self) -> Tensor:
        if self._unpacked is None or self._unpacked.device != self.factor.device:
            features = self.mean.shape[0]
            lower = torch.tril_indices(features, features)
            full = self.factor.new_zeros(len(self.factor), features, features)
            full[:, lower[0], lower[1]] = self.factor
            self._unpacked = full
        return self._unpacked
