"""EfficientAd (Batzner et al., "EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level Latencies", WACV
2024).

A small frozen teacher describes patches; a student learns to repeat it on normal images, and an autoencoder
learns to repeat it from the whole image, which the student also imitates. Where they disagree, the
image is anomalous. anomalib's networks and losses.

Where anomalib differs from the paper, we follow it. The learning rate falls at 95 % of the optimiser's
steps (anomalib counts epochs, and never gets there). The quantiles that bring both maps to one scale come
from a tenth of the training normals, which is not trained on, and from the maps before they are
padded. Nothing is downloaded: the teacher's weights are a file put in place by hand; the penalty images, ImageNet
in the paper, come from a folder or from `viad.models.components.textures`, which holds textures and no objects.

`resolution` (not in the paper) is the side at which the networks work, whatever the images' size; the paper's
images have 256 pixels, and the autoencoder's encoder sees them so in any case. `teacher: random` is for tests: a
teacher and a student of a sixteenth of the channels.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.image import EfficientAd as AnomalibEfficientAd
from anomalib.models.image.efficient_ad.torch_model import (
    AutoEncoder,
    EfficientAdModel,
    EfficientAdModelSize,
    imagenet_norm_batch,
)
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchvision.transforms.v2.functional import rgb_to_grayscale

from viad.backbones import weights
from viad.backbones.frozen import freeze
from viad.config.params import one_of
from viad.errors import ConfigError, WeightsError
from viad.models.components.channel_statistics import channel_statistics
from viad.models.components.resolution import resize_images
from viad.models.components.textures import Textures
from viad.seeds import generator

TEACHERS = ("file", "random")
CHANNELS, NARROW = 384, 16  # of the teacher's output; by what tests divide all channels
STEP_OF_SIZES = 64  # the decoder's sizes are shares of the image's
PAPER_SIDE, LEAST_DECODED = 256, 128  # pixels: what the encoder takes, and the smallest image that can be decoded
PAD = 4  # border of the maps that no patch is centred on
DECAY_AT, DECAY = 0.95, 0.1
HELD_OUT = 0.1
QUANTILES = (0.9, 0.995)  # go to 0 and 0.1 in the normalised maps (paper)
GREY_SHARE = 0.3  # of the penalty images
MAPS = ("st", "ae")


class EfficientAd(AnomalibEfficientAd):
    """EfficientAd with nothing downloaded.

    Args:
        teacher: file (see `teacher_weights`) or random.
        model_size: small or medium.
        penalty_images: a folder of natural images, or None for synthetic textures.
        resolution: pixels, both sides; a multiple of 64.
        learning_rate: of Adam, at the start.
        options: as for anomalib's modules.

    Raises:
        ConfigError: an unknown teacher or size, or a resolution that the decoder has no sizes for.
        WeightsError: the teacher's file does not exist or holds other data.
    """

    NORMALIZE = False
    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0

    def __init__(
        self, *, teacher: str, model_size: str, penalty_images: str | None, resolution: int, learning_rate: float,
        **options: Any,
    ) -> None:  # fmt: skip
        one_of("model.teacher", teacher, TEACHERS)
        one_of("model.model_size", model_size, tuple(size.value for size in EfficientAdModelSize))
        if resolution % STEP_OF_SIZES or resolution <= 0:
            raise ConfigError(
                f"model efficient_ad: resolution {resolution} is not a multiple of {STEP_OF_SIZES}. Correct its yaml."
            )
        super().__init__(model_size=model_size, lr=learning_rate, **options)
        self.model = _Model(EfficientAdModelSize(model_size), resolution, NARROW if teacher == "random" else 1)
        self.model.set_teacher(teacher_weights(model_size) if teacher == "file" else None)
        self.penalty_images = penalty_images
        self.automatic_optimization = False  # a step may find nothing to train on

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Adam; a tenth of the learning rate for the last twentieth of the steps."""
        learning = [*self.model.student.parameters(), *self.model.ae.parameters()]
        optimizer = Adam(learning, lr=self.lr, weight_decay=self.weight_decay)
        steps = self._steps()
        return [optimizer], [LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))]

    def _steps(self) -> int:
        """How often the optimiser will step: not for a batch that is held out."""
        batches = int(self.trainer.estimated_stepping_batches)
        if self.trainer.max_steps > 0:
            return batches
        loader = self.trainer.train_dataloader
        images = len(loader.dataset)
        return batches - int(self.trainer.max_epochs) * len(held_out(images)) if loader.batch_size == 1 else batches

    def on_train_start(self) -> None:
        """Set images aside, find the penalty images, and measure the teacher's channels on the training images."""
        images = self.trainer.train_dataloader.dataset.images
        self.aside = held_out(len(images))
        self.paths_aside = {images[i] for i in self.aside}
        side = self.model.resolution
        self.penalties = Textures(self.penalty_images, (side, side), zoom=2)
        if self.trainer.current_epoch == 0:  # a resumed training has it from its checkpoint
            teacher = self.model.teacher
            ((mean, deviation),) = channel_statistics(self, lambda images: [teacher(self.model.resized(images))])
            self.model.set_channels(mean, deviation)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor | None:
        """One step of the optimiser, unless the batch is held out."""
        del args, kwargs
        kept = [i for i, path in enumerate(batch.image_path) if path not in self.paths_aside]
        if not kept:
            return None
        images = self.model.resized(batch.image[kept])
        _, distance = self.model.compute_student_teacher_distance(images)
        losses = self.model.compute_losses(images, self._penalties(len(images)).to(images), distance)
        loss = torch.stack(losses).sum()
        optimizer, schedule = cast("Optimizer", self.optimizers()), cast("LambdaLR", self.lr_schedulers())
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def on_train_end(self) -> None:
        """Measure the quantiles of both maps."""
        self._measure_quantiles()

    def on_validation_start(self) -> None:
        """Measure the quantiles of both maps, which validation's scores need."""
        self._measure_quantiles()

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images: the mean of both maps, unscaled."""
        del args, kwargs
        st, ae = self.model.maps(self.model.resized(batch.image))
        normal = batch.gt_label == 0
        if normal.any():
            loss = (st[normal] + ae[normal]).mean()
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model.scores(st, ae, batch.image.shape[2:])._asdict())

    def _penalties(self, count: int) -> Tensor:
        images = [self.penalties.draw() for _ in range(count)]
        return torch.stack([rgb_to_grayscale(x, 3) if float(torch.rand(())) < GREY_SHARE else x for x in images])

    @torch.no_grad()
    def _measure_quantiles(self) -> None:
        training = self.model.training
        self.model.eval()
        dataset = self.trainer.train_dataloader.dataset
        images = (dataset[i].image[None].to(self.device) for i in self.aside)
        pairs = [self.model.maps(self.model.resized(self.pre_processor(image))) for image in images]
        for name, maps in zip(MAPS, zip(*pairs, strict=True), strict=True):
            values = np.concatenate([one.flatten().cpu().numpy() for one in maps])
            self.model.set_quantiles(name, *np.quantile(values, QUANTILES).tolist())
        self.model.train(training)


def held_out(count: int) -> list[int]:
    """Numbers of the training images, of `count`, that the quantiles are measured on: a tenth, at least one.

    Raises:
        ConfigError: fewer than two images leave none to train on.
    """
    if count < 2:
        raise ConfigError("model efficient_ad holds out a tenth of the training images. Use at least two images.")
    aside = max(1, round(HELD_OUT * count))
    return sorted(generator(0, "efficient_ad", count).permutation(count)[:aside].tolist())


def teacher_weights(size: str) -> dict[str, Tensor]:
    """The pre-trained teacher's weights, from WEIGHTS_FOLDER/efficientad_teacher_<size>.pth or .safetensors.

    Raises:
        WeightsError: no such file; the message says where one comes from.
    """
    place = weights.WEIGHTS_FOLDER / f"efficientad_teacher_{size}.pth"
    if place.is_file():
        return _loaded(place)
    if place.with_suffix(".safetensors").is_file():
        return load_file(place.with_suffix(".safetensors"))
    raise WeightsError(
        f"model efficient_ad: its teacher's weights are not on this machine. Either put the file "
        f"pretrained_teacher_{size}.pth of anomalib's release efficientad_pretrained_weights "
        "(https://github.com/open-edge-platform/anomalib/releases, efficientad_pretrained_weights.zip) "
        f"at {place}, or select a model without a teacher: -S model=patchcore."
    )


def _loaded(place: Path) -> dict[str, Tensor]:
    return cast("dict[str, Tensor]", torch.load(place, map_location="cpu", weights_only=True))


class _AutoEncoder(AutoEncoder):
    """anomalib's autoencoder, for images of any multiple of 64 pixels."""

    def forward(self, x: Tensor, image_size: Sequence[int]) -> Tensor:
        whole = F.interpolate(imagenet_norm_batch(x), size=(PAPER_SIDE, PAPER_SIDE), mode="bilinear")
        decoded = self.decoder(self.encoder(whole), tuple(max(side, LEAST_DECODED) for side in image_size))
        grid = tuple(math.ceil(side / 4) - 8 for side in image_size)  # the teacher's, which does not pad
        return decoded if decoded.shape[2:] == grid else F.interpolate(decoded, size=grid, mode="bilinear")


