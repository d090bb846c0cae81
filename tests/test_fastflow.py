"""FastFlow against anomalib's and against autograd; the map that it shares with CFlow."""

import math

import pytest
import torch
from anomalib.models.image.fastflow.anomaly_map import AnomalyMapGenerator
from anomalib.models.image.fastflow.loss import FastflowLoss
from anomalib.models.image.fastflow.torch_model import FastflowModel as AnomalibModel
from anomalib.pre_processing import PreProcessor
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms.v2 import Resize

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.models import fastflow
from viad.models.components.likelihood import joint_map

FLOW = {"flow_steps": 2, "conv3x3_only": False, "hidden_ratio": 1.0}
SHAPES = [(6, 4, 4), (5, 2, 2)]


class _Features(nn.Module):
    layers = ("fine", "coarse")

    def forward(self, images):
        return {k: torch.zeros(len(images), *shape) for k, shape in zip(self.layers, SHAPES, strict=True)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = fastflow.FastflowModel(_Features(), (8, 8), **FLOW).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def _inputs(batch):
    return [torch.randn(batch, *shape, dtype=torch.float64) for shape in SHAPES]


def test_log_determinant_is_that_of_autograds_jacobian(model):
    inputs = _inputs(1)
    expected = 0.0
    for x, norm, block in zip(inputs, model.norms, model.fast_flow_blocks, strict=True):
        normal = F.layer_norm(x, x.shape[1:])

        def flat(y, norm=norm, block=block, shape=x.shape):
            return block(y.reshape(shape) * norm.weight + norm.bias)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(flat, normal.flatten())
        expected += float(torch.linalg.slogdet(jacobian).logabsdet)
    _, log_det = model.transform(inputs)
    assert log_det.item() == pytest.approx(expected, abs=1e-6)
    assert abs(expected) > 0.1


def test_images_of_a_batch_do_not_touch_each_other(model):
    inputs = _inputs(3)
    outputs, log_det = model.transform(inputs)
    alone, log_alone = model.transform([x[1:2] for x in inputs])
    torch.testing.assert_close(log_det[1:2], log_alone)
    for z, one in zip(outputs, alone, strict=True):
        torch.testing.assert_close(z[1:2], one)


def test_training_moves_every_trainable_parameter(model):
    fastflow.negative_log_likelihood(*model.transform(_inputs(2))).mean().backward()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad.abs().sum() > 0, name


@pytest.fixture(scope="module")
def pair():
    """Ours and anomalib's with the same weights, the normalisation's among them."""
    torch.manual_seed(0)
    theirs = AnomalibModel((64, 64), "resnet18", pre_trained=False, **FLOW)
    with torch.no_grad():
        for norm in theirs.norms:
            norm.weight.uniform_(0.5, 2), norm.bias.normal_()
    ours = fastflow.Fastflow(
        "resnet18", ["layer1", "layer2", "layer3"], pre_trained=False, **FLOW,
        pre_processor=PreProcessor(Resize((64, 64))), post_processor=False, evaluator=False, visualizer=False,
    ).model  # fmt: skip
    name = "feature_extractor."
    state = {name + k if k.startswith(name) else k: v for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return ours.eval(), theirs.train()


def test_flows_and_loss_are_anomalibs_but_for_the_normalisations_scale(pair):
    ours, theirs = pair
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        outputs, log_det = ours.flow(images)
        expected, jacobians = theirs(images)
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(a, b)
    scale = sum(norm.weight.log().sum() for norm in theirs.norms)
    torch.testing.assert_close(log_det, sum(jacobians) + scale)
    loss = fastflow.negative_log_likelihood(outputs, log_det - scale).mean()
    torch.testing.assert_close(loss, FastflowLoss.forward(expected, jacobians), rtol=1e-4, atol=1e-2)


def test_maps_order_positions_as_anomalibs_do(pair):
    ours, _ = pair
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        outputs = [z / 3 for z in ours.flow(images)[0]]
    same = [F.interpolate(z, size=(16, 16), mode="nearest") for z in outputs]  # one grid: nothing to interpolate
    expected = AnomalyMapGenerator((16, 16))(same)
    result = fastflow.anomaly_scores(same)
    torch.testing.assert_close(-(-result.anomaly_map).exp(), expected)
    torch.testing.assert_close(-(-result.pred_score).exp(), expected.amax(dim=(1, 2, 3)))


@pytest.mark.parametrize("side", [64, 72, 100])
def test_any_image_size_fits(side):
    model = fastflow.Fastflow(
        "viad_random", ["blocks.2", "blocks.6"], pre_trained=False, **FLOW, post_processor=False,
        pre_processor=PreProcessor(Resize((side, side))), evaluator=False, visualizer=False,
    ).eval()  # fmt: skip
    result = model.model(torch.rand(2, 3, side, side))
    assert result.anomaly_map.shape == (2, 1, math.ceil(side / 8), math.ceil(side / 8))


def test_joint_map_by_hand_and_far_out():
    fine, coarse = torch.tensor([[[[-1.0, -2.0]]]]), torch.tensor([[[[-3.0]]]])
    expected = [-math.log((math.exp(log) + math.exp(-3)) / 2) for log in (-1, -2)]
    torch.testing.assert_close(joint_map([fine, coarse]), torch.tensor([[[expected]]]))
    far = torch.tensor([-200.0, -201.0, -5000.0]).reshape(3, 1, 1, 1)
    torch.testing.assert_close(joint_map([far, far]), -far)
