"""MMR (Zhang et al., "Industrial Anomaly Detection with Domain Shift", Computers in Industry 151, 2023).

Written from the paper (masked multi-scale reconstruction). A frozen CNN, the teacher, gives
features at several scales. The student is a ViT encoder that sees a random part of the image's patches;
a small pyramid of convolutions turns its tokens, with a learnt token where patches were masked, into the teacher's
features. Trained on normal images, it fails to predict those of defects. Anomaly map: the sum over
scales of 1 - cosine similarity, smoothed; image score: its maximum.

Choices:
- The whole image is used, without the authors' centre crop. Position embeddings (sine, cosine) are computed for
  the image's grid, where the authors interpolate those of 14 x 14.
- Scales are added at the finest one's grid and then upsampled (corners not aligned).
- The warm-up's first epoch has the first step of the rise; in the authors' code it runs at rate 0.
- The student's weights are another network's (MAE's) or random, as the yaml says; it is saved with the model.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models import AnomalibModule
from anomalib.models.components import TimmFeatureExtractor
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchvision.transforms.v2 import Compose, InterpolationMode, RandomHorizontalFlip, RandomResizedCrop

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.artifacts.samples import NORMAL
from viad.backbones.weights import ensure_weights, pretrained_network, weights_file
from viad.errors import ConfigError

MASK_RATIO = 0.4  # in training; nothing is masked at inference
CROPPED_AREA = (0.7, 1.0)
WARM_UP, DROPS = 0.25, (0.6, 0.8)  # shares of the epochs: 50, 120 and 160 of the paper's 200
DROP = 0.1


class MMR(AnomalibModule):
    """MMR as an anomalib module.

    Args:
        backbone: the teacher, a timm name.
        layers: its feature layers, the finest first.
        student: timm name of a ViT with a class token.
        student_pre_trained: start from the weights of that name; else from random ones.
        student_options: changes to the ViT, as for timm.create_model.
        learning_rate: of AdamW, after warm-up.
        weight_decay: of AdamW, for all but biases and norms.
        augment: crop and flip training images at random.
        pre_trained: load the teacher's weights.
        options: as for anomalib's modules.

    Raises:
        ConfigError: the image cannot be cut into the student's patches, or a teacher layer has a stride
            that the student's patches cannot be brought to by doubling.
        WeightsError: the student's weights cannot be had.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels; the paper's smoothing

    def __init__(
        self, backbone: str, layers: Sequence[str], *, student: str, student_pre_trained: bool,
        student_options: Mapping[str, Any], learning_rate: float, weight_decay: float, augment: bool,
        pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        from_hub = student_pre_trained and not weights_file(student).is_file()
        if student_pre_trained:
            ensure_weights(student)
        vit = pretrained_network(student, pre_trained=from_hub, num_classes=0, **student_options)
        teacher = TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval()
        self.model = MMRModel(teacher, MaskedEncoder(vit))
        patch = self.model.student.patch
        if self.input_size and any(side % patch for side in self.input_size):
            near = self.input_size[0] // patch * patch
            raise ConfigError(
                f"{student} needs a multiple of {patch}: set image_size={near or patch} or {near + patch}."
            )
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.augmentation = _augmentation(self.input_size) if augment else None
        # The teacher must see every image as it is stored, or its features cannot be kept.
        self.CACHES_FEATURES = not augment

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Nothing but no sanity check."""
        return {"num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """Trained on normal images only."""
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """AdamW; a linear warm-up, then two drops to a tenth."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        epochs = int(self.trainer.max_epochs)
        optimizer = AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.95))
        return [optimizer], [LambdaLR(optimizer, lambda epoch: learning_rate_factor(epoch, epochs))]

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Cosine distance of masked images' predicted features from the teacher's."""
        del args, kwargs
        images = batch.image
        if self.augmentation is not None:
            images = torch.stack([self.augmentation(image) for image in images])
        loss = total_distance(self.model.distances(images, MASK_RATIO))
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images, unmasked."""
        del args, kwargs
        distances = self.model.distances(batch.image)
        normal = batch.gt_label == NORMAL
        if normal.any():
            loss = total_distance([distance[normal] for distance in distances])
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(distances, batch.image.shape[-2:])._asdict())


class MMRModel(nn.Module):
    """Teacher, student encoder, and one decoder branch for every layer of the teacher."""

    def __init__(self, teacher: TimmFeatureExtractor, student: "MaskedEncoder") -> None:
        super().__init__()
        self.feature_extractor, self.student = teacher, student
        self.layers = list(teacher.layers)
        self.branches = nn.ModuleList(
            decoder_branch(student.width, channels, doublings(student.patch, stride))
            for channels, stride in zip(teacher.out_dims, teacher.reductions, strict=True)
        )

    def distances(self, images: Tensor, mask_ratio: float = 0.0) -> list[Tensor]:
        """1 - cosine similarity of teacher and student, (B, 1, h, w) a layer, of normalised images (B, C, H, W)."""
        teacher = self.feature_extractor(images)
        encoded = self.student(images, mask_ratio)
        return [
            1 - F.cosine_similarity(teacher[layer], branch(encoded), dim=1)[:, None]
            for layer, branch in zip(self.layers, self.branches, strict=True)
        ]

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the finest layer's grid of images (B, C, H, W)."""
        return anomaly_scores(self.distances(images), images.shape[-2:])