class _Model(EfficientAdModel):
    def __init__(self, size: EfficientAdModelSize, resolution: int, narrow: int) -> None:
        super().__init__(teacher_out_channels=CHANNELS // narrow, model_size=size)
        if narrow > 1:
            _divide_channels(self.teacher, CHANNELS // narrow, narrow)
            _divide_channels(self.student, 2 * CHANNELS // narrow, narrow)
        self.ae = _AutoEncoder(self.teacher_out_channels, padding=False)
        self.resolution = resolution
        for learnt_otherwise in (self.mean_std, self.quantiles):
            learnt_otherwise.requires_grad_(requires_grad=False)

    def set_teacher(self, weights: dict[str, Tensor] | None) -> None:
        """Give the teacher its weights, or seeded random ones, and freeze it."""
        if weights is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                for module in self.teacher.modules():
                    if isinstance(module, nn.Conv2d):
                        module.reset_parameters()
        else:
            try:
                self.teacher.load_state_dict(weights)
            except RuntimeError as error:
                raise WeightsError(
                    f"the file of the teacher's weights holds other data ({error}). Replace it."
                ) from error
        freeze(self.teacher)

    def set_channels(self, mean: Tensor, deviation: Tensor) -> None:
        """Standardise the teacher's channels (384,) from now on."""
        self.mean_std["mean"].copy_(mean.view(1, -1, 1, 1))
        self.mean_std["std"].copy_(deviation.view(1, -1, 1, 1))

    def set_quantiles(self, name: str, low: float, high: float) -> None:
        """Scale a map by its two quantiles from now on."""
        self.quantiles[f"qa_{name}"].fill_(low)
        self.quantiles[f"qb_{name}"].fill_(high)

    def resized(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) at the networks' resolution."""
        return resize_images(images, self.resolution)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Squared differences of student to teacher and to autoencoder, (B, 1, h, w) each, of resized images."""
        student, distance = self.compute_student_teacher_distance(images)
        imitated = (self.ae(images, images.shape[2:]) - student[:, self.teacher_out_channels :]).square()
        return distance.mean(dim=1, keepdim=True), imitated.mean(dim=1, keepdim=True)

    def forward(self, batch: Tensor) -> InferenceBatch:
        """Scores and maps of images (B, 3, H, W) in [0, 1]."""
        return self.scores(*self.maps(self.resized(batch)), batch.shape[2:])

    def scores(self, st: Tensor, ae: Tensor, size: torch.Size) -> InferenceBatch:
        """Maps (B, 1, h, w), and scores (B,), the largest value of each once brought to the images' size."""
        scaled = [self._scaled(F.pad(one, [PAD] * 4), name) for one, name in zip((st, ae), MAPS, strict=True)]
        anomaly_map = (scaled[0] + scaled[1]) / 2
        full = F.interpolate(anomaly_map, size=size, mode="bilinear", align_corners=False)
        return InferenceBatch(pred_score=full.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

    def _scaled(self, one: Tensor, name: str) -> Tensor:
        low, high = self.quantiles[f"qa_{name}"], self.quantiles[f"qb_{name}"]
        return 0.1 * (one - low) / (high - low).clamp_min(1e-12)


def _divide_channels(network: nn.Module, outputs: int, by: int) -> None:
    convolutions = [(name, m) for name, m in network.named_children() if isinstance(m, nn.Conv2d)]
    for i, (name, conv) in enumerate(convolutions):
        width = outputs if i == len(convolutions) - 1 else conv.out_channels // by
        before = conv.in_channels if i == 0 else conv.in_channels // by
        setattr(network, name, nn.Conv2d(before, width, conv.kernel_size, padding=conv.padding))  # type: ignore[arg-type]


def learning_rate_factor(step: int, steps: int) -> float:
    """A tenth from 95 % of the steps on."""
    return DECAY if step >= int(DECAY_AT * steps) else 1.0
