"""CFlow's parts against anomalib's, autograd and loops, and that scores depend on one image alone."""

import itertools
import math

import pytest
import torch
from anomalib.models.image.cflow.torch_model import CflowModel as AnomalibModel
from anomalib.models.image.cflow.utils import positional_encoding_2d
from torch import nn

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.models import cflow

SHAPES = [(6, 4, 3), (5, 2, 2)]


class _Features(nn.Module):
    layers = ("fine", "coarse")
    out_dims = (6, 5)

    def forward(self, images):
        rng = [torch.Generator().manual_seed(int(image.sum() * 1e6)) for image in images]
        return {
            k: torch.stack([torch.randn(shape, generator=g, dtype=torch.float64) for g in rng])
            for k, shape in zip(self.layers, SHAPES, strict=True)
        }


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = cflow.CflowModel(_Features(), 8, 2, 1.9).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
        model.greatest.copy_(torch.tensor([-1.0, 0.5]))
        model.scales[0].mean.normal_(), model.scales[0].deviation.uniform_(0.5, 2)
    return model


def test_likelihood_is_that_of_autograds_jacobian(model):
    fiber, condition = torch.randn(1, 6, dtype=torch.float64), torch.randn(1, 8, dtype=torch.float64)
    scaled = (fiber - model.scales[0].mean) / model.scales[0].deviation

    def decode(x):
        return model.decoders[0](x[None], [condition])[0][0]

    jacobian = torch.autograd.functional.jacobian(decode, scaled[0])
    normal = torch.distributions.Normal(0, 1).log_prob(decode(scaled[0])).sum()
    expected = (normal + torch.linalg.slogdet(jacobian).logabsdet) / 6
    torch.testing.assert_close(model.log_likelihood(0, fiber, condition), expected[None], rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_log_maps_put_each_fiber_in_its_place(model, monkeypatch):
    monkeypatch.setattr(cflow, "FIBERS_AT_ONCE", 5)
    images = torch.rand(3, 3, 8, 8)
    features, maps = model.features(images), model.log_maps(images)
    for scale, row, column in [(0, 3, 1), (0, 0, 2), (1, 1, 0)]:
        encoding = positional_encoding_2d(8, *SHAPES[scale][1:])[None, :, row, column].double()
        alone = model.log_likelihood(scale, features[scale][2:, :, row, column], encoding)
        torch.testing.assert_close(maps[scale][2, 0, row, column], alone[0])


@torch.no_grad()
def test_scores_do_not_depend_on_the_batch_where_anomalibs_do(model):
    images = torch.rand(3, 3, 8, 8)
    together = model(images)
    for i in range(3):
        alone = model(images[i : i + 1])
        torch.testing.assert_close(alone.pred_score, together.pred_score[i : i + 1])
        torch.testing.assert_close(alone.anomaly_map, together.anomaly_map[i : i + 1])
    theirs = AnomalibModel("viad_random", ["blocks.2"], pre_trained=False, coupling_blocks=1)
    many = torch.rand(2, 3, 64, 64)
    many[1] *= 5
    alone = torch.cat([theirs(image[None]).anomaly_map for image in many])
    assert (theirs(many).anomaly_map - alone).abs().max() > 0.5


@torch.no_grad()
def test_maps_order_positions_as_the_papers_formula(model):
    logs = [torch.randn(2, 1, 4, 4, dtype=torch.float64) - 2 for _ in range(2)]
    result = model.anomaly_scores(logs)
    ratios = sum((log - greatest).exp() for log, greatest in zip(logs, model.greatest, strict=True))
    torch.testing.assert_close(-2 * (-result.anomaly_map).exp(), -ratios)
    torch.testing.assert_close(result.pred_score, result.anomaly_map.flatten(1).max(dim=1).values)


@pytest.mark.parametrize("size", [1, 5, 16, 24, 100])
def test_batches_hold_every_fiber_once_with_its_place(size):
    feature = torch.arange(2 * 3 * 4 * 3.0).reshape(2, 3, 4, 3)
    expected, encoding = {}, positional_encoding_2d(8, 4, 3)
    for b, row, column in itertools.product(range(2), range(4), range(3)):
        expected[tuple(feature[b, :, row, column].tolist())] = encoding[:, row, column]
    batches = list(cflow.fiber_batches(feature, 8, size))
    assert min(len(fibers) for fibers, _ in batches) >= min(size, 24)
    found = [(tuple(f.tolist()), c) for fibers, conditions in batches for f, c in zip(fibers, conditions, strict=True)]
    assert len(found) == 24
    assert dict(found).keys() == expected.keys()
    assert all(torch.equal(condition, expected[fiber]) for fiber, condition in found)


def test_learning_rate_warms_up_and_follows_the_cosine():
    factors = [cflow.learning_rate_factor(epoch, 200) for epoch in range(200)]
    assert factors[0] < 0.17
    assert all(b > a for a, b in itertools.pairwise(factors[:16]))
    assert all(b < a for a, b in itertools.pairwise(factors[15:]))
    assert factors[100] == pytest.approx(0.001 + 0.999 / 2)
    assert factors[-1] < 0.0012
    assert cflow.learning_rate_factor(0, 3) == pytest.approx(1)


def test_greatest_likelihood_starts_anew_each_epoch_and_is_that_of_all_fibers():
    parts = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
    module = cflow.Cflow(
        "viad_random", ["blocks.2", "blocks.4"], fiber_batch_size=16, condition_vector=8, coupling_blocks=1,
        clamp_alpha=1.9, learning_rate=0.0, standardize=False, pre_trained=False, **parts,
    )  # fmt: skip
    optimizer = torch.optim.SGD(module.model.decoders.parameters(), 0.0)
    module.optimizers = lambda: optimizer
    module.manual_backward = lambda loss: loss.backward()
    module.log = lambda *_, **__: None
    images = torch.rand(2, 3, 64, 64)
    module.model.greatest.fill_(math.inf)
    module.on_train_epoch_start()
    module.training_step(type("Batch", (), {"image": images})())
    with torch.no_grad():
        logs = module.model.log_maps(images)
    torch.testing.assert_close(module.model.greatest, torch.stack([log.max() for log in logs]))
