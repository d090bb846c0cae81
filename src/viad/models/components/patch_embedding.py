"""The patch embedding that PatchCore introduced (Roth et al., CVPR 2022) and others took over as it is.

A patch is a 3x3 window of features. Per layer, its values (channel, row, column) are averaged
down to a fixed number; coarser layers are brought to the finest one's grid; the layers are then
stacked and averaged down once more. So a patch keeps some of the window's layout, which a plain
average over the window would lose. Each step is linear, and averaging (over channels) and
resizing (over positions) do not touch each other: averaging first gives the same for less work.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from viad.errors import ConfigError

WINDOW = 3


class PatchFeatures(TimmFeatureExtractor):
    """A feature extractor that hands out patches, so that a feature cache keeps them and nothing else.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        per_layer: values that each layer's window is averaged to.
        dimensions: D, values of a patch.
        blocks: take these blocks of each layer, by their index, and not its last one alone.
        pre_trained: load the backbone's weights.

    Raises:
        ConfigError: a layer has no such block.
    """

    def __init__(
        self, backbone: str, layers: Sequence[str], *, per_layer: int, dimensions: int,
        blocks: Sequence[Sequence[int]] | None = None, pre_trained: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(backbone, list(layers), pre_trained=pre_trained)
        self.eval()
        self.per_layer, self.dimensions, self.out_dims = per_layer, dimensions, [dimensions]
        self._outputs: list[Tensor] = []
        self._from_blocks = blocks is not None
        if blocks is not None:
            self._listen(layers, blocks)

    def _listen(self, layers: Sequence[str], blocks: Sequence[Sequence[int]]) -> None:
        network = cast("nn.Module", self.feature_extractor)
        names = [f"{layer}.{i}" for layer, chosen in zip(layers, blocks, strict=True) for i in chosen]
        try:
            for name in names:
                network.get_submodule(name).register_forward_hook(self._keep)
        except AttributeError as error:
            raise ConfigError(
                f"backbone {self.backbone}: {error}. The model's `blocks` are those of Wide ResNet-50; "
                "set blocks to null to use the last block of each layer."
            ) from error

    def _keep(self, block: nn.Module, inputs: Any, output: Tensor) -> None:
        del block, inputs
        self._outputs.append(output)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Patches (B, D, h, w) float32 on the finest layer's grid, under the name "patches"."""
        self._outputs = []
        features = list(super().forward(inputs).values())
        if self._from_blocks:
            features, self._outputs = self._outputs, []
        return {"patches": embed(features, self.per_layer, self.dimensions)}


def embed(features: Sequence[Tensor], per_layer: int, dimensions: int) -> Tensor:
    """Patches of features.

    Args:
        features: (B, D_l, h_l, w_l) a layer, the finest first.
        per_layer: values that each layer's window is averaged to.
        dimensions: D, values of a patch.

    Returns:
        (B, D, h, w) float32, h and w those of the first layer.
    """
    size = features[0].shape[-2:]
    layers = []
    for feature in features:
        windows = F.unfold(feature.float(), WINDOW, padding=WINDOW // 2)
        pooled = _average(windows, per_layer).unflatten(-1, feature.shape[-2:])
        if pooled.shape[-2:] != size:
            pooled = F.interpolate(pooled, size=size, mode="bilinear", align_corners=False)
        layers.append(pooled.flatten(2))
    return _average(torch.cat(layers, dim=1), dimensions).unflatten(-1, size)


def _average(values: Tensor, count: int) -> Tensor:
    """Adaptive average pooling of (B, values, P) to (B, count, P)."""
    return F.adaptive_avg_pool2d(values, (count, values.shape[-1]))
