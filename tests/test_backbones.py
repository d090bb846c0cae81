"""Backbones: right weights, unchanged features when made fast, and clear words where weights are missing."""

import time

import numpy as np
import pytest
import timm
import torch
from anomalib.models.components import TimmFeatureExtractor
from PIL import Image
from torch import nn

from viad.backbones import embedded, frozen, weights
from viad.backbones.batch_norm import fold_batch_norm
from viad.backbones.frozen import FrozenBackbone
from viad.backbones.weights import ensure_weights
from viad.errors import ConfigError, WeightsError


@pytest.mark.parametrize("name", embedded.EMBEDDED)
def test_embedded_weights_recognise_the_cat(name):
    from skimage.data import chelsea

    model = timm.create_model(f"viad_{name}", pretrained=True).eval()
    pixels = np.array(Image.fromarray(chelsea()).resize((224, 224), Image.Resampling.BICUBIC))
    image = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    with torch.no_grad():
        probabilities = model(image).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == 285  # Egyptian cat
    if name == "efficientnet_lite0":
        assert float(probabilities[285]) == pytest.approx(0.77, abs=0.01)


@pytest.mark.parametrize(
    ("timm_name", "layers"),
    [("viad_efficientnet_lite0", ["blocks.2", "blocks.4"]), ("resnet18.tv_in1k", ["layer1", "layer3"])],
)
def test_frozen_backbone_gives_the_extractors_features(timm_name, layers):
    torch.manual_seed(0)
    extractor = TimmFeatureExtractor(timm_name, layers, pre_trained=timm_name.startswith("viad_"))
    for module in extractor.modules():  # random networks would have batch-norms that do nothing
        if isinstance(module, nn.BatchNorm2d) and not timm_name.startswith("viad_"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 96, 96)
    expected = extractor(images)
    frozen = FrozenBackbone(extractor)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
    features = frozen(images)
    for layer in layers:
        scale = expected[layer].abs().max()
        assert torch.allclose(features[layer], expected[layer], atol=float(1e-5 * scale))


def test_folding_leaves_a_norm_that_no_convolution_feeds():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    assert fold_batch_norm(network, 3) == 1
    assert isinstance(network[0], nn.BatchNorm2d)


def test_one_channel_equals_the_same_grey_three_times():
    grey = torch.rand(2, 1, 64, 64)
    one = FrozenBackbone(TimmFeatureExtractor("viad_efficientnet_lite0", ["blocks.2"]), channels=1)(
        grey.expand(-1, 3, -1, -1)
    )
    three = FrozenBackbone(TimmFeatureExtractor("viad_efficientnet_lite0", ["blocks.2"]))(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(one["blocks.2"], three["blocks.2"], atol=1e-4)


def test_the_backbone_stays_in_evaluation_mode():
    frozen = FrozenBackbone(TimmFeatureExtractor("viad_random", ["blocks.2"]))
    frozen.train()
    assert not any(module.training for module in frozen.modules())
    assert not any(p.requires_grad for p in frozen.parameters())


def test_bfloat16_is_close_or_refused(monkeypatch):
    extractor = TimmFeatureExtractor("viad_efficientnet_lite0", ["blocks.2"])
    images = torch.rand(1, 3, 64, 64)
    expected = extractor(images)["blocks.2"]
    monkeypatch.setattr(frozen, "_has_bfloat16", lambda: True)
    feature = FrozenBackbone(extractor, precision="bfloat16")(images)["blocks.2"]
    assert feature.dtype == torch.float32
    assert float((feature - expected).norm() / expected.norm()) < 0.05
    monkeypatch.setattr(frozen, "_has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="precision=float32"):
        FrozenBackbone(TimmFeatureExtractor("viad_random", ["blocks.2"]), precision="bfloat16")


def test_missing_weights_are_named_within_seconds(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    monkeypatch.setenv("HF_ENDPOINT", "https://192.0.2.1")  # an address that never answers
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "HUB_TIMEOUT", 1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"weights/resnet18\.tv_in1k\.safetensors.*backbone=efficientnet_lite0"):
        ensure_weights("resnet18.tv_in1k")
    assert time.monotonic() - start < 10


def test_weights_put_by_hand_are_enough(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    weights.weights_file("resnet18.tv_in1k").parent.mkdir(parents=True)
    weights.weights_file("resnet18.tv_in1k").write_bytes(b"")
    ensure_weights("resnet18.tv_in1k")


def test_an_unknown_network_is_an_error():
    with pytest.raises(ConfigError, match="has no network 'nosuchnet'"):
        ensure_weights("nosuchnet")
