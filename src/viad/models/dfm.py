"""DFM (Ahuja et al., "Probabilistic Modeling of Deep Features for Out-of-Distribution and Adversarial Detection").

Pooled features of an image form one vector; principal components of the training vectors span the
normal ones. The score is what lies outside that span, the feature reconstruction error (Ndiour et
al., 2020), or the negative log-likelihood of a Gaussian inside it.

anomalib's module, with these differences. The components are found as batches come in (Ross et
al., "Incremental Learning for Robust Visual Tracking", IJCV 2008), so memory is bounded by `max_components`;
up to so many training images the result is exact. As many components stay as reach the asked share of
the variance; anomalib keeps one fewer. In the span the Gaussian's axes are the components
themselves, so it needs no fit of its own (anomalib's fails with this torch). Several
layers are pooled to one grid and joined. The likelihood has no map of its own and comes with the one of
the reconstruction error.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.components.base import DynamicBufferMixin
from anomalib.models.image import Dfm as AnomalibDfm
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from viad.config.params import one_of

SCORE_TYPES = ("fre", "nll")
FEATURES_AT_ONCE = 4096


class Dfm(AnomalibDfm):
    """DFM with streamed principal components.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        pooling_kernel_size: the last layer's grid is averaged in squares of this side; finer layers are averaged to
            the same grid.
        pca_level: share of the variance that the components keep, in (0, 1].
        score_type: fre (squared feature reconstruction error) or nll (negative log-likelihood in the span).
        max_components: that are kept while streaming.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module.

    Raises:
        ConfigError: an unknown score type.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0

    def __init__(
        self, backbone: str, layers: Sequence[str], *, pooling_kernel_size: int, pca_level: float, score_type: str,
        max_components: int, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        one_of("model args score_type", score_type, SCORE_TYPES)
        super().__init__(backbone, layers[0], pre_trained=False, score_type=score_type, **options)
        self.model = DfmModel(
            TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval(), pooling_kernel_size,
            StreamedPCA(pca_level, max_components), score_type,
        )  # fmt: skip


class DfmModel(nn.Module):
    """Backbone, pooling and principal components."""

    def __init__(self, extractor: TimmFeatureExtractor, kernel_size: int, pca: "StreamedPCA", score_type: str) -> None:
        super().__init__()
        self.feature_extractor, self.pca = extractor, pca
        self.layers = list(extractor.layers)
        self.kernel_size, self.score_type = kernel_size, score_type

    def pooled(self, images: Tensor) -> Tensor:
        """Features (B, D, h, w) of normalised images (B, C, H, W): all layers averaged to one grid."""
        features = self.feature_extractor(images)
        height, width = features[self.layers[-1]].shape[-2:]
        grid = (max(1, height // self.kernel_size), max(1, width // self.kernel_size))
        return torch.cat([F.adaptive_avg_pool2d(features[layer], grid) for layer in self.layers], dim=1)

    def fit(self) -> None:
        """Find the components of all images seen in training mode."""
        self.pca.finish()

    def forward(self, images: Tensor) -> Tensor | InferenceBatch:
        """Training: feed the features to the components. Inference: scores (B,) and maps (B, 1, h, w)."""
        features = self.pooled(images)
        if self.training:
            self.pca.add(features.flatten(1))
            return features
        coordinates, rest = self.pca.split(features.flatten(1))
        squares = rest.square().view_as(features)
        if self.score_type == "nll":
            variances = self.pca.variances
            score = (coordinates.square() / variances).sum(dim=1) + variances.log().sum()
        else:
            score = squares.flatten(1).sum(dim=1)
        return InferenceBatch(pred_score=score, anomaly_map=squares.sum(dim=1, keepdim=True))


class StreamedPCA(DynamicBufferMixin):
    """Principal components of rows that come in pieces.

    Of the rows seen so far it holds their number, their mean and `rows` whose products give their scatter matrix:
    rows^T rows = sum (x - mean)(x - mean)^T, cut to `limit` of the greatest directions.

    Args:
        level: share of the variance that the components keep.
        limit: directions kept while streaming; rows wait until there are so many of them.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, level: float, limit: int) -> None:
        super().__init__()
        self.level, self.limit = level, limit
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("components", torch.empty(0))
        self.register_buffer("variances", torch.empty(0))
        self._forget()

    def _forget(self) -> None:
        self._waiting: list[Tensor] = []
        self._rows: Tensor | None = None
        self._count, self._scatter = 0, 0.0

    @torch.no_grad()
    def add(self, rows: Tensor) -> None:
        """Take in rows (N, D) float32."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= self.limit:
            self._merge()

    def _merge(self) -> None:
        if not self._waiting:
            return
        new = torch.cat(self._waiting)
        self._waiting = []
        mean, count = new.mean(dim=0), len(new)
        parts = [new.sub_(mean)]
        if self._rows is not None:
            total = self._count + count
            parts += [self._rows, (mean - self.mean)[None] * math.sqrt(self._count * count / total)]
            mean, count = self.mean + (mean - self.mean) * (count / total), total
            self._scatter += float(parts[2].double().square().sum())
        self._scatter += float(parts[0].double().square().sum())
        self.mean, self._count = mean, count
        stacked = torch.cat(parts)
        vectors = torch.linalg.eigh(_gram(stacked)).eigenvectors
        top = vectors.flip(1)[:, : self.limit].to(stacked.dtype)
        self._rows = top.T @ stacked

    @torch.no_grad()
    def finish(self) -> None:
        """Set mean (D,), components (K, D) and their variances (K,), and forget the rows."""
        self._merge()
        rows = cast("Tensor", self._rows)
        squares = rows.double().square().sum(dim=1)
        reached = squares.cumsum(0) / self._scatter
        # Rounding leaves directions without any variance, which a level of 1 must not take in.
        meaningful = int((squares > 1e-10 * squares[0]).sum())
        kept = min(int((reached < self.level).sum()) + 1, meaningful)
        self.components = rows[:kept] / squares[:kept, None].sqrt().float()
        self.variances = (squares[:kept] / self._count).float()
        self._forget()

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (N, K) of rows (N, D) along the components, and what is left of the rows outside them (N, D)."""
        centred = rows - self.mean
        coordinates = centred @ self.components.T
        return coordinates, centred - coordinates @ self.components


def _gram(rows: Tensor) -> Tensor:
    """All inner products of the rows, in double precision."""
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in rows.split(FEATURES_AT_ONCE, dim=1):
        wide = part.double()
        gram.addmm_(wide, wide.T)
    return gram