class MaskedEncoder(nn.Module):
    """A ViT that sees only a random part of the patches, and puts its tokens back in their places.

    Args:
        vit: a timm VisionTransformer with a class token, whose parts are taken.
    """

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.patch_embedding, self.class_token = vit.patch_embed.proj, vit.cls_token
        self.blocks, self.norm = vit.blocks, vit.norm
        self.width, self.patch = int(vit.embed_dim), int(vit.patch_embed.patch_size[0])
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, self.width))

    def forward(self, images: Tensor, mask_ratio: float = 0.0) -> Tensor:
        """Tokens (B, width, h, w) of normalised images (B, C, H, W), the mask token where a patch was masked."""
        grid = self.patch_embedding(images)
        positions = position_embedding(*grid.shape[-2:], self.width).to(grid)
        tokens = grid.flatten(2).transpose(1, 2) + positions
        kept = (
            kept_patches(len(tokens), tokens.shape[1], mask_ratio)
            .to(tokens.device)[:, :, None]
            .expand(-1, -1, self.width)
        )
        seen = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens.gather(1, kept)], dim=1)
        encoded = self.norm(self.blocks(seen))[:, 1:]
        whole = self.mask_token.expand_as(tokens).scatter(1, kept, encoded) + positions
        return whole.transpose(1, 2).unflatten(2, grid.shape[-2:])


def kept_patches(images: int, patches: int, mask_ratio: float) -> Tensor:
    """The patches that the encoder sees, (images, kept) int64: a random choice for each image, or all in order."""
    count = int(patches * (1 - mask_ratio))
    if count == patches:
        return torch.arange(patches).expand(images, -1)
    return torch.rand(images, patches).argsort(dim=1)[:, :count]


@cache
def position_embedding(height: int, width: int, channels: int) -> Tensor:
    """Embeddings (height * width, channels) as MAE has them.

    One half of the channels for the column, the other for the row; in each half the sines, then the cosines, of
    frequencies 10000^(-i / n), i below n = channels / 4.
    """
    quarter = channels // 4
    frequencies = 10000.0 ** (-torch.arange(quarter) / quarter)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (columns, rows)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)


def doublings(patch: int, stride: int) -> int:
    """How often a map of one token a patch must double to have the teacher's stride.

    Raises:
        ConfigError: 0, 1 or 2 times will not do.
    """
    for count in range(3):
        if patch == stride * 2**count:
            return count
    raise ConfigError(
        f"model mmr: teacher layers must have stride {patch}, {patch // 2} or {patch // 4}, not {stride}. "
        "Correct its yaml."
    )


def decoder_branch(width: int, channels: int, doublings: int) -> nn.Sequential:
    """From tokens (B, width, h, w) to features (B, channels, 2^doublings h, 2^doublings w)."""
    modules: list[nn.Module] = []
    for i in range(doublings):
        modules += [LayerNorm2d(width), nn.GELU()] if i else []
        modules.append(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
        width //= 2
    modules += [nn.Conv2d(width, channels, 1, bias=False), LayerNorm2d(channels)]
    modules += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), LayerNorm2d(channels)]
    return nn.Sequential(*modules)


def total_distance(distances: Sequence[Tensor]) -> Tensor:
    """The loss: the sum over layers of the mean over images and positions."""
    return torch.stack([distance.mean() for distance in distances]).sum()


def anomaly_scores(distances: Sequence[Tensor], image_size: torch.Size) -> InferenceBatch:
    """Maps that add the layers' distances (B, 1, h, w) at the first one's grid, and each map's maximum as shown."""
    finest = distances[0].shape[-2:]
    upsampled = [d if d.shape[-2:] == finest else F.interpolate(d, size=finest, mode="bilinear") for d in distances]
    anomaly_map = torch.stack(upsampled).sum(dim=0)
    recipe = Recipe(image_size[0], image_size[1], MMR.MAP_INTERPOLATION, MMR.MAP_SIGMA)
    full = torch.from_numpy(resize_maps(anomaly_map[:, 0].detach().cpu().numpy(), recipe))
    return InferenceBatch(pred_score=full.amax(dim=(1, 2)).to(anomaly_map.device), anomaly_map=anomaly_map)


def learning_rate_factor(epoch: int, epochs: int) -> float:
    """A linear rise over the first quarter of the epochs, a tenth after 60 %, a hundredth after 80 %."""
    warm_up = max(1, round(WARM_UP * epochs))
    if epoch < warm_up:
        return (epoch + 1) / warm_up
    return float(DROP ** sum(epoch >= round(share * epochs) for share in DROPS))


def _augmentation(size: tuple[int, int] | None) -> nn.Module:
    crop = RandomResizedCrop(size, scale=CROPPED_AREA, interpolation=InterpolationMode.BICUBIC)
    return Compose([crop, RandomHorizontalFlip()])
