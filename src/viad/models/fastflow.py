"""FastFlow (Yu et al., "FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows", 2021).

anomalib's flows behind any timm backbone that yields a pyramid; anomalib takes four backbones by their
exact names. Each scale's features, normalised over the whole map, go through a 2-d flow of their own.

What differs from anomalib. The scale of the normalisation, which trains with the flow, counts in the
log-determinant: left out, features are made likely by shrinking them. Maps and scores are
the negative logarithm of the mean likelihood, not the negative likelihood: the order at a
position is the same, and large anomalies do not tie. Scales meet at the finest grid, and the image
score is the map's maximum there, not after upsampling. The transformers of the paper (one layer of CaiT
or DeiT) are not here.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image import Fastflow as AnomalibFastflow
from anomalib.models.image.fastflow.torch_model import create_fast_flow_block
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from viad.models.components.likelihood import joint_map

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-5


class Fastflow(AnomalibFastflow):
    """FastFlow on any pyramid.

    Args:
        backbone: a timm name.
        layers: feature layers, the finest first.
        flow_steps: coupling blocks of each scale's flow.
        conv3x3_only: all subnets have 3 x 3 convolutions; otherwise every second one has 1 x 1.
        hidden_ratio: hidden channels of a subnet, as a share of its inputs.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module; the pre-processor tells the images' size.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, flow_steps: int, conv3x3_only: bool, hidden_ratio: float,
        pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibFastflow, self).__init__(**options)  # anomalib's own refuses other backbones
        self.model = FastflowModel(
            TimmFeatureExtractor(backbone, list(layers), pre_trained=pre_trained).eval(), self.input_size,
            flow_steps, conv3x3_only=conv3x3_only, hidden_ratio=hidden_ratio,
        )  # fmt: skip

    def configure_optimizers(self) -> Optimizer:
        """Adam at a constant rate."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        return Adam(trainable, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Negative log-likelihood of a batch."""
        del args, kwargs
        loss = negative_log_likelihood(*self.model.flow(batch.image)).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        outputs, log_det = self.model.flow(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            loss = negative_log_likelihood(outputs, log_det)[normal].mean()
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(outputs)._asdict())


class FastflowModel(nn.Module):
    """Backbone, a layer normalisation and a flow for each scale; parts are named as in anomalib's model.

    Args:
        extractor: gives the scales, the finest first.
        input_size: (height, width) of the images.
        flow_steps, conv3x3_only, hidden_ratio: as for `Fastflow`.
    """

    def __init__(
        self, extractor: TimmFeatureExtractor, input_size: tuple[int, int], flow_steps: int, *, conv3x3_only: bool,
        hidden_ratio: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = list(extractor.layers)
        with torch.no_grad():
            features = extractor.requires_grad_(requires_grad=False)(torch.zeros(1, 3, *input_size))
        shapes = [list(features[layer].shape[1:]) for layer in self.layers]
        self.feature_extractor = extractor
        self.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in shapes)
        self.fast_flow_blocks = nn.ModuleList(
            create_fast_flow_block(shape, conv3x3_only, hidden_ratio, flow_steps) for shape in shapes
        )

    def flow(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Of normalised images (B, C, H, W): z (B, D, h, w) of each scale and the summed log-determinant (B,)."""
        features = self.feature_extractor(images)
        return self.transform([features[layer] for layer in self.layers])

    def transform(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """As `flow`, from the features; the log-determinant is that of scaling and flow, not of the normalisation."""
        log_det = features[0].new_zeros(len(features[0]))
        outputs = []
        for x, norm, block in zip(features, self.norms, self.fast_flow_blocks, strict=True):
            z, jacobian = block(norm(x))
            outputs.append(z)
            log_det = log_det + jacobian + cast("Tensor", norm.weight).abs().log().sum()
        return outputs, log_det

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the finest scale of normalised images (B, C, H, W)."""
        return anomaly_scores(self.flow(images)[0])


def negative_log_likelihood(outputs: list[Tensor], log_det: Tensor) -> Tensor:
    """The sum over scales of ||z||^2 / 2, less log|det J|, of each image (B,), without the constant."""
    return torch.stack([z.square().flatten(1).sum(dim=1) for z in outputs]).sum(dim=0) / 2 - log_det


def anomaly_scores(outputs: list[Tensor]) -> InferenceBatch:
    """Maps from z: log-likelihoods -mean_c(z^2) / 2, joined over scales; an image's score is its map's maximum."""
    anomaly_map = joint_map([-z.square().mean(dim=1, keepdim=True) / 2 for z in outputs])
    return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)
