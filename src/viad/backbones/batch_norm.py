"""Batch-norm folded into the convolution before it: one pass over memory less, at equal outputs."""

from collections.abc import Callable
from typing import Any, cast

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights


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
