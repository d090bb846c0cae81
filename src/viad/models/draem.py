"""DRAEM (Zavrtanik et al., "DRAEM: A discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021).

anomalib's networks and loss. One U-Net restores images in which textures were pasted; another finds
the pasted places from the image and its restoration.

Where anomalib differs from the paper or its code, we follow those. Its focal loss gives normal pixels the
weight 0 (alpha = 1 means that to the installed kornia), so nothing holds false alarms down, and anomalous ones half
of the paper's: here both weigh 1. The image score is the maximum after averaging over 21 x 21 pixels. Images are
turned at random before textures are pasted (paper: by up to 45 degrees; the code says how often: 0.3). Weights
start from N(0, 0.02). The learning rate falls after 4/7 and 6/7 of the steps (400 and 600 of 700 epochs in the
paper). Textures come from a folder or from `viad.models.components.textures`, and are never downloaded.

Scores and maps are log-odds: they order images and pixels as the paper's probabilities do, and do not
saturate. `resolution` (not in the paper) is the side at which both networks work, whatever the images' size;
the paper's images have 256 pixels.
"""

from typing import Any

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.image import Draem as AnomalibDraem
from anomalib.models.image.draem.loss import DraemLoss
from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, DraemModel, ReconstructiveSubNetwork
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from viad.errors import ConfigError
from viad.models.components.resolution import resize_images
from viad.models.components.texture_anomalies import TextureAnomalies
from viad.models.components.textures import Textures

COARSEST = 32  # both sides of an image are halved five times
WINDOW = 21 / 256  # of the score's average, as a share of the side
ANOMALOUS_SHARE = 0.5  # of the images get a texture
ROTATED_SHARE = 0.3
FIRST_DECAY, SECOND_DECAY, DECAY = 4 / 7, 6 / 7, 0.1


class Draem(AnomalibDraem):
    """DRAEM with textures of one's own.

    Args:
        textures: a folder of textures, or None for synthetic ones (see `viad.models.components.textures`).
        resolution: pixels, both sides; a multiple of 32.
        reconstruction_width: channels of the first U-Net's first block.
        discrimination_width: channels of the second U-Net's first block.
        opacity: least and greatest share of a texture that is seen.
        rotation: degrees, to either side; 0 for none.
        learning_rate: of Adam, at the start.
        options: as for anomalib's modules.

    Raises:
        ConfigError: a resolution that the networks cannot halve five times.
    """

    NORMALIZE = False
    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0

    def __init__(
        self, *, textures: str | None, resolution: int, reconstruction_width: int, discrimination_width: int,
        opacity: tuple[float, float], rotation: float, learning_rate: float, **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibDraem, self).__init__(**options)  # anomalib's own constructor downloads DTD
        if resolution % COARSEST:
            raise ConfigError(
                f"model draem: resolution {resolution} is not a multiple of {COARSEST}. Correct its yaml."
            )
        self.model = _Model(resolution, reconstruction_width, discrimination_width)
        self.loss = DraemLoss()
        self.loss.focal_loss = _FocalLoss()
        self.sspcab = False
        self.textures, self.resolution, self.opacity = textures, resolution, opacity
        self.rotation, self.learning_rate = rotation, learning_rate

    def configure_optimizers(self) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        """Adam with two drops, counted in steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer = Adam(self.model.parameters(), lr=self.learning_rate)
        schedule = LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_train_start(self) -> None:
        """Find the textures."""
        low, high = self.opacity
        self.augmenter = TextureAnomalies(
            Textures(self.textures, (self.resolution, self.resolution)),
            lambda: low + (high - low) * float(torch.rand(())),
            probability=ANOMALOUS_SHARE,
        )

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch, with textures in half of its images."""
        del args, kwargs
        images = self._rotated(self.model.resized(batch.image))
        changed, mask = self.augmenter(images)
        reconstruction, logits = self.model.outputs(changed)
        loss = self.loss(images, reconstruction, mask, logits)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images as they are, without textures."""
        del args, kwargs
        images = self.model.resized(batch.image)
        reconstruction, logits = self.model.outputs(images)
        normal = batch.gt_label == 0
        if normal.any():
            nowhere = torch.zeros_like(logits[normal, :1])
            loss = self.loss(images[normal], reconstruction[normal], nowhere, logits[normal])
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(logits)._asdict())

    def _rotated(self, images: Tensor) -> Tensor:
        if not self.rotation:
            return images
        turned = []
        for image in images:
            chosen, angle = float(torch.rand(())) < ROTATED_SHARE, self.rotation * (2 * float(torch.rand(())) - 1)
            turned.append(rotate(image, angle, interpolation=InterpolationMode.BILINEAR) if chosen else image)
        return torch.stack(turned)


class _Model(DraemModel):
    def __init__(self, resolution: int, reconstruction_width: int, discrimination_width: int) -> None:
        super(DraemModel, self).__init__()  # without anomalib's full-width networks
        self.resolution = resolution
        self.reconstructive_subnetwork = ReconstructiveSubNetwork(base_width=reconstruction_width)
        self.discriminative_subnetwork = DiscriminativeSubNetwork(6, 2, discrimination_width)
        self.apply(_initialise)
        self.to(memory_format=torch.channels_last)  # a CPU then takes two thirds of the time

    def resized(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) at the networks' resolution."""
        return resize_images(images, self.resolution)

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, 3, h, w) and logits (B, 2, h, w), normal first, of resized images."""
        images = images.contiguous(memory_format=torch.channels_last)
        reconstruction = self.reconstructive_subnetwork(images)
        return reconstruction, self.discriminative_subnetwork(torch.cat([images, reconstruction], dim=1))

    def forward(self, batch: Tensor) -> InferenceBatch:
        """Scores and maps of images (B, 3, H, W) in [0, 1]."""
        return anomaly_scores(self.outputs(self.resized(batch))[1])


def anomaly_scores(logits: Tensor) -> InferenceBatch:
    """Scores (B,) and maps (B, 1, h, w), as log-odds of logits (B, 2, h, w).

    The paper's score is the largest average m of a pixel's probability over a window, which reads zeros
    beyond the border; ours is log(m / (1 - m)), with both averages taken where they are small.
    """
    odds = logits[:, 1:] - logits[:, :1]
    side = 2 * round((WINDOW * odds.shape[-1] - 1) / 2) + 1
    anomalous, normal = (
        F.avg_pool2d(p, side, stride=1, padding=side // 2) for p in (odds.sigmoid(), (-odds).sigmoid())
    )
    beyond = 1 - F.avg_pool2d(torch.ones_like(odds[:1]), side, stride=1, padding=side // 2)
    smallest = torch.finfo(odds.dtype).tiny
    score = anomalous.clamp_min(smallest).log() - (normal + beyond.clamp_min(0)).clamp_min(smallest).log()
    return InferenceBatch(pred_score=score.amax(dim=(1, 2, 3)), anomaly_map=odds)


class _FocalLoss(nn.Module):
    """Mean over pixels of -(1 - p)^2 log p, p the probability of the true class (Lin et al., ICCV 2017, eq. 4)."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        log_p = -F.cross_entropy(logits, mask, reduction="none")
        return -((1 - log_p.exp()).square() * log_p).mean()


def learning_rate_factor(step: int, steps: int) -> float:
    """A tenth after 4/7 of the steps, and again after 6/7."""
    return DECAY ** ((step >= round(FIRST_DECAY * steps)) + (step >= round(SECOND_DECAY * steps)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
