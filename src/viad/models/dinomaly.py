"""Dinomaly (Guo et al., "Dinomaly: The Less Is More Philosophy in Multi-Class Unsupervised Anomaly Detection", CVPR
2025).

A frozen vision transformer gives features of eight middle blocks, averaged in two groups of four; a noisy
bottleneck (dropout) and a decoder with linear attention learn to reconstruct the groups on normal images. anomalib's
decoder, loss, optimiser and scores.

Where anomalib differs from the paper or its code, we follow those: warm-up and cosine are stepped with the
optimiser and not with the epochs, so the learning rate never stays at 0; images are not cropped; the transformer
may be any of timm's, with weights from a file or with none. The schedules are shares of the steps: warm-up
100 and the mining of hard points 1,000 of the paper's 5,000.

The encoder sees each image unchanged and trains nothing, so its two groups are cached. Maps are at the
patches' grid, smoothed later by a Gaussian as wide as the authors' (theirs, of sigma 4, is cut off to 5 x 5 pixels).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import timm
import torch
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import GaussianBlur2d, TimmFeatureExtractor
from anomalib.models.image import Dinomaly as AnomalibDinomaly
from anomalib.models.image.dinomaly.components import CosineHardMiningLoss, DinomalyMLP, StableAdamW
from anomalib.models.image.dinomaly.torch_model import DecoderViTBlock, DinomalyModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from viad.errors import ConfigError

TARGETS = 8  # blocks of the encoder, two twelfths to nine twelfths deep (paper: 3rd to 10th of 12)
WARM_UP, MINING = 100 / 5000, 1000 / 5000  # shares of the steps
FINAL = 0.1  # of the learning rate
SCORE_SIDE, TOP_SHARE = 256, 0.01  # the score: mean of the map's top 1 % at this many pixels
GROUPS = ("shallow", "deep")


class Dinomaly(AnomalibDinomaly):
    """Dinomaly on any of timm's plain vision transformers.

    Args:
        backbone: a timm name.
        layers: not read; the blocks follow from the transformer's depth.
        pre_trained: load the transformer's weights.
        decoder_depth: blocks of the decoder, at least 2.
        bottleneck_dropout: share of features dropped before the decoder.
        learning_rate: of StableAdamW, after warm-up.
        options: as for anomalib's modules.

    Raises:
        ConfigError: the backbone is no vision transformer.
    """

    MAP_INTERPOLATION = "bilinear"
    MAP_SIGMA = 1.4  # pixels: the deviation of the authors' cut-off Gaussian
    CACHES_FEATURES = True

    def __init__(
        self, backbone: str, layers: Sequence[str], *, decoder_depth: int, bottleneck_dropout: float,
        learning_rate: float, pre_trained: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super(AnomalibDinomaly, self).__init__(**options)  # anomalib's own constructor downloads weights
        del layers
        depth, heads = _layout(backbone)
        extractor = _Groups(backbone, depth, pre_trained=pre_trained)
        self.model = _Model(extractor, heads, decoder_depth, bottleneck_dropout)
        self._initialize_trainable_modules(self.model.trainable())
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        """StableAdamW; a linear warm-up, then a cosine, both counted in steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        self.model.loss_fn.p_schedule_steps = max(1, round(MINING * steps))
        optimizer = StableAdamW(
            self.model.trainable().parameters(), lr=self.learning_rate, weight_decay=1e-4, amsgrad=True
        )
        schedule = LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Loss of a batch, with the share of points that counts less growing over the steps."""
        del args, kwargs
        loss = self.model.loss_fn(*self.model.pairs(batch.image), global_step=self.global_step)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Scores of the batch, and the loss of its normal images."""
        del args, kwargs
        encoded, decoded = self.model.pairs(batch.image)
        normal = batch.gt_label == 0
        if normal.any():
            loss = torch.stack([_distance(e[normal], d[normal]) for e, d in zip(encoded, decoded, strict=True)]).mean()
            self.log("val_loss", loss, on_epoch=True, batch_size=int(normal.sum()))
        return batch.update(**self.model.scores(encoded, decoded, batch.image.shape[2:])._asdict())


def _layout(backbone: str) -> tuple[int, int]:
    """Blocks and heads of a transformer."""
    with torch.device("meta"):
        network = timm.create_model(backbone, pretrained=False)
    if not all(hasattr(network, part) for part in ("patch_embed", "blocks", "num_prefix_tokens")):
        raise ConfigError(
            f"model dinomaly needs a vision transformer, but backbone {backbone} is not one. "
            "Use -S backbone=dinov2_small or dinov2_base, and an image_size that is a multiple of 14."
        )
    return len(network.blocks), network.blocks[0].attn.num_heads


