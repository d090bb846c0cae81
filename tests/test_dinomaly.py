"""Dinomaly: the schedules step by step, and what is anomalib's and what is not."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
import yaml
from anomalib.models.image.dinomaly.components import WarmCosineScheduler
from anomalib.models.image.dinomaly.torch_model import DinomalyModel
from torch import nn

import viad.backbones.embedded  # noqa: F401  # registers stand-ins with timm
from viad.config.composition import compose_params
from viad.errors import ConfigError
from viad.models.dinomaly import Dinomaly, learning_rate_factor, target_blocks

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
ARGS = {"decoder_depth": 8, "bottleneck_dropout": 0.2, "learning_rate": 2e-3, "pre_trained": False}


def _module(backbone="viad_random_vit", **changes):
    torch.manual_seed(0)
    return Dinomaly(backbone, ["blocks.2"], **(ARGS | changes), **PARTS)


def _optimizer(module, steps):
    module._trainer = SimpleNamespace(estimated_stepping_batches=steps)
    (optimizer,), (schedule,) = module.configure_optimizers()
    return optimizer, schedule


def test_the_learning_rate_follows_the_paper_step_by_step():
    optimizer, schedule = _optimizer(_module(), 5000)
    assert schedule["interval"] == "step"
    reference = WarmCosineScheduler(torch.optim.SGD([torch.zeros(1)], lr=1.0), 2e-3, 2e-4, 5000, 100).schedule
    rates = []
    for _ in range(5000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    assert rates[0] == pytest.approx(2e-3 / 100)  # anomalib begins with 0
    assert rates[100:] == pytest.approx(reference[100:].tolist(), rel=1e-4)
    assert rates[99] == pytest.approx(2e-3)
    assert all(b > a for a, b in itertools.pairwise(rates[:100]))
    assert all(b <= a for a, b in itertools.pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(2e-4, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 7, 200])
def test_short_trainings_have_a_schedule_too(steps):
    factors = [learning_rate_factor(step, steps) for step in range(steps)]
    assert max(factors) == 1
    assert min(factors) > 0


@pytest.mark.parametrize(("steps", "at"), [(5000, 1000), (200, 40)])
def test_mining_reaches_nine_tenths_after_a_fifth_of_the_steps(steps, at):
    module = _module()
    _optimizer(module, steps)
    for step, share in ((0, 0.0), (at // 2, 0.45), (at, 0.9), (steps, 0.9)):
        module.model.loss_fn._update_p_schedule(step)
        assert module.model.loss_fn.p == pytest.approx(share)


def test_only_bottleneck_and_decoder_learn():
    module = _module()
    optimizer, _ = _optimizer(module, 10)
    learning = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in module.named_parameters():
        assert (id(parameter) in learning) == (not name.startswith("model.feature_extractor")), name
    weights = torch.cat(
        [m.weight.detach().flatten() for m in module.model.decoder.modules() if isinstance(m, nn.Linear)]
    )
    assert float(weights.abs().max()) <= 0.03
    assert float(weights.std()) == pytest.approx(0.01, rel=0.05)


def test_blocks_are_the_papers():
    assert target_blocks(12) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert target_blocks(24) == [4, 6, 8, 10, 12, 14, 16, 18]


@pytest.fixture
def pair():
    """Ours and anomalib's on the same weights, with 64-dimensional tokens of five prefixes and a 4 x 4 grid."""
    ours = _module().model.eval()
    theirs = DinomalyModel.__new__(DinomalyModel)
    nn.Module.__init__(theirs)
    theirs.encoder = _AnomalibsEncoder(ours.feature_extractor)
    theirs.bottleneck, theirs.decoder = nn.ModuleList([ours.bottleneck]), ours.decoder
    theirs.target_layers = target_blocks(12)
    theirs.fuse_layer_encoder = theirs.fuse_layer_decoder = [[0, 1, 2, 3], [4, 5, 6, 7]]
    theirs.remove_class_token = theirs.use_context_recentering = False
    theirs.gaussian_blur, theirs.loss_fn = ours.blur, ours.loss_fn
    return ours, theirs.eval()


class _AnomalibsEncoder(nn.Module):
    def __init__(self, extractor):
        super().__init__()
        self.network = extractor.feature_extractor
        self.patch_size, self.num_register_tokens = 14, 4

    def forward(self, images):
        blocks = target_blocks(12)
        outputs = self.network.forward_intermediates(
            images, indices=blocks, norm=False, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
        return {
            f"blocks.{i}": torch.cat([prefix, patches], 1) for i, (patches, prefix) in zip(blocks, outputs, strict=True)
        }


def test_features_scores_and_maps_are_anomalibs(pair):
    ours, theirs = pair
    images = torch.rand(3, 3, 56, 70)
    with torch.no_grad():
        for a, b in zip(ours.pairs(images), theirs.get_encoder_decoder_outputs(images), strict=True):
            for one, other in zip(a, b, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        result, expected = ours(images), theirs(images)
    torch.testing.assert_close(result.pred_score, expected.pred_score, rtol=1e-4, atol=1e-6)
    assert result.anomaly_map.shape == (3, 1, 4, 5)
    size = {"size": (56, 70), "mode": "bilinear", "align_corners": True}
    torch.testing.assert_close(
        nn.functional.interpolate(result.anomaly_map, **size), expected.anomaly_map, rtol=1e-4, atol=1e-5
    )


def test_the_maps_smoothing_is_as_wide_as_the_cut_off_gaussian():
    weights = [math.exp(-(k**2) / 32) for k in range(-2, 3)]
    deviation = math.sqrt(sum(w * k**2 for w, k in zip(weights, range(-2, 3), strict=True)) / sum(weights))
    assert pytest.approx(deviation, abs=0.05) == Dinomaly.MAP_SIGMA


def test_a_convolutional_backbone_is_an_error_that_names_another():
    with pytest.raises(ConfigError, match="-S backbone=dinov2_small"):
        _module("viad_efficientnet_lite0")


def test_a_decoder_of_one_block_is_an_error():
    with pytest.raises(ConfigError, match="decoder_depth"):
        _module(decoder_depth=1)


@pytest.mark.parametrize(
    ("overrides", "backbone"),
    [
        (["model=dinomaly"], "dinov2_small"),
        (["model=dinomaly", "preset=paper"], "dinov2_base"),
        (["model=dinomaly", "preset=paper", "backbone=dinov2_small"], "dinov2_small"),
        (["backbone=resnet18", "model=dinomaly"], "resnet18"),
    ],
)
def test_each_preset_brings_a_transformer_and_the_command_line_wins(tmp_path, overrides, backbone):
    compose_params(overrides, tmp_path / "params.yaml")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert params["model"]["name"] == "dinomaly"
    assert params["backbone"]["name"] == backbone
    assert "defaults" not in params["model"]
