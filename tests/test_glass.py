"""GLASS: the step equals anomalib's where it should, and what we made otherwise."""

import math
from types import SimpleNamespace

import pytest
import torch
from anomalib.models.image.glass.torch_model import GlassModel as AnomalibModel
from torch import nn
from torch.nn import functional as F  # noqa: N812

import viad.backbones.embedded  # noqa: F401  # registers stand-ins with timm
from loaders import loader
from viad.backbones.feature_cache import FeatureCache
from viad.models import glass
from viad.models.glass import Glass, truncated

PARTS = {"post_processor": False, "evaluator": False, "visualizer": False}
ARGS = {
    "textures": None, "dimensions": 8, "hidden": 6, "noise": 0.015, "standardize": False, "ascent_steps": 5,
    "hypersphere": False, "patches_per_step": None, "learning_rate": 1e-3, "pre_trained": False,
}  # fmt: skip


class Pixels(nn.Module):
    """Stands for a backbone: patches are the image's pixels."""

    cache = None

    def forward(self, images):
        return {"patches": images}


class Function(nn.Module):
    """A function where torch accepts modules alone."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def _module(**changes):
    torch.manual_seed(0)
    pre_processor = Glass.configure_pre_processor((64, 64))
    return Glass("viad_random", ["blocks.2", "blocks.4"], **(ARGS | changes), pre_processor=pre_processor, **PARTS)


@pytest.mark.parametrize("hypersphere", [False, True])
@pytest.mark.parametrize("steps", [0, 5, 12])
def test_the_step_is_anomalibs(monkeypatch, hypersphere, steps):
    """With anomalib's constants, which are the paper's, and without its gradient through the radius."""
    quantile = torch.quantile
    monkeypatch.setattr(torch, "quantile", lambda values, q: quantile(values.detach(), q))
    monkeypatch.setattr(glass, "RADIUS", 0.5 / (0.015 * math.sqrt(8)))
    monkeypatch.setattr(glass, "ASCENT", 0.001 / (0.015 * math.sqrt(8)))
    model = _module(ascent_steps=steps, hypersphere=hypersphere).model
    theirs = AnomalibModel(
        input_shape=(64, 64), backbone="viad_random", layers=["blocks.2", "blocks.4"], pretrain_embed_dim=8,
        target_embed_dim=8, discriminator_hidden=6, pre_trained=False, step=steps, svd=int(hypersphere),
    )  # fmt: skip
    theirs.projection, theirs.discriminator = model.projection, model.discriminator
    patches, pasted = torch.randn(2, 2, 8, 4, 4).unbind()
    mask = (torch.rand(2, 1, 4, 4) < 0.3).float()
    rows = [model.adapted(x).flatten(0, 1) for x in (patches, pasted)]
    theirs.center = torch.randn(16, 8)
    theirs.augmentor = Function(lambda images: (images, mask))
    theirs.calculate_features = lambda *_: (rows[0], rows[1].clone(), [(4, 4)])
    running = {k: v.clone() for k, v in model.discriminator.state_dict().items()}
    torch.manual_seed(5)
    expected = theirs.train()(torch.zeros(2, 3, 4, 4))[-1]
    expected_gradients = torch.autograd.grad(expected, model.projection.parameters(), retain_graph=True)
    model.discriminator.load_state_dict(running)  # batch-norm's statistics as they were
    torch.manual_seed(5)
    loss = model.train().loss(*rows, theirs.center.repeat(2, 1), mask=mask.flatten())
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(loss, model.projection.parameters())
    for ours, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-5)


def test_patches_are_anomalibs():
    ours = _module().model.eval()
    theirs = AnomalibModel(
        input_shape=(64, 64), backbone="viad_random", layers=["blocks.2", "blocks.4"], pretrain_embed_dim=8,
        target_embed_dim=8, pre_trained=False,
    ).eval()  # fmt: skip
    images = torch.rand(2, 3, 64, 64)
    expected, _ = theirs.generate_embeddings(images, evaluation=True)
    torch.testing.assert_close(ours.patches(images).permute(0, 2, 3, 1).flatten(0, 2), expected, rtol=1e-3, atol=1e-4)


def test_truncated_projection_by_loop():
    torch.manual_seed(0)
    points, origin = torch.randn(2, 30, 4).unbind()
    for point, start, moved in zip(points, origin, truncated(points, origin, 1.0, 2.0), strict=True):
        ray = point - start
        expected = start + ray * min(max(float(ray.norm()), 1.0), 2.0) / ray.norm()
        torch.testing.assert_close(moved, expected)


def test_ascent_drives_anomalies_to_where_the_discriminator_errs():
    model = _module(ascent_steps=4, noise=1.0).model.eval()
    normal = torch.randn(50, 8, requires_grad=True)
    torch.manual_seed(1)
    start = normal + torch.randn_like(normal)
    torch.manual_seed(1)
    end = model._ascended(normal, normal, None)
    outputs = [model.discriminator(x) for x in (start, end)]
    errors = [float(F.binary_cross_entropy(x.detach(), torch.ones_like(x))) for x in outputs]
    assert errors[1] > errors[0]
    moved = (end - start).detach().norm(dim=1)
    assert float(moved.max()) <= 4 * model.ascent + 1e-5


def test_constants_are_the_papers_on_its_features_and_grow_with_the_noise():
    module = _module(dimensions=1536, hidden=4)
    assert (module.model.radius, module.model.ascent) == pytest.approx((0.5, 0.001))
    assert _module(dimensions=1536, hidden=4, noise=0.15).model.radius == pytest.approx(5)


def test_textures_are_pasted_into_normalised_images_as_into_plain_ones():
    module = _module()
    plain = torch.rand(2, 3, 64, 64)
    module.anomalies = lambda images: (images.clone().index_fill_(3, torch.arange(8), 1.0), torch.ones(2, 1, 64, 64))
    changed, _ = module._with_textures(module.pre_processor(plain))
    plain[..., :8] = 1
    torch.testing.assert_close(changed, module.pre_processor(plain), rtol=1e-4, atol=1e-5)


def test_the_twin_with_textures_neither_reads_nor_fills_the_cache(tmp_path):
    module = _module()
    frozen = module.model.feature_extractor
    frozen.cache = FeatureCache(tmp_path, ["a", "b"])
    frozen.cache.announce(["a", "b"])
    module._do_not_cache()
    assert frozen.cache._announced is None


def test_the_centre_is_the_mean_over_images_at_each_position():
    module = _module(dimensions=3, hypersphere=True)
    module.model.feature_extractor = Pixels()
    module.pre_processor = Function(lambda images: images - 0.5)
    images = torch.rand(5, 3, 4, 4)
    module._trainer = SimpleNamespace(train_dataloader=loader(images))
    module.on_train_epoch_start()
    one_by_one = [module.model.projection((x - 0.5).flatten(1).T) for x in images]
    torch.testing.assert_close(module.center, torch.stack(one_by_one).mean(dim=0))


def test_scores_order_as_probabilities_and_do_not_saturate():
    model = _module(dimensions=3).model.eval()
    model.feature_extractor = Pixels()
    images = torch.rand(4, 3, 6, 5)
    result = model(images)
    probability = model.discriminator(model.adapted(images).flatten(0, 1)).view(4, 1, 6, 5)
    torch.testing.assert_close(result.anomaly_map, probability)
    torch.testing.assert_close(result.pred_score.sigmoid(), probability.amax(dim=(1, 2, 3)))
    with torch.no_grad():
        model.discriminator.tail[0].weight.mul_(1e4)
    assert len(model(images).pred_score.unique()) == 4


def test_opacity_is_normal_and_cut_off():
    torch.manual_seed(0)
    drawn = torch.tensor([glass._opacity() for _ in range(4000)])
    assert (float(drawn.mean()), float(drawn.std())) == pytest.approx((0.5, 0.1), abs=0.01)
    assert drawn.min() >= 0.2
    assert drawn.max() <= 0.8
