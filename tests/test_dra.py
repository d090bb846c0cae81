"""DRA's heads, loss, references and pseudo anomalies against independent arithmetic."""

import math
from types import SimpleNamespace

import pytest
import torch
from anomalib.data.dataclasses import ImageBatch
from torchvision.transforms.v2 import Identity

from loaders import loader
from viad.backbones.feature_cache import FeatureCache
from viad.models.deviation_networks import dra
from viad.models.deviation_networks.deviation import deviation_loss
from viad.training import build

ARGS = {
    "references": 3, "fine_tune": False, "learning_rate": 1e-3, "weight_decay": 1e-5, "anomalous": 8,
    "drop_every": 1 / 3, "rotate": False, "whiten": False,
}  # fmt: skip
TUNED = ARGS | {"fine_tune": True, "rotate": True}
SPEC = {
    "name": "dra", "class_path": "viad.models.deviation_networks.dra.DRA", "learning_type": "supervised",
    "preset": "small",
    "epochs": 6, "steps": None, "batch_size": 4, "backbone": "viad_random", "layers": ["blocks.2"], "mean": [0.5] * 3,
    "std": [0.25] * 3, "channels": 3, "image_size": 64,
}  # fmt: skip


LABELS = [int(i % 3 == 2) for i in range(9)]
PIXELS = torch.rand(9, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def module(monkeypatch):
    return _built(monkeypatch)


def _built(monkeypatch, **args):
    torch.manual_seed(0)
    built = build.build_model(build.ModelSpec(**SPEC, args=ARGS | args), "float32")
    trainer = SimpleNamespace(train_dataloader=loader(PIXELS, LABELS))
    monkeypatch.setattr(dra.DRA, "trainer", trainer)
    monkeypatch.setattr(built, "log", lambda *_, **__: None)
    built.on_train_start()
    return built.train()


def test_references_are_normal_images_spread_over_the_table_and_their_features_the_mean(module):
    normals = [i for i in range(9) if i % 3 != 2]
    images = torch.stack([(PIXELS[normals[k]] - 0.5) / 0.25 for k in (0, 2, 4)])
    torch.testing.assert_close(module.reference_images, images)
    for scale, features in enumerate(module.model.pyramid(images)):
        mean = sum(features[i] for i in range(3)) / 3
        torch.testing.assert_close(module.model.references[scale], mean)


def test_score_and_map_by_hand(module):
    model = module.eval().model
    torch.nn.init.normal_(model.residual[1].running_mean, 0, 0.1)
    images = torch.randn(2, 3, 64, 64)
    result = model(images)
    score, anomaly_map = torch.zeros(2), torch.zeros(2, 1, 8, 8)
    for features, reference in zip(model.pyramid(images), model.references, strict=True):
        side = features.shape[-1]
        difference = torch.stack([reference - one for one in features])
        conv, norm, _, last = model.residual
        hidden = torch.nn.functional.conv2d(difference, conv.weight, conv.bias, padding=1)
        mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        hidden = (hidden - mean) / (variance + norm.eps).sqrt()
        for head, entry in ((model.seen, features), (model.pseudo, features), (last, hidden.clamp_min(0))):
            values = torch.einsum("bdhw,d->bhw", entry, head.weight[0, :, 0, 0]) + head.bias
            count = max(1, side * side // 10)
            score += values.abs().flatten(1).sort(dim=1, descending=True).values[:, :count].mean(dim=1) / 2
            upsampled = torch.nn.functional.interpolate(values.abs()[:, None], size=(8, 8), mode="bilinear")
            anomaly_map += upsampled / 2
        pooled = torch.stack([one.flatten(1).mean(dim=1) for one in features])
        first, _, second = model.holistic
        score -= second((first(pooled)).clamp_min(0)).flatten().abs() / 2
    torch.testing.assert_close(result.pred_score, score)
    torch.testing.assert_close(result.anomaly_map, anomaly_map)


def test_scores_depend_neither_on_chance_nor_on_the_batch(module):
    module.eval()
    images = torch.rand(4, 3, 64, 64)
    first = module(images)
    torch.manual_seed(99)
    for i in range(4):
        again = module(images[i : i + 1])
        torch.testing.assert_close(again.pred_score, first.pred_score[i : i + 1])
        torch.testing.assert_close(again.anomaly_map, first.anomaly_map[i : i + 1])


def test_loss_gives_each_head_its_own_images_and_targets(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda count, **_: torch.tensor([-1.0, 1.0]).repeat(count // 2))
    spread = math.sqrt(5000 / 4999)
    kinds = [0, 0, 1, 2, 2]
    heads = {head: [0.5 * (i + k) - 1 for i in range(5)] for k, head in enumerate(("seen", "pseudo", "residual"))}
    heads["holistic"] = [3.0, 0.25, 0.5, 6.0, 1.0]
    takes = {"seen": ({0, 1}, {1}), "pseudo": ({0, 2}, {2}), "residual": ({0, 1, 2}, {1, 2})}
    takes["holistic"] = ({0, 1, 2}, {0})
    expected = 0.0
    for head, (seen, high) in takes.items():
        devs = [(k, s / spread) for k, s in zip(kinds, heads[head], strict=True) if k in seen]
        expected += sum(max(0, 5 - dev) if k in high else abs(dev) for k, dev in devs) / len(devs)
    loss = dra.dra_loss({head: torch.tensor(s) for head, s in heads.items()}, torch.tensor(kinds))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_a_pasted_rectangle_is_one_of_the_image_within_the_limits_of_area_and_shape():
    torch.manual_seed(1)
    image = torch.arange(3 * 96 * 128).reshape(3, 96, 128) / (3 * 96 * 128)  # every pixel differs
    shares, ratios = [], []
    for _ in range(60):
        pasted = dra.cut_and_paste(image, Identity())
        rows, columns = (pasted != image)[0].nonzero().T
        if not len(rows):  # pasted onto itself
            continue
        top, bottom, left, right = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
        assert len(rows) == (bottom - top) * (right - left)  # a filled rectangle
        first = pasted[0, top, left] * image.numel()
        y, x = divmod(round(float(first)), 128)
        torch.testing.assert_close(pasted[:, top:bottom, left:right],
                                   image[:, y : y + bottom - top, x : x + right - left])  # fmt: skip
        shares.append(len(rows) / (96 * 128))
        ratios.append((right - left) / (bottom - top))
    assert 0.018 < min(shares) < 0.05
    assert 0.1 < max(shares) < 0.155
    assert 0.28 < min(ratios) < 0.6
    assert 1.7 < max(ratios) < 3.5


def test_pseudo_anomalies_come_back_normalised_with_jittered_colours(module):
    torch.manual_seed(0)
    images = (torch.rand(5, 3, 1, 1).expand(-1, -1, 64, 64) - 0.5) / 0.25  # of one colour: only the jitter shows
    pseudo = module.pseudo_anomalies(images)
    changed = ((pseudo - images).abs() > 1e-3).any(dim=1).float().mean(dim=(1, 2))
    assert (changed > 0.015).all()
    assert (changed < 0.16).all()
    assert (pseudo - images).abs().max() < 2  # a jitter, not another picture
    assert module.pseudo_anomalies(images[:0]).shape == (0, 3, 64, 64)


def _compute():
    raise LookupError("to be computed")


def test_pseudo_anomalies_never_enter_the_feature_cache(module, tmp_path):
    names = [str(i) for i in range(6)]
    cache = module.model.feature_extractor.cache = FeatureCache(tmp_path, names)
    images = torch.rand(6, 3, 64, 64)
    batch = ImageBatch(image=images, gt_label=torch.tensor([0, 0, 0, 0, 1, 1]), image_path=names)
    for _ in range(2):
        cache.announce(names)
        module.training_step(batch).backward()
    cache.announce(names[2:])
    stored = cache.features(images[2:], _compute)
    fresh = module.model.feature_extractor._compute(images[2:])
    for layer, features in fresh.items():
        torch.testing.assert_close(stored[layer], features)
    cache.announce(names[:1])  # was always a pseudo anomaly
    with pytest.raises(LookupError, match="to be computed"):
        cache.features(images[:1], _compute)


def test_fine_tuning_trains_everything_and_refreshes_the_stored_references(monkeypatch):
    monkeypatch.setitem(SPEC, "layers", ["blocks.6"])  # the last: all of the backbone has a part in it
    module = _built(monkeypatch, **TUNED)
    before = [r.clone() for r in module.model.references]
    batch = ImageBatch(image=torch.randn(6, 3, 64, 64), gt_label=torch.tensor([0, 0, 0, 0, 1, 1]))
    optimizer = torch.optim.SGD(module.model.parameters(), 0.1)
    module.training_step(batch).backward()
    assert all(p.grad is not None for p in module.model.parameters())
    optimizer.step()
    module.on_train_end()
    module.eval()
    for i, features in enumerate(module.model.pyramid(module.reference_images)):
        torch.testing.assert_close(module.model.references[i], features.mean(dim=0))
        assert not torch.equal(module.model.references[i], before[i])


def test_pseudo_targets_leave_the_seen_head_alone():
    scores = {head: torch.zeros(3, requires_grad=True) for head in ("seen", "pseudo", "residual", "holistic")}
    dra.dra_loss(scores, torch.tensor([0, 1, 2])).backward()
    assert scores["seen"].grad[2] == 0
    assert scores["pseudo"].grad[1] == 0
    assert float(deviation_loss(torch.tensor([99.0]), torch.tensor([1]))) == 0
