"""STFPM (Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", BMVC 2021).

anomalib's loss and map, around a teacher that is fast and need not be pre-trained. The student is the
teacher's architecture with random weights. Where anomalib's module differs from the paper: its loss
sums over the batch, so that the paper's learning rate of 0.4 acts as one of 12.8 at the paper's batch and
diverges easily; here it is the mean over images. Its weight decay is 1e-3; here the paper's 1e-4. The layers'
maps are multiplied at the finest layer's grid, as the authors do, and not at the images' resolution.
"""

from collections.abc import Sequence
from typing import Any

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image import Stfpm as AnomalibStfpm
from anomalib.models.image.stfpm.anomaly_map import AnomalyMapGenerator
from anomalib.models.image.stfpm.loss import STFPMLoss
from torch import Tensor, nn
from torch.optim import SGD

from viad.artifacts.anomaly_maps import Recipe, resize_maps

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


class Stfpm(AnomalibStfpm):
    """STFPM whose teacher's features are computed once.

    Args:
        backbone: a timm name, of teacher and student.
        layers: feature layers, the finest first.
        learning_rate: of stochastic gradient descent with momentum 0.9.
        pre_trained: load the teacher's weights; the student never has any.
        options: as for anomalib's module.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, learning_rate: float, pre_trained: bool = True, **options: Any
    ) -> None:
        super(AnomalibStfpm, self).__init__(**options)  # anomalib's constructor always asks for pre-trained weights
        self.model = StfpmModel(backbone, layers, pre_trained=pre_trained)
        self.loss = STFPMLoss()
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> SGD:
        """The paper's optimiser, without a schedule."""
        return SGD(self.model.student.parameters(), lr=self.learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch: half the squared distance of the unit features, averaged over positions and images."""
        del args, kwargs
        loss = self.loss(*self.model.features(batch.image)) / len(batch.image)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        teacher, student = self.model.features(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            count = int(normal.sum())
            loss = self.loss(*({k: v[normal] for k, v in features.items()} for features in (teacher, student))) / count
            self.log("val_loss", loss, on_epoch=True, batch_size=count)
        return batch.update(**self.model.scores(teacher, student, batch.image.shape[-2:])._asdict())


class StfpmModel(nn.Module):
    """A frozen teacher at `feature_extractor` and a student that trains."""

    def __init__(self, backbone: str, layers: Sequence[str], *, pre_trained: bool) -> None:
        super().__init__()
        self.feature_extractor = TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval()
        self.feature_extractor.requires_grad_(requires_grad=False)
        student = TimmFeatureExtractor(backbone, list(layers), pre_trained=False, requires_grad=True)
        self.student = student.to(memory_format=torch.channels_last)  # a third faster on a CPU (measured)
        self.anomaly_map_generator = AnomalyMapGenerator()

    def features(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Teacher's and student's features (B, D, h, w) by layer of normalised images (B, C, H, W)."""
        return self.feature_extractor(images), self.student(images.contiguous(memory_format=torch.channels_last))

    def scores(
        self, teacher: dict[str, Tensor], student: dict[str, Tensor], size: Sequence[int] | torch.Size
    ) -> InferenceBatch:
        """Maps (B, 1, h, w) at the finest layer's grid, and their largest values (B,) at the images' resolution `size`.

        At each position: the product over layers of half the squared distance between unit features,
        each layer's brought to the grid bilinearly.
        """
        grid = next(iter(teacher.values())).shape[-2:]
        anomaly_map = self.anomaly_map_generator(teacher_features=teacher, student_features=student, image_size=grid)
        full = resize_maps(anomaly_map[:, 0].detach().cpu().numpy(), Recipe(size[0], size[1], Stfpm.MAP_INTERPOLATION))
        highest = torch.from_numpy(full).amax(dim=(1, 2)).to(anomaly_map.device)
        return InferenceBatch(pred_score=highest, anomaly_map=anomaly_map)

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) of images (B, C, H, W)."""
        return self.scores(*self.features(images), images.shape[-2:])