class _Groups(TimmFeatureExtractor):
    """Tokens (B, T, D) averaged over two groups of blocks, so that a feature cache keeps no more than is read."""

    def __init__(self, backbone: str, depth: int, *, pre_trained: bool) -> None:
        blocks = target_blocks(depth)
        super().__init__(
            backbone, [f"blocks.{i}" for i in blocks], pre_trained=pre_trained, output_fmt="NLC",
            return_class_token=True, norm=False,
        )  # fmt: skip
        self.eval()

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        tokens = list(super().forward(inputs).values())
        half = len(tokens) // 2
        groups = (tokens[:half], tokens[half:])
        return {name: torch.stack(part).mean(dim=0) for name, part in zip(GROUPS, groups, strict=True)}


class _Model(nn.Module):
    def __init__(self, extractor: _Groups, heads: int, decoder_depth: int, dropout: float) -> None:
        super().__init__()
        if decoder_depth < 2:
            raise ConfigError(f"model dinomaly: decoder_depth {decoder_depth} is below 2, one block per group.")
        self.feature_extractor = extractor
        self.patch, self.prefix = extractor.patch_size, extractor.num_prefix_tokens
        width = extractor.out_dims[0]
        self.bottleneck = DinomalyMLP(width, 4 * width, width, drop=dropout, apply_input_dropout=True)
        self.decoder = nn.ModuleList(
            DecoderViTBlock(width, heads, 4.0, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-8))
            for _ in range(decoder_depth)
        )
        self.loss_fn = CosineHardMiningLoss()
        self.blur = GaussianBlur2d(sigma=4, channels=1, kernel_size=5)

    def trainable(self) -> nn.ModuleList:
        """All that learns."""
        return nn.ModuleList([self.bottleneck, self.decoder])

    def pairs(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The encoder's two groups, and the decoder's, (B, D, h, w) each, of normalised images (B, 3, H, W)."""
        features = self.feature_extractor(images)
        encoded = [features[name] for name in GROUPS]
        tokens = self.bottleneck(torch.stack(encoded).mean(dim=0))
        decoded: list[Tensor] = []
        for block in self.decoder:
            tokens = block(tokens)
            decoded.insert(0, tokens)  # the last block reconstructs the shallowest
        half = len(decoded) // 2
        groups = [torch.stack(part).mean(dim=0) for part in (decoded[:half], decoded[half:])]
        grid = [side // self.patch for side in images.shape[2:]]
        encoded, groups = ([self._grid(tokens, grid) for tokens in part] for part in (encoded, groups))
        return encoded, groups

    def _grid(self, tokens: Tensor, grid: list[int]) -> Tensor:
        return tokens[:, self.prefix :].transpose(1, 2).unflatten(2, grid).contiguous()

    def forward(self, batch: Tensor) -> InferenceBatch:
        """Scores and maps of normalised images (B, 3, H, W)."""
        return self.scores(*self.pairs(batch), batch.shape[2:])

    def scores(self, encoded: list[Tensor], decoded: list[Tensor], size: torch.Size) -> InferenceBatch:
        """Maps (B, 1, h, w), the mean cosine distance of both groups, and scores (B,) from them at 256 pixels."""
        anomaly_map, _ = DinomalyModel.calculate_anomaly_maps(encoded, decoded, tuple(encoded[0].shape[2:]))
        full = F.interpolate(anomaly_map, size=size, mode="bilinear", align_corners=True)
        small = F.interpolate(full, size=(SCORE_SIDE, SCORE_SIDE), mode="bilinear", align_corners=False)
        pixels = self.blur(small).flatten(1)
        top = pixels.topk(int(TOP_SHARE * pixels.shape[1]), dim=1).values
        return InferenceBatch(pred_score=top.mean(dim=1), anomaly_map=anomaly_map)


def target_blocks(depth: int) -> list[int]:
    """The encoder's blocks to reconstruct: 2 to 9 of 12, 4 to 18 by twos of 24; fewer than eight in a shallow one."""
    return sorted({round(depth * (2 + i) / 12) for i in range(TARGETS)})


def learning_rate_factor(step: int, steps: int) -> float:
    """A linear rise over the warm-up, which is not 0 at the first step, then a cosine down to a tenth."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return FINAL + (1 - FINAL) * (1 + math.cos(math.pi * done)) / 2


def _distance(encoded: Tensor, decoded: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(encoded.flatten(1), decoded.flatten(1)).mean()
