"""CS-Flow (Rudolph et al., "Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection", WACV 2022).

One layer of a frozen backbone sees the image at full, half and quarter size. One flow transforms the three feature maps
together: in every coupling, a scale's subnet also sees its neighbours.

anomalib's couplings and permutations, behind any timm backbone; anomalib has EfficientNet-B5 from
torchvision alone. What differs from anomalib: the log-determinant is each image's own (anomalib adds up the
batch's, which weighs it by the batch size), and the map is the paper's, mean z^2 at the finest scale
(anomalib multiplies the scales). Features are resized to their neighbour's grid and not by two, so that
any image size fits; at the sizes that anomalib takes, both are the same. As in the authors' code, images are
made smaller by taking every second and fourth pixel. The paper's features are those of EfficientNet-B5's
last stage but one, of 304 channels, which timm does not hand out: `drop_last_stage` leaves out the last.
`standardize` (not in the paper) scales features to unit variance, so that few epochs suffice; the paper's
settings leave it off.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image import Csflow as AnomalibCsflow
from anomalib.models.image.csflow.torch_model import CrossConvolutions, ParallelGlowCouplingLayer, ParallelPermute
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam, Optimizer

from viad.errors import ConfigError
from viad.models.components.channel_statistics import ChannelScale, standardize

SCALES = 3
CLAMP = 3.0  # alpha: how far a coupling can stretch, exp(3) at most
WEIGHT_DECAY, BETAS, EPSILON = 1e-5, (0.5, 0.9), 1e-4
OUTPUT_LIMIT = 1e6


class Csflow(AnomalibCsflow):
    """CS-Flow on any timm backbone.

    Args:
        backbone: a timm name.
        layers: one feature layer.
        cross_conv_hidden_channels: of the subnets.
        n_coupling_blocks: of the flow.
        learning_rate: of Adam.
        drop_last_stage: of an EfficientNet whose layer is blocks.6, take the stage before it, blocks.5. Other
            backbones keep their layer.
        standardize: scale features to zero mean and unit variance over the training images.
        pre_trained: load the backbone's weights.
        options: as for anomalib's module; the pre-processor tells the images' size.

    Raises:
        ConfigError: not one layer, or an image size of which a transformer's patches do not tile the quarter.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 0.0
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, cross_conv_hidden_channels: int, n_coupling_blocks: int,
        learning_rate: float, drop_last_stage: bool, standardize: bool, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibCsflow, self).__init__(**options)  # anomalib's own downloads its backbone
        if len(layers) != 1:
            raise ConfigError(f"model csflow needs one layer, not {len(layers)}. Set one stride in its yaml.")
        extractor = ThreeScales(backbone, list(layers), pre_trained=pre_trained)
        multiple = getattr(extractor, "patch_size", 0) << (SCALES - 1)  # only transformers have patches
        if multiple and any(side % multiple for side in self.input_size):
            raise ConfigError(
                f"model csflow also uses images at a quarter of image_size. Set image_size to a multiple of {multiple}."
            )
        if drop_last_stage:
            extractor.drop_last_stage()
        self.model = CsflowModel(extractor.eval(), cross_conv_hidden_channels, n_coupling_blocks)
        self.learning_rate, self.standardize = learning_rate, standardize

    def configure_optimizers(self) -> Optimizer:
        """Adam as the paper has it, at a constant rate."""
        parameters = self.model.flow.parameters()
        return Adam(parameters, lr=self.learning_rate, eps=EPSILON, weight_decay=WEIGHT_DECAY, betas=BETAS)

    def on_train_start(self) -> None:
        """Measure the features' mean and deviation in one pass over the training images."""
        if self.standardize:
            standardize(self, self.model.scales, self.model.features)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Negative log-likelihood per dimension of a batch."""
        del args, kwargs
        loss = negative_log_likelihood(*self.model.transform(batch.image)).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        outputs, log_det = self.model.transform(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            loss = negative_log_likelihood(outputs, log_det)[normal].mean()
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**anomaly_scores(outputs)._asdict())


class ThreeScales(TimmFeatureExtractor):
    """One layer's features of an image at full, half and quarter size, under the names 0, 1 and 2."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Features (B, D, h_i, w_i) of images (B, C, H, W)."""
        # Rounded up like a convolution's grid, so that each scale's is half the one before, rounded up.
        sizes = [tuple(-(-side >> scale) for side in inputs.shape[-2:]) for scale in range(SCALES)]
        images = [inputs, *(F.interpolate(inputs, size=size) for size in sizes[1:])]
        return {str(scale): super(ThreeScales, self).forward(x)[self.layers[0]] for scale, x in enumerate(images)}

    def drop_last_stage(self) -> None:
        """Leave out the last of an EfficientNet's two stages at stride 32."""
        stages = getattr(self.feature_extractor, "blocks", None)
        if self.layers[0] == "blocks.6" and isinstance(stages, nn.Sequential):
            stages[6] = nn.Identity()
            with torch.no_grad():
                self.out_dims = [self.feature_extractor(torch.zeros(1, 3, 64, 64))[0].shape[1]]


