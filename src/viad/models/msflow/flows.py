"""MSFlow's couplings: the parallel flow of each scale, and the fusion flow over all scales together."""

from collections.abc import Sequence

import torch
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

CONDITION_CHANNELS = 64
CLAMP = 1.9  # alpha: how far a coupling can stretch, exp(1.9) at most
OUTPUT_LIMIT = 1e6


class FusionFlow(nn.Module):
    """One affine coupling over all scales: each half of the channels is changed by the other half of every scale."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = [c - c // 2 for c in channels]
        second = [c // 2 for c in channels]
        for i, c in enumerate(channels):
            self.register_buffer(f"permutation_{i}", torch.randperm(c))
        self.from_second = _FusionNet(second, self.first)
        self.from_first = _FusionNet(self.first, second)

    def forward(self, xs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs shaped like the inputs (B, D, h, w) a scale, and the log-determinant (B,)."""
        mixed = [x[:, getattr(self, f"permutation_{i}")] for i, x in enumerate(xs)]
        first = [x[:, :c] for x, c in zip(mixed, self.first, strict=True)]
        second = [x[:, c:] for x, c in zip(mixed, self.first, strict=True)]
        first, log_first = _affine(first, *self.from_second(second))
        second, log_second = _affine(second, *self.from_first(first))
        outputs = [
            torch.cat(halves, dim=1).clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT) for halves in zip(first, second, strict=True)
        ]
        return outputs, log_first + log_second

    def inverse(self, ys: list[Tensor]) -> list[Tensor]:
        """The inputs that `forward` maps to `ys`."""
        first = [y[:, :c] for y, c in zip(ys, self.first, strict=True)]
        second = [y[:, c:] for y, c in zip(ys, self.first, strict=True)]
        second = _unaffine(second, *self.from_first(first))
        first = _unaffine(first, *self.from_second(second))
        mixed = [torch.cat(halves, dim=1) for halves in zip(first, second, strict=True)]
        return [x[:, torch.argsort(getattr(self, f"permutation_{i}"))] for i, x in enumerate(mixed)]


class _FusionNet(nn.Module):
    """Scale and shift of each scale, from the halves of all scales met at the coarsest."""

    def __init__(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        super().__init__()
        together, narrow = sum(sources), max(1, sum(sources) // 4)
        self.sources = list(sources)
        self.mix = nn.Sequential(
            nn.Conv2d(together, narrow, 3, padding=1),
            _ChannelNorm(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, together, 3, padding=1),
            nn.ReLU(),
        )
        self.scale = nn.ModuleList(nn.Conv2d(s, t, 3, padding=1) for s, t in zip(sources, targets, strict=True))
        self.shift = nn.ModuleList(nn.Conv2d(s, t, 3, padding=1) for s, t in zip(sources, targets, strict=True))

    def forward(self, halves: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        size = (halves[-1].shape[-2], halves[-1].shape[-1])
        met = self.mix(torch.cat([F.adaptive_avg_pool2d(x, size) for x in halves], dim=1))
        informed = [
            x + F.interpolate(part, size=x.shape[-2:], mode="bilinear", align_corners=True)
            for x, part in zip(halves, met.split(self.sources, dim=1), strict=True)
        ]
        return (
            [conv(x) for conv, x in zip(self.scale, informed, strict=True)],
            [conv(x) for conv, x in zip(self.shift, informed, strict=True)],
        )


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels at each position of (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def coupling(channels: int) -> AllInOneBlock:
    """One conditional affine coupling of a parallel flow, for features of so many channels."""
    return AllInOneBlock(
        [(channels, 1, 1)],
        [(CONDITION_CHANNELS, 1, 1)],
        subnet_constructor=_subnet,
        affine_clamping=CLAMP,
        global_affine_type="SOFTPLUS",
    )


class _ConditionedConv(nn.Conv2d):
    """A convolution of (x, condition) that convolves the condition once: it is the same for all images of a batch."""

    def forward(self, joined: Tensor) -> Tensor:
        own = joined.shape[1] - CONDITION_CHANNELS
        # A slice of what is joined has gaps: closed, in the order that the channel norms read.
        x = joined[:, :own].contiguous(memory_format=torch.channels_last)
        condition = joined[:1, own:]
        constant = F.conv2d(condition, self.weight[:, own:], self.bias, padding=1)
        return F.conv2d(x, self.weight[:, :own], padding=1) + constant


def _subnet(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        _ConditionedConv(inputs, inputs, 3, padding=1),
        _ChannelNorm(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 3, padding=1),
    )


def _stretch(scale: Tensor) -> Tensor:
    return CLAMP * 0.636 * torch.atan(scale / CLAMP)  # 0.636 is 2/pi: the exponent stays within +-alpha


def _affine(xs: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    exponents = [_stretch(scale) for scale in scales]
    ys = [e.exp() * x + shift for x, e, shift in zip(xs, exponents, shifts, strict=True)]
    return ys, torch.stack([e.flatten(1).sum(dim=1) for e in exponents]).sum(dim=0)


def _unaffine(ys: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> list[Tensor]:
    return [(y - shift) * (-_stretch(scale)).exp() for y, scale, shift in zip(ys, scales, shifts, strict=True)]


def positional_encoding(height: int, width: int) -> Tensor:
    """The condition (64, height, width): 32 channels for the column, then 32 for the row, sin and cos in turn."""
    half = CONDITION_CHANNELS // 2
    frequencies = 10000.0 ** (-torch.arange(0, half, 2) / half)
    encoding = torch.empty(CONDITION_CHANNELS, height, width)
    columns = torch.arange(width)[None, :] * frequencies[:, None]
    rows = torch.arange(height)[None, :] * frequencies[:, None]
    encoding[0:half:2], encoding[1:half:2] = columns.sin()[:, None, :], columns.cos()[:, None, :]
    encoding[half::2], encoding[half + 1 :: 2] = rows.sin()[:, :, None], rows.cos()[:, :, None]
    return encoding
