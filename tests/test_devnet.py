"""DevNet, and what it shares with DRA, against independent arithmetic."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anomalib.data.dataclasses import ImageBatch
from hypothesis import given
from hypothesis import strategies as st

from loaders import loader
from viad.errors import ConfigError
from viad.models.deviation_networks import deviation
from viad.models.deviation_networks.devnet import DevNet, DevNetModel
from viad.training import build

LAYERS = ["blocks.4", "blocks.6"]
ARGS = {
    "fine_tune": False, "learning_rate": 1e-3, "weight_decay": 1e-5, "anomalous": 8, "drop_every": 0.2,
    "rotate": False, "whiten": True,
}  # fmt: skip
TUNED = ARGS | {"fine_tune": True, "whiten": False, "rotate": True}
SPEC = {
    "name": "devnet", "class_path": "viad.models.deviation_networks.devnet.DevNet", "learning_type": "supervised",
    "preset": "small",
    "epochs": 10, "steps": None, "batch_size": 4, "backbone": "viad_random", "layers": LAYERS, "mean": [0.5] * 3,
    "std": [0.25] * 3, "channels": 3, "image_size": 64,
}  # fmt: skip


def _built(**args):
    torch.manual_seed(0)
    return build.build_model(build.ModelSpec(**SPEC, args=ARGS | args), "float32")


def test_deviation_loss_by_loops():
    torch.manual_seed(3)
    draws = torch.randn(5000).tolist()
    mean = sum(draws) / 5000
    spread = math.sqrt(sum((d - mean) ** 2 for d in draws) / 4999)
    scores, targets = [0.0, -2.0, 7.0, 1.5, -1.0], [0, 0, 1, 1, 1]
    total = 0.0
    for score, target in zip(scores, targets, strict=True):
        dev = (score - mean) / spread
        total += max(0.0, 5 - dev) if target else abs(dev)
    torch.manual_seed(3)
    loss = deviation.deviation_loss(torch.tensor(scores), torch.tensor(targets))
    assert float(loss) == pytest.approx(total / 5, abs=1e-4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_top_k_score_by_sorting(height, width, seed):
    score_map = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 1, height, width)))
    for one, score in zip(score_map, deviation.top_k_score(score_map), strict=True):
        magnitudes = sorted((abs(float(v)) for v in one.flatten()), reverse=True)
        count = max(1, height * width // 10)
        assert float(score) == pytest.approx(sum(magnitudes[:count]) / count)


@pytest.mark.parametrize(
    ("draw", "shape", "turn"),
    [
        (0.75, (8, 8), lambda x: torch.rot90(x, 1, (-2, -1))),  # 2 * 0.75 - 1 = half of pi
        (1.0, (6, 8), lambda x: x.flip((-2, -1))),
        (0.5, (6, 8), lambda x: x),
    ],
)
def test_rotation_by_right_angles_moves_pixels_only(monkeypatch, draw, shape, turn):
    monkeypatch.setattr(torch, "rand", lambda count, **_: torch.full((count,), draw))
    images = torch.rand_like(torch.empty(2, 3, *shape)) + 1
    torch.testing.assert_close(deviation.rotated(images, torch.zeros(3, 1, 1)), turn(images), rtol=1e-4, atol=1e-4)


def test_rotation_turns_each_image_by_itself_keeps_shapes_and_uncovers_black():
    torch.manual_seed(0)
    images = torch.full((6, 3, 40, 80), 2.0)
    images[:, :, 15:25, 35:45] = 5  # a square around the centre
    black = torch.tensor([-1.0, -2.0, -3.0])[:, None, None]
    turned = deviation.rotated(images, black)
    assert all(not torch.equal(turned[0], other) for other in turned[1:])
    assert (turned.amin(dim=(0, 2, 3)) == black.flatten()).all()
    # no scaling: what lies inside keeps its area, on an image that is not square too
    torch.testing.assert_close((turned > 3.5).sum(dim=(1, 2, 3)) / 300, torch.ones(6), rtol=0, atol=0.1)


def test_whitening_gives_the_normals_the_covariance_of_the_formula():
    torch.manual_seed(0)
    model = DevNetModel("viad_random", ["blocks.4"], pre_trained=False, fine_tune=False)
    batches = [torch.randn(8, 3, 64, 64) for _ in range(3)]
    model.whiten(iter(batches))
    for scale in range(2):
        raw = torch.cat([model.raw_pyramid(images)[scale] for images in batches]).double().movedim(1, -1).flatten(0, 2)
        white = torch.cat([model.pyramid(images)[scale] for images in batches]).double().movedim(1, -1).flatten(0, 2)
        values = torch.linalg.eigvalsh(torch.from_numpy(np.corrcoef(raw.T.numpy()))).clamp_min(0)
        torch.testing.assert_close(white.mean(dim=0), torch.zeros(112, dtype=torch.float64), atol=1e-3, rtol=0)
        found = torch.linalg.eigvalsh(torch.from_numpy(np.cov(white.T.numpy(), bias=True)))
        torch.testing.assert_close(found, values / (values + 0.1), atol=1e-3, rtol=1e-3)


def test_whitening_is_fitted_to_the_training_images(monkeypatch):
    torch.manual_seed(0)
    pixels = torch.rand(4, 3, 64, 64)
    module = _built()
    monkeypatch.setattr(DevNet, "trainer", SimpleNamespace(train_dataloader=loader(pixels)))
    torch.testing.assert_close(torch.cat(list(module.training_images())), (pixels - 0.5) / 0.25)
    module.on_train_start()
    assert not torch.equal(module.model.whitening_0, torch.eye(len(module.model.whitening_0)))


def test_score_and_map_by_hand():
    model = _built().eval().model
    images = torch.randn(2, 3, 128, 64)
    result = model(images)
    whole = torch.nn.functional.interpolate(images, scale_factor=0.5)
    expected, maps = 0, []
    for scaled in (images, whole):
        coarse = model.feature_extractor.extractor.feature_extractor(
            scaled.contiguous(memory_format=torch.channels_last)
        )
        joined = torch.cat([coarse[0], deviation.resized(coarse[1], coarse[0].shape[-2:])], dim=1)
        score_map = torch.einsum("bdhw,d->bhw", joined, model.head.weight[0, :, 0, 0]) + model.head.bias
        expected = expected + deviation.top_k_score(score_map[:, None]) / 2
        maps.append(score_map.abs()[:, None])
    torch.testing.assert_close(result.pred_score, expected)
    assert result.anomaly_map.shape == (2, 1, 8, 4)
    torch.testing.assert_close(result.anomaly_map, (maps[0] + deviation.resized(maps[1], maps[0].shape[-2:])) / 2)


def test_learning_rate_falls_to_a_tenth_every_ten_of_fifty_epochs():
    factors = [deviation.learning_rate_factor(epoch, 50, 0.2) for epoch in range(50)]
    assert factors == pytest.approx([0.1 ** (epoch // 10) for epoch in range(50)])
    thirds = [deviation.learning_rate_factor(epoch, 30, 0.3333) for epoch in range(30)]  # DRA's
    assert thirds == pytest.approx([0.1 ** (epoch // 10) for epoch in range(30)])


def test_features_are_cached_only_where_the_backbone_sees_each_image_unchanged_and_stays_frozen():
    assert _built().CACHES_FEATURES
    assert not _built(rotate=True).CACHES_FEATURES
    assert not _built(**TUNED).CACHES_FEATURES
    assert not _built(fine_tune=True, whiten=False).CACHES_FEATURES


def test_fine_tuning_trains_the_whole_backbone_and_rotates(monkeypatch):
    module = _built(**TUNED)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.train()
    seen = []
    module.model.feature_extractor.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    images = torch.full((4, 3, 64, 64), 2.0)
    batch = ImageBatch(image=images, gt_label=torch.tensor([0, 0, 1, 1]))
    module.training_step(batch).backward()
    assert [tuple(x.shape[-2:]) for x in seen] == [(64, 64), (32, 32)]
    assert float(seen[0].min()) == -2.0  # black, normalised
    gradients = {name: p.grad for name, p in module.model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert any(name.startswith("feature_extractor") for name in gradients)


def test_whitening_a_backbone_that_trains_is_refused():
    with pytest.raises(ConfigError, match="whiten needs frozen features"):
        _built(fine_tune=True)
