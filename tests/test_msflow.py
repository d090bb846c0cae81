"""MSFlow's parts against independent arithmetic."""

import itertools
import math

import pytest
import torch
from torch.nn.utils import parameters_to_vector

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.models import msflow


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = ["blocks.1", "blocks.2", "blocks.4"]
    model = msflow.MSFlowModel("viad_random", layers, [1, 1, 2], pre_trained=False, reflect=False).double()
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.normal_(0, 0.2)
    return model


def _inputs(model, batch=1):
    sizes = [(4, 4), (2, 2), (1, 1)]
    return [torch.randn(batch, c, *size, dtype=torch.float64) for c, size in zip(model.channels, sizes, strict=True)]


def _split(flat, shapes):
    return [part.reshape(shape) for part, shape in zip(flat.split([math.prod(s) for s in shapes]), shapes, strict=True)]


@pytest.mark.parametrize("which", ["fusion", "whole"])
def test_log_determinant_is_that_of_autograds_jacobian(model, which):
    inputs = _inputs(model)
    shapes = [x.shape for x in inputs]
    flow = model.fusion if which == "fusion" else model.flow

    def flat(vector):
        outputs, _ = flow(_split(vector, shapes))
        return torch.cat([z.flatten() for z in outputs])

    jacobian = torch.autograd.functional.jacobian(flat, torch.cat([x.flatten() for x in inputs]))
    _, log_det = flow(inputs)
    assert log_det.item() == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-6)
    assert abs(log_det.item()) > 0.1  # else the test would hold for a flow that does nothing


def test_fusion_is_invertible(model):
    inputs = _inputs(model, batch=3)
    outputs, _ = model.fusion(inputs)
    for x, back in zip(inputs, model.fusion.inverse(outputs), strict=True):
        torch.testing.assert_close(back, x)
    assert any((x - z).abs().max() > 0.1 for x, z in zip(inputs, outputs, strict=True))


def test_images_of_a_batch_do_not_touch_each_other(model):
    inputs = _inputs(model, batch=3)
    outputs, log_det = model.flow(inputs)
    alone, log_alone = model.flow([x[1:2] for x in inputs])
    torch.testing.assert_close(log_det[1:2], log_alone)
    for z, one in zip(outputs, alone, strict=True):
        torch.testing.assert_close(z[1:2], one)


def test_loss_is_the_mean_over_images_not_over_entries():
    outputs = [torch.full((2, 3, 2, 2), 2.0), torch.ones(2, 1, 1, 1)]
    expected = ((3 * 4 * 4 + 1) / 2 - 5 + (3 * 4 * 4 + 1) / 2 - 7) / 2
    assert float(msflow.negative_log_likelihood(outputs, torch.tensor([5.0, 7.0]))) == pytest.approx(expected)


def test_scores_by_loops():
    torch.manual_seed(0)
    outputs = [torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8)]  # one grid: no upsampling to repeat here
    result = msflow.anomaly_scores(outputs)
    for i in range(2):
        logs = [[[-(z[i, :, y, x] ** 2).mean().item() / 2 for x in range(8)] for y in range(8)] for z in outputs]
        added = [[0.0] * 8 for _ in range(8)]
        for log in logs:
            top = max(max(row) for row in log)
            for y in range(8):
                for x in range(8):
                    added[y][x] += math.exp(log[y][x] - top)
        highest = max(max(row) for row in added)
        expected = torch.tensor([[highest - v for v in row] for row in added])
        torch.testing.assert_close(result.anomaly_map[i, 0], expected)
        product = torch.tensor(logs).sum(dim=0).flatten()
        worst = (1 - (product - product.max()).exp()).sort(descending=True).values[: int(64 * 0.03)]
        torch.testing.assert_close(1 - (-result.pred_score[i]).exp(), worst.mean())


def test_scores_of_large_defects_do_not_tie():
    quiet = torch.zeros(3, 1, 8, 8)
    for i, depth in enumerate((30, 31, 60)):
        quiet[i, :, :4] = (2 * depth) ** 0.5
    scores = msflow.anomaly_scores([quiet]).pred_score
    torch.testing.assert_close(scores, torch.tensor([30.0, 31.0, 60.0]))


def test_positional_encoding_by_formula():
    encoding = msflow.positional_encoding(5, 7)
    assert encoding.shape == (64, 5, 7)
    for channel, row, column in [(0, 3, 6), (5, 1, 2), (33, 4, 0), (62, 2, 5)]:
        position = column if channel < 32 else row
        i = (channel % 32) // 2
        angle = position * 10000 ** (-2 * i / 32)
        expected = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
        assert float(encoding[channel, row, column]) == pytest.approx(expected, abs=1e-5)


def test_learning_rate_schedule_of_the_paper():
    factors = [msflow.learning_rate_factor(epoch, 100) for epoch in range(100)]
    assert factors[0] < 0.2
    assert factors[11] == factors[69] == 1
    assert factors[70] == factors[89] == pytest.approx(0.33)
    assert factors[90] == factors[99] == pytest.approx(0.1089)
    assert all(b > a for a, b in itertools.pairwise(factors[:12]))


def test_the_papers_network_has_99_million_trainable_parameters():
    layers = ["layer1", "layer2", "layer3"]
    with torch.device("meta"):
        model = msflow.MSFlowModel("wide_resnet50_2.tv_in1k", layers, [2, 5, 8], pre_trained=False, reflect=True)
    trainable = sum(p.numel() for m in (model.parallel, model.fusion) for p in m.parameters() if p.requires_grad)
    assert trainable == pytest.approx(99.6e6, rel=0.005)
    assert model.feature_extractor.feature_extractor.conv1.padding_mode == "reflect"


def test_training_moves_every_trainable_parameter(model):
    before = parameters_to_vector(p for p in model.parameters() if p.requires_grad).clone()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
    msflow.negative_log_likelihood(*model.flow(_inputs(model, batch=4))).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.startswith("feature_extractor"):
            assert parameter.grad is not None, name
    optimizer.step()
    assert not torch.equal(before, parameters_to_vector(p for p in model.parameters() if p.requires_grad))
