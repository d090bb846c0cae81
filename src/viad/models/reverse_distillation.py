"""Reverse distillation (Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022).

anomalib's bottleneck and decoder, for any backbone. anomalib finds a decoder by nine exact ResNet names;
those names, with any tag of weights (`resnet18.tv_in1k`) and with the paper's layers, keep their decoder. For every
other pyramid the teacher's three maps are projected by 1x1 convolutions with batch-norm to ResNet-18's
widths (64, 128, 256), go through ResNet-18's bottleneck and decoder, and 1x1 convolutions bring the outputs
back to the teacher's channels, where loss and map are taken. On images whose sides are no multiple of the bottleneck's
stride the decoder's outputs are larger than the teacher's maps, and are cut.

Where references differ: the loss is the paper's, a cosine at every position (anomalib and the
authors' code take one cosine of the flattened maps); Adam's betas are the paper's 0.5 and 0.999 (anomalib
0.99). The map is summed at the finest layer's grid by pixel centres, and the pipeline upsamples and smooths it.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.components.backbone import get_decoder
from anomalib.models.image import ReverseDistillation as AnomalibReverseDistillation
from anomalib.models.image.reverse_distillation.components import get_bottleneck_layer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.errors import ConfigError

LEARNING_RATE, BETAS = 0.005, (0.5, 0.999)
WIDTHS = (64, 128, 256)  # of ResNet-18 at strides 4, 8 and 16


class ReverseDistillation(AnomalibReverseDistillation):
    """Reverse distillation from any backbone that yields a pyramid.

    Args:
        backbone: a timm name.
        layers: three feature layers, the finest first, each at half the resolution of the one before.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module.

    Raises:
        ConfigError: not three layers.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 4.0  # pixels; the paper's smoothing
    CACHES_FEATURES = True

    def __init__(self, backbone: str, layers: Sequence[str], *, pre_trained: bool = True, **options: Any) -> None:
        super(AnomalibReverseDistillation, self).__init__(**options)  # anomalib's refuses other names
        self.model = ReverseDistillationModel(backbone, layers, pre_trained=pre_trained)

    def configure_optimizers(self) -> Adam:
        """The paper's optimiser, without a schedule."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        return Adam(trainable, lr=LEARNING_RATE, betas=BETAS)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch."""
        del args, kwargs
        loss = distillation_loss(*self.model.features(batch.image))
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        teacher, student = self.model.features(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            loss = distillation_loss([t[normal] for t in teacher], [s[normal] for s in student])
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(teacher, student, batch.image.shape[-2:])._asdict())


class ReverseDistillationModel(nn.Module):
    """A frozen teacher at `feature_extractor`; bottleneck, decoder and (for other backbones) projections that train."""

    def __init__(self, backbone: str, layers: Sequence[str], *, pre_trained: bool) -> None:
        super().__init__()
        if len(layers) != len(WIDTHS):
            raise ConfigError(
                f"model reverse_distillation needs three layers, not {len(layers)}. Correct the strides in its yaml."
            )
        self.feature_extractor = TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval()
        self.feature_extractor.requires_grad_(requires_grad=False)
        channels = list(self.feature_extractor.out_dims)
        self.bottleneck, self.decoder, fits = _bottleneck_and_decoder(backbone.partition(".")[0], channels)
        self.bottleneck.conv4, self.bottleneck.bn4 = nn.Identity(), nn.Identity()  # anomalib's never run; not saved
        self.into = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, w, 1, bias=False), nn.BatchNorm2d(w)) if not fits else nn.Identity()
            for c, w in zip(channels, WIDTHS, strict=True)
        )
        self.out = nn.ModuleList(
            nn.Conv2d(w, c, 1) if not fits else nn.Identity() for c, w in zip(channels, WIDTHS, strict=True)
        )

    def features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher's and decoder's features (B, D, h, w), the finest first, of normalised images (B, C, H, W)."""
        teacher = list(self.feature_extractor(images).values())
        decoded = self.decoder(self.bottleneck([into(t) for into, t in zip(self.into, teacher, strict=True)]))
        student = [
            out(d)[..., : t.shape[-2], : t.shape[-1]] for out, d, t in zip(self.out, decoded, teacher, strict=True)
        ]
        return teacher, student

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the finest layer's grid of images (B, C, H, W)."""
        return anomaly_scores(*self.features(images), images.shape[-2:])


def _bottleneck_and_decoder(name: str, channels: list[int]) -> tuple[nn.Module, nn.Module, bool]:
    """Those of the ResNet of that name if anomalib knows it and it has these channels, else ResNet-18's; and which."""
    with contextlib.suppress(ValueError):  # an unknown name
        decoder, bottleneck = get_decoder(name), get_bottleneck_layer(name)
        finest = cast("int", bottleneck.conv1.in_channels)
        if channels == [finest, 2 * finest, 4 * finest]:
            return bottleneck, decoder, True
    return get_bottleneck_layer("resnet18"), get_decoder("resnet18"), False


def distillation_loss(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean of 1 - cosine over positions and images."""
    return torch.stack([(1 - F.cosine_similarity(t, s)).mean() for t, s in zip(teacher, student, strict=True)]).sum()


def anomaly_scores(teacher: Sequence[Tensor], student: Sequence[Tensor], size: Sequence[int]) -> InferenceBatch:
    """Maps (B, 1, h, w), and the largest value (B,) of each when upsampled to `size` and smoothed.

    Map: the sum over layers of 1 - cosine, brought to the finest layer's grid bilinearly.
    """
    grid = teacher[0].shape[-2:]
    layers = [
        F.interpolate(1 - F.cosine_similarity(t, s)[:, None], size=grid, mode="bilinear", align_corners=False)
        for t, s in zip(teacher, student, strict=True)
    ]
    anomaly_map = torch.stack(layers).sum(dim=0)
    recipe = Recipe(size[0], size[1], ReverseDistillation.MAP_INTERPOLATION, ReverseDistillation.MAP_SIGMA)
    full = torch.from_numpy(resize_maps(anomaly_map[:, 0].detach().cpu().numpy(), recipe))
    return InferenceBatch(pred_score=full.amax(dim=(1, 2)).to(anomaly_map.device), anomaly_map=anomaly_map)
