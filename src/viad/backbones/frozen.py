"""A backbone as a detector uses it: frozen and made fast for its device, or trained with the detector."""

from typing import cast

import torch
from anomalib.models.components import TimmFeatureExtractor
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn

from viad.backbones.batch_norm import fold_batch_norm
from viad.backbones.feature_cache import FeatureCache
from viad.errors import ConfigError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def freeze(network: nn.Module) -> nn.Module:
    """Mark a network as one that never trains and is not saved with the model: its weights have their own source."""
    network.requires_grad_(requires_grad=False).eval()
    network.weights_from_source = True  # type: ignore[assignment]
    return network


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's state without frozen networks, on the CPU."""
    frozen = tuple(f"{name}." for name, m in model.named_modules() if getattr(m, "weights_from_source", False))
    return {k: v.detach().contiguous().cpu() for k, v in model.state_dict().items() if not k.startswith(frozen)}


class FrozenBackbone(nn.Module):
    """An anomalib feature extractor that never trains, made ready for its device.

    It runs with batch-norm folded into the convolutions, channels-last and, if
    asked, in bfloat16. Its weights are not part of a model's saved state: they are
    loaded from their own source. With a `cache`, an announced batch is computed once.

    Args:
        extractor: built with its weights; `out_dims` and layer names are kept.
        channels: 1 adapts the stem to grey images by summing its input channels; it then
            sees the first of the three equal channels in which such images travel.
        precision: float32 or bfloat16. Features are float32 either way.

    Raises:
        ConfigError: bfloat16 on a processor that has no instructions for it.
    """

    def __init__(self, extractor: TimmFeatureExtractor, *, channels: int = 3, precision: str = "float32") -> None:
        super().__init__()
        self.cache: FeatureCache | None = None
        self.dtype, self.channels = PRECISIONS[precision], channels
        if self.dtype == torch.bfloat16 and not _has_bfloat16():
            raise ConfigError("precision: this processor has no instructions for bfloat16. Use precision=float32.")
        network = cast("nn.Module", extractor.feature_extractor).eval().requires_grad_(requires_grad=False)
        if channels == 1:
            _adapt_stem(network)
        fold_batch_norm(network, channels)
        extractor.feature_extractor = network.to(self.dtype).to(memory_format=torch.channels_last)
        self.extractor = extractor
        self.out_dims = list(extractor.out_dims)
        self.layers = list(extractor.layers)
        freeze(self)

    def train(self, mode: bool = True) -> "FrozenBackbone":  # noqa: FBT001, FBT002  # nn.Module's signature
        """Stay in evaluation mode whatever the model around it does."""
        del mode
        return super().train(mode=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by layer.

        Args:
            images: (B, 3, H, W) float32, normalised for this backbone.

        Returns:
            layer name: (B, D, h, w) float32, contiguous in memory as (B, D, h, w).
        """
        if self.cache is None:
            return self._compute(images)
        return self.cache.features(images, lambda: self._compute(images))

    def _compute(self, images: Tensor) -> dict[str, Tensor]:
        images = images[:, : self.channels].to(self.dtype).contiguous(memory_format=torch.channels_last)
        features = self.extractor(images)
        return {layer: feature.float().contiguous() for layer, feature in features.items()}


class TunedBackbone(nn.Module):
    """An anomalib feature extractor that trains with its model and is saved with it.

    Args:
        extractor: built with its weights; `out_dims` and layer names are kept.
        channels: as for `FrozenBackbone`.
    """

    def __init__(self, extractor: TimmFeatureExtractor, *, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        network = cast("nn.Module", extractor.feature_extractor)
        if channels == 1:
            _adapt_stem(network)
        network.requires_grad_()
        self.network = network
        self.out_dims, self.layers = list(extractor.out_dims), list(extractor.layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by layer (B, D, h, w) of images (B, 3, H, W), with gradients."""
        return dict(zip(self.layers, self.network(images[:, : self.channels]), strict=True))


def _adapt_stem(network: nn.Module) -> None:
    stem = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    stem.weight = nn.Parameter(adapt_input_conv(1, stem.weight), requires_grad=False)
    stem.in_channels = 1


def _has_bfloat16() -> bool:
    return torch.cuda.is_available() or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
