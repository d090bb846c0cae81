"""InReaCh (McIntosh and Albu, "Inter-Realization Channels: Unsupervised Anomaly Detection Beyond One-Class
Classification", ICCV 2023).

An implementation of our own. Training images may be anomalous. The patches of a few seed images are looked for
in every other image; a seed patch and its mutual nearest neighbours, at most one an image, make
a channel. What is normal recurs, so channels that span enough images, without members far from their
centroid, hold normal patches: the bank. A patch scores its squared distance to the nearest one, and
an image the maximum of its smoothed map.

Choices where paper and released code differ: channels join the patches that were associated (the code
confuses the two indices); seeds are a random draw from the training images, which come in random order (the
code takes the first ones, always clean); RGB, normalised as the backbone wants; no centre crop. A channel's
spread is our reading, the root mean square distance from its centroid: at 5 it drops next to nothing. The
code has the standard deviation of these distances; on correctly joined channels that dropped half of
all members (measured on ELPV), since it is small wherever members are about equally far. Rotational
alignment is off unless `align` asks for it, as in the code; angles are sought on images of 64 pixels.
`max_patches` (not in the paper) limits the bank to a greedy coreset.

Images are associated as they come, so that only seeds and associated patches stay in memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components.base import DynamicBufferMixin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.errors import DataError
from viad.models.components.coreset import greedy_coreset
from viad.models.components.patch_bank import SEARCH_BLOCK, PatchBankModule, nearest
from viad.models.components.patch_embedding import PatchFeatures

GREY_LEVELS = 255
ALIGNMENT_SIDE = 64  # pixels: angles are found on images of this size


class InReaCh(PatchBankModule):
    """InReaCh as an anomalib module.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        pre_trained: load the backbone's weights.
        blocks: take these blocks of each layer and not its last one alone; see `PatchFeatures`.
        dimensions: D, values of a patch, and of each layer's share before the layers are joined.
        seeds: training images whose patches start channels.
        min_span: a channel needs more members than this, its seed patch included.
        max_spread: members this many root mean square distances from their centroid are dropped.
        max_patches: the bank's size at most, by a greedy coreset; None for no limit.
        position_threshold: mean squared grey-level difference (0 to 255) between the mean training image and its
            transpose, from which on the position in the image counts.
        position_weight: of the two position channels, on the scale of the features.
        align: where position does not count, turn all images to fit one of them if it counts then.
        options: as for anomalib's modules.
    """

    MAP_INTERPOLATION = "nearest"
    MAP_SIGMA = 13.0  # pixels, as the authors smooth

    def __init__(
        self, backbone: str, layers: Sequence[str], *, dimensions: int, blocks: Sequence[Sequence[int]] | None,
        seeds: int, min_span: int, max_spread: float, max_patches: int | None, position_threshold: float,
        position_weight: float, align: bool, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        extractor = PatchFeatures(
            backbone, layers, per_layer=dimensions, dimensions=dimensions, blocks=blocks, pre_trained=pre_trained
        )
        self.model = InReaChModel(extractor, seeds, position_weight)
        self.min_span, self.max_spread, self.max_patches = min_span, max_spread, max_patches
        self.position_threshold, self.align = position_threshold, align

    def on_train_start(self) -> None:
        """Find out, in one pass over the training images, whether their position counts, and how they are turned."""
        self.model.positions.fill_(transpose_difference(self._mean_image()) >= self.position_threshold)
        if not self.align or self.model.positions:
            return
        self.model.reference = self.pre_processor(next(self._images())[:1])
        if transpose_difference(self._mean_image()) >= self.position_threshold:
            self.model.positions.fill_(value=True)
        else:
            self.model.reference = self.model.reference.new_empty(0)

    def _images(self) -> Any:
        return (batch.image.to(self.device) for batch in self.trainer.train_dataloader)

    def _mean_image(self) -> Tensor:
        total, count = torch.zeros((), device=self.device), 0
        for images in self._images():
            turned = turn(images, self.model.angles(self.pre_processor(images)))
            total, count = total + turned.sum(dim=0), count + len(images)
        return total / count

    def fit(self) -> None:
        """Make the bank of the channels.

        Raises:
            DataError: no channel spans enough images.
        """
        bank = self.model.channels.nominal(self.min_span, self.max_spread)
        self.model.channels.clear()
        if len(bank) == 0:
            raise DataError(
                f"no patch recurs in more than {self.min_span} training images. Use more images, or lower "
                "model.small.args.min_span."
            )
        if self.max_patches is not None and len(bank) > self.max_patches:
            start = int(torch.randint(len(bank), (1,)))
            bank = bank[greedy_coreset(bank, self.max_patches, start, show_progress=True)]
        self.model.bank = bank


class InReaChModel(DynamicBufferMixin, nn.Module):
    """Patch features with positions, channels while training, and a bank of normal patches."""

    bank: Tensor
    positions: Tensor
    reference: Tensor

    def __init__(self, extractor: PatchFeatures, seeds: int, position_weight: float) -> None:
        super().__init__()
        self.feature_extractor = extractor
        self.position_weight = position_weight
        self.channels = Channels(seeds)
        self.register_buffer("bank", torch.empty(0))
        self.register_buffer("positions", torch.tensor(data=False))
        self.register_buffer("reference", torch.empty(0))

    def angles(self, images: Tensor) -> Tensor:
        """Degrees (B,) by which to turn normalised images (B, C, H, W); zeros without alignment."""
        if self.reference.numel() == 0:
            return images.new_zeros(len(images))
        return best_angles(images, self.reference)

    def patches(self, images: Tensor) -> Tensor:
        """Patches (B, D, h, w) of normalised images (B, C, H, W), with two position channels where position counts."""
        patches = self.feature_extractor(images)["patches"]
        if not self.positions:
            return patches
        count, _, height, width = patches.shape
        rows = (torch.arange(height).to(patches) / height).view(1, 1, -1, 1).expand(count, 1, height, width)
        columns = (torch.arange(width).to(patches) / width).view(1, 1, 1, -1).expand(count, 1, height, width)
        return torch.cat([patches, self.position_weight * rows, self.position_weight * columns], dim=1)

    def gather(self, images: Tensor) -> None:
        """Associate the patches of normalised training images (B, C, H, W)."""
        for image in self.patches(turn(images, self.angles(images))):
            self.channels.add(image.flatten(1).T.contiguous())

    def forward(self, images: Tensor) -> InferenceBatch:
        """Squared distances (B, 1, h, w) of normalised images (B, C, H, W), and the largest smoothed one of each."""
        angles = self.angles(images)
        patches = self.patches(turn(images, angles))
        # Image by image, so that the search's blocks do not depend on the batch.
        squared = torch.stack([nearest(image.flatten(1).T.contiguous(), self.bank)[0] for image in patches])
        anomaly_map = turn(squared.unflatten(1, patches.shape[2:])[:, None], -angles)
        recipe = Recipe(images.shape[-2], images.shape[-1], InReaCh.MAP_INTERPOLATION, InReaCh.MAP_SIGMA)
        full = torch.from_numpy(resize_maps(anomaly_map[:, 0].cpu().numpy(), recipe))
        return InferenceBatch(pred_score=full.amax(dim=(1, 2)).to(images.device), anomaly_map=anomaly_map)


class Channels:
    """Channels of patches, built image by image.

    Args:
        seeds: the first so many images start a channel with each of their patches.
    """

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds
        self.clear()

    def clear(self) -> None:
        """Forget all images."""
        self.images = 0
        self.heads = torch.empty(0)
        self._members: list[Tensor] = []
        self._channels: list[Tensor] = []
        self._names: list[Tensor] = []

    def add(self, patches: Tensor) -> None:
        """Associate the patches (P, D) of one more image with the seed images before it."""
        if self.images:
            members, channels = associate(patches, self.heads)
            self._members.append(patches[members])
            self._channels.append(channels)
            # A seed image's patches bear their own channel's number too; others none.
            self._names.append(members + len(self.heads) if self.images < self.seeds else torch.full_like(members, -1))
        if self.images < self.seeds:
            self.heads = torch.cat([self.heads.to(patches), patches]) if self.images else patches
        self.images += 1

    def nominal(self, min_span: int, max_spread: float) -> Tensor:
        """Every patch (M, D), once, of the channels that are long enough without the members too far out."""
        count = len(self.heads)
        device = self.heads.device
        own = torch.arange(count, device=device)
        patches = torch.cat([self.heads, *self._members])
        channels, names = torch.cat([own, *self._channels]), torch.cat([own, *self._names])
        kept = _spans(channels, count)[channels] > min_span
        patches, channels, names = patches[kept], channels[kept], names[kept]
        spans = _spans(channels, count).clamp_min(1)
        centroids = patches.new_zeros(count, patches.shape[1]).index_add_(0, channels, patches) / spans[:, None]
        squared = (patches - centroids[channels]).square().sum(dim=1)
        spread = (squared.new_zeros(count).index_add_(0, channels, squared) / spans).sqrt()
        kept = squared.sqrt() <= max_spread * spread[channels]
        kept &= _spans(channels[kept], count)[channels] > min_span
        patches, names = patches[kept], names[kept]
        # A seed image's patch may be in two channels: its own, and one of an earlier seed image.
        first = torch.ones(len(names), dtype=torch.bool, device=device)
        repeated = torch.argsort(names, stable=True)
        ordered = names[repeated]
        first[repeated[1:]] = (ordered[1:] != ordered[:-1]) | (ordered[1:] < 0)
        return patches[first]


def _spans(channels: Tensor, count: int) -> Tensor:
    return torch.bincount(channels, minlength=count)


def associate(patches: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Which patches of an image join which channel: those whose nearest head has them as its nearest patch.

    A head of one seed image is the nearest of all seed images' if it is the nearest of its own and
    no other image's nearest is nearer; so one search over all heads does what the paper does by pairs of images.

    Args:
        patches: (P, D) of the image.
        heads: (S, D), the patches of all seed images before it.

    Returns:
        indices of the patches (A,) and of their heads (A,), both int64.
    """
    own, norms = patches.square().sum(dim=1), heads.square().sum(dim=1)
    best = torch.full_like(own, torch.inf)
    head = torch.zeros(len(patches), dtype=torch.int64, device=patches.device)
    backward = []
    step = max(1, SEARCH_BLOCK // len(patches))
    for begin in range(0, len(heads), step):
        part = slice(begin, begin + step)
        squared = torch.addmm(norms[part], patches, heads[part].T, alpha=-2).add_(own[:, None])
        lowest, column = squared.min(dim=1)
        head = torch.where(lowest < best, column + begin, head)
        best = torch.minimum(best, lowest)
        backward.append(squared.argmin(dim=0))
    mutual = torch.cat(backward)[head] == torch.arange(len(patches), device=patches.device)
    return torch.nonzero(mutual).squeeze(1), head[mutual]


def transpose_difference(mean: Tensor) -> float:
    """Mean squared difference, in grey levels of 0 to 255, of a square image (C, H, H) in [0, 1] and its transpose."""
    return float((mean - mean.transpose(1, 2)).square().mean()) * GREY_LEVELS**2


def turn(images: Tensor, degrees: Tensor) -> Tensor:
    """Images (B, C, H, W), each turned about its centre by its entry of `degrees` (B,), borders repeated."""
    if not degrees.any():
        return images
    angle = torch.deg2rad(degrees)
    zero = torch.zeros_like(angle)
    rows = torch.stack([angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero], dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def best_angles(images: Tensor, reference: Tensor) -> Tensor:
    """Whole degrees (B,) that turn images (B, C, H, W) to fit the central half of `reference` (1, C, H, W) best."""
    size = (ALIGNMENT_SIDE, ALIGNMENT_SIDE)
    small, target = (F.interpolate(x, size, mode="bilinear", antialias=True) for x in (images, reference))
    centre = slice(ALIGNMENT_SIDE // 4, ALIGNMENT_SIDE * 3 // 4)
    errors = []
    for degree in range(360):
        turned = turn(small, torch.full_like(small[:, 0, 0, 0], degree))
        errors.append((turned - target)[..., centre, centre].square().mean(dim=(1, 2, 3)))
    return torch.stack(errors).argmin(dim=0).to(images.dtype)
