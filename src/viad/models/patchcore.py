"""PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022).

anomalib's module, with its two slow parts replaced by ones that give the same result:
the greedy coreset (`viad.models.components.coreset`) and the nearest-neighbour search. Two choices differ
from anomalib: the sparse random projection is left out where it would not make the
patches smaller, and maps are upsampled bilinearly, as the paper does.
"""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from anomalib.models.components import SparseRandomProjection
from anomalib.models.image import Patchcore as AnomalibPatchcore
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from sklearn.random_projection import johnson_lindenstrauss_min_dim
from torch import Tensor, nn

from viad.models.components.coreset import coreset_size, greedy_coreset
from viad.models.components.patch_bank import nearest

PROJECTION_EPS = 0.9  # as the authors' code

logger = logging.getLogger(__name__)


class Patchcore(AnomalibPatchcore):
    """PatchCore with an exact lazy coreset.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        coreset_sampling_ratio: share of the training patches that the memory bank keeps.
        num_neighbors: neighbours in the bank that weigh the image score (paper, eq. 7).
        max_patches: the bank's size at most, whatever the ratio; None for no limit.
        options: as for anomalib's module.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels; the paper's smoothing

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        *,
        coreset_sampling_ratio: float,
        num_neighbors: int,
        max_patches: int | None = None,
        pre_trained: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            backbone, layers, pre_trained=False, coreset_sampling_ratio=coreset_sampling_ratio,
            num_neighbors=num_neighbors, **options,
        )  # fmt: skip
        self.model = _LazyPatchcoreModel(layers, backbone, pre_trained, num_neighbors)
        self.max_patches = max_patches

    def fit(self) -> None:
        """Reduce the training patches to the memory bank."""
        self.model.subsample(self.coreset_sampling_ratio, self.max_patches)


class _LazyPatchcoreModel(PatchcoreModel):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.anomaly_map_generator = _PatchScores()

    def subsample(self, ratio: float, limit: int | None) -> None:
        """Pick the coreset out of the stored patches (paper, algorithm 1)."""
        patches = torch.vstack(self.embedding_store)
        self.embedding_store.clear()
        count = coreset_size(len(patches), ratio, limit)
        logger.info("PatchCore: keeping %d of %d patches of %d features", count, *patches.shape)
        start = int(torch.randint(len(patches), (1,)))
        picks = greedy_coreset(_projected(patches), count, start, show_progress=True)
        self.memory_bank = patches[picks]

    def nearest_neighbors(self, embedding: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
        """Distances to and indices of the nearest bank patches, both (P, n_neighbors).

        For one neighbour: as anomalib's, without forming what is not needed.
        """
        if n_neighbors != 1:
            return super().nearest_neighbors(embedding, n_neighbors)
        squared, found = nearest(embedding, self.memory_bank)
        return squared.sqrt(), found


class _PatchScores(nn.Module):
    """Return patch scores as they are: predict stores them small, and `resize_maps` smooths them."""

    def forward(self, patch_scores: Tensor, image_size: object = None) -> Tensor:
        del image_size
        return patch_scores


def _projected(patches: Tensor) -> Tensor:
    if johnson_lindenstrauss_min_dim(len(patches), eps=PROJECTION_EPS) >= patches.shape[1]:
        return patches
    projection = SparseRandomProjection(eps=PROJECTION_EPS)
    projection.fit(patches)
    return projection.transform(patches)