class CsflowModel(nn.Module):
    """Backbone and flow.

    Args:
        extractor: gives the three scales.
        hidden_channels, blocks: of the flow.
    """

    def __init__(self, extractor: ThreeScales, hidden_channels: int, blocks: int) -> None:
        super().__init__()
        self.feature_extractor = extractor.requires_grad_(requires_grad=False)
        channels = extractor.out_dims[0]
        self.flow = CrossScaleFlow(channels, hidden_channels, blocks)
        self.scales = nn.ModuleList(ChannelScale(channels) for _ in range(SCALES))

    def features(self, images: Tensor) -> list[Tensor]:
        """Features (B, D, h, w) of each scale, of normalised images (B, C, H, W)."""
        return list(self.feature_extractor(images).values())

    def transform(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Of normalised images (B, C, H, W): z (B, D, h, w) of each scale and the log-determinant (B,)."""
        scaled = [scale(x) for scale, x in zip(self.scales, self.features(images), strict=True)]
        return cast("tuple[list[Tensor], Tensor]", self.flow(scaled))

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (B,) and maps (B, 1, h, w) at the finest scale of normalised images (B, C, H, W)."""
        return anomaly_scores(self.transform(images)[0])


class CrossScaleFlow(nn.Module):
    """Permutations and couplings in turn; kernels are 3 x 3, of the last coupling 5 x 5."""

    def __init__(self, channels: int, hidden_channels: int, blocks: int) -> None:
        super().__init__()
        dims = [(channels, 1, 1)] * SCALES  # the sizes of the grids play no part
        self.permutations = nn.ModuleList(ParallelPermute(dims, seed=i) for i in range(blocks))
        self.couplings = nn.ModuleList(
            _Coupling(dims, hidden_channels, 5 if i == blocks - 1 else 3) for i in range(blocks)
        )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs shaped like the features (B, D, h_i, w_i), and the log-determinant (B,)."""
        log_det = features[0].new_zeros(len(features[0]))
        for permutation, coupling in zip(self.permutations, self.couplings, strict=True):
            features, jacobian = coupling(permutation(features)[0])
            log_det = log_det + jacobian
        return features, log_det


class _Subnets(CrossConvolutions):
    """anomalib's subnets, for grids of any size."""

    def forward(self, *halves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first_layers = (self.conv_scale0_0, self.conv_scale1_0, self.conv_scale2_0)
        fine, middle, coarse = (self.leaky_relu(conv(x)) for conv, x in zip(first_layers, halves, strict=True))
        out0 = self.conv_scale0_1(fine) + self.up_conv10(_resize(middle, fine))
        out1 = self.conv_scale1_1(middle) + self.down_conv01(fine) + self.up_conv21(_resize(coarse, middle))
        out2 = self.conv_scale2_1(coarse) + self.down_conv12(middle)
        return out0 * self.gamma0, out1 * self.gamma1, out2 * self.gamma2


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")


class _Coupling(ParallelGlowCouplingLayer):
    """anomalib's coupling, with the log-determinant of each image."""

    def __init__(self, dims_in: list[tuple[int, int, int]], hidden_channels: int, kernel_size: int) -> None:
        subnet = {"channels_hidden": hidden_channels, "kernel_size": kernel_size}
        super().__init__(dims_in, subnet, CLAMP)
        self.cross_convolution1 = _Subnets(self.split_len1, self.split_len2 * 2, **subnet)
        self.cross_convolution2 = _Subnets(self.split_len2, self.split_len1 * 2, **subnet)

    def forward(self, xs: list[Tensor], *, rev: bool = False, jac: bool = True) -> tuple[list[Tensor], Tensor]:
        del rev, jac
        first, second = zip(*(x.split([self.split_len1, self.split_len2], dim=1) for x in xs), strict=True)
        new_first, log_first = self._affine(first, self.cross_convolution2(*second))
        new_second, log_second = self._affine(second, self.cross_convolution1(*new_first))
        outputs = [torch.cat(halves, dim=1) for halves in zip(new_first, new_second, strict=True)]
        return [y.clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT) for y in outputs], log_first + log_second

    def _affine(self, xs: Sequence[Tensor], subnets: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        scales, shifts = zip(*(subnet.chunk(2, dim=1) for subnet in subnets), strict=True)
        exponents = [self.log_e(scale) for scale in scales]
        ys = [e.exp() * x + shift for x, e, shift in zip(xs, exponents, shifts, strict=True)]
        return ys, torch.stack([e.flatten(1).sum(dim=1) for e in exponents]).sum(dim=0)


def negative_log_likelihood(outputs: list[Tensor], log_det: Tensor) -> Tensor:
    """(||z||^2 / 2 - log|det J|) / dimensions of each image (B,), z of all scales together, without the constant."""
    flat = torch.cat([z.flatten(1) for z in outputs], dim=1)
    return (flat.square().sum(dim=1) / 2 - log_det) / flat.shape[1]


def anomaly_scores(outputs: list[Tensor]) -> InferenceBatch:
    """Scores: the mean of z^2 / 2 over all scales. Maps: the mean of z^2 over channels at the finest scale."""
    flat = torch.cat([z.flatten(1) for z in outputs], dim=1)
    return InferenceBatch(
        pred_score=flat.square().mean(dim=1) / 2, anomaly_map=outputs[0].square().mean(dim=1, keepdim=True)
    )
