"""CS-Flow against anomalib's flow, autograd and loops."""

import pytest
import torch
from anomalib.models.image.csflow.anomaly_map import AnomalyMapGenerator, AnomalyMapMode
from anomalib.models.image.csflow.loss import CsFlowLoss
from anomalib.models.image.csflow.torch_model import CrossScaleFlow as AnomalibFlow
from anomalib.models.image.csflow.torch_model import ParallelGlowCouplingLayer
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import Resize

import viad.backbones.embedded  # registers viad_random
import viad.backbones.frozen
from viad.errors import ConfigError
from viad.models import csflow

ARGS = {
    "cross_conv_hidden_channels": 4, "n_coupling_blocks": 2, "learning_rate": 2e-4, "standardize": False,
    "pre_trained": False,
}  # fmt: skip


def _module(side=64, backbone="viad_random", layers=("blocks.6",), *, drop=False):
    return csflow.Csflow(
        backbone, layers, drop_last_stage=drop, pre_processor=PreProcessor(Resize((side, side))),
        post_processor=False, evaluator=False, visualizer=False, **ARGS,
    )  # fmt: skip


def _shake(flow, deviation=0.3):
    """Away from the start, where the gains of all subnets are 0 and the flow only permutes."""
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=1.0 if "gamma" in name else deviation)
    return flow


@pytest.fixture
def flow():
    torch.manual_seed(0)
    return _shake(csflow.CrossScaleFlow(3, 4, 2).double())


def _inputs(batch, sizes=(4, 2, 1), channels=3):
    return [torch.randn(batch, channels, size, size, dtype=torch.float64) for size in sizes]


@pytest.mark.parametrize("sizes", [(4, 2, 1), (3, 2, 1)])
def test_log_determinant_is_that_of_autograds_jacobian(flow, sizes):
    inputs = _inputs(1, sizes)
    lengths = [x.numel() for x in inputs]

    def flat(vector):
        parts = [part.reshape(x.shape) for part, x in zip(vector.split(lengths), inputs, strict=True)]
        return torch.cat([z.flatten() for z in flow(parts)[0]])

    jacobian = torch.autograd.functional.jacobian(flat, torch.cat([x.flatten() for x in inputs]))
    _, log_det = flow(inputs)
    assert log_det.item() == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-6)
    assert abs(log_det.item()) > 0.1


def test_log_determinant_is_each_images_own_where_anomalib_adds_up_the_batch(flow):
    inputs = _inputs(3)
    outputs, log_det = flow(inputs)
    assert log_det.shape == (3,)
    for i in range(3):
        alone, log_alone = flow([x[i : i + 1] for x in inputs])
        torch.testing.assert_close(log_det[i : i + 1], log_alone)
        for z, one in zip(outputs, alone, strict=True):
            torch.testing.assert_close(z[i : i + 1], one)
    coupling = flow.couplings[0]
    _, own = coupling(inputs)
    _, added = ParallelGlowCouplingLayer.forward(coupling, inputs)
    torch.testing.assert_close(own.sum(), added)


def test_flow_and_loss_are_anomalibs_for_one_image():
    torch.manual_seed(0)
    theirs = _shake(AnomalibFlow((3, 128, 256), 2, 3.0, 4), 0.02)
    ours = csflow.CrossScaleFlow(304, 4, 2)
    couplings = [m for m in theirs.graph.modules() if isinstance(m, ParallelGlowCouplingLayer)]
    for mine, other in zip(ours.couplings, couplings, strict=True):
        mine.load_state_dict(other.state_dict())
    inputs = [torch.randn(1, 304, 4 // scale, 8 // scale) for scale in (1, 2, 4)]
    with torch.no_grad():
        outputs, log_det = ours(inputs)
        expected, jacobian = theirs(inputs)
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_det, jacobian, rtol=1e-4, atol=1e-2)
    loss = csflow.negative_log_likelihood(outputs, log_det).mean()
    torch.testing.assert_close(loss, CsFlowLoss.forward(list(expected), jacobian), rtol=1e-4, atol=1e-4)


def test_scores_and_maps_by_loops():
    outputs = _inputs(2)
    result = csflow.anomaly_scores(outputs)
    for i in range(2):
        squares = [float(v) ** 2 for z in outputs for v in z[i].flatten()]
        assert float(result.pred_score[i]) == pytest.approx(sum(squares) / len(squares) / 2)
        for row in range(4):
            values = [float(outputs[0][i, c, row, 1]) ** 2 for c in range(3)]
            assert float(result.anomaly_map[i, 0, row, 1]) == pytest.approx(sum(values) / 3)
    finest = AnomalyMapGenerator((3, 4, 4), mode=AnomalyMapMode.MAX)(outputs)
    torch.testing.assert_close(result.anomaly_map, finest)


def test_scales_are_the_layers_features_of_smaller_images():
    model = _module().model
    images = torch.rand(2, 3, 64, 64)
    scales = model.features(images)
    plain = super(csflow.ThreeScales, model.feature_extractor).forward
    for scale, step in zip(scales, (1, 2, 4), strict=True):
        torch.testing.assert_close(scale, plain(images[..., ::step, ::step])["blocks.6"])
    frozen = viad.backbones.frozen.FrozenBackbone(model.feature_extractor, channels=1)(
        images[:, :1].expand(-1, 3, -1, -1)
    )
    assert [tuple(x.shape[1:]) for x in frozen.values()] == [(320, 2, 2), (320, 1, 1), (320, 1, 1)]


def test_last_stage_can_be_left_out():
    module = _module(drop=True)
    scales = module.model.features(torch.rand(1, 3, 64, 64))
    assert scales[0].shape == (1, 192, 2, 2)
    assert [scale.mean.shape for scale in module.model.scales] == [(192,)] * 3
    other = _module(backbone="resnet18", layers=["layer3"], drop=True)
    assert other.model.features(torch.rand(1, 3, 64, 64))[0].shape == (1, 256, 4, 4)


@pytest.mark.parametrize("side", [64, 72, 129])
def test_any_image_size_fits(side):
    module = _module(side, layers=["blocks.4"]).eval()
    _shake(module.model.flow, 0.02)
    with torch.no_grad():
        result = module.model(torch.rand(2, 3, side, side))
    assert result.anomaly_map.shape == (2, 1, -(-side // 16), -(-side // 16))
    assert result.pred_score.isfinite().all()


def test_what_cannot_be_built_says_why():
    with pytest.raises(ConfigError, match="one layer"):
        _module(layers=["blocks.4", "blocks.6"])
    with pytest.raises(ConfigError, match="multiple of 64"):
        _module(96, backbone="vit_tiny_patch16_224", layers=["blocks.11"])


def test_training_moves_every_parameter_and_standardises():
    module = _module()
    model = module.model
    _shake(model.flow, 0.02)
    for scale in model.scales:
        scale.mean.normal_(), scale.deviation.uniform_(0.5, 2)
    images = torch.rand(2, 3, 64, 64)
    outputs, log_det = model.transform(images)
    scaled = [
        (x - scale.mean[:, None, None]) / scale.deviation[:, None, None]
        for x, scale in zip(model.features(images), model.scales, strict=True)
    ]
    torch.testing.assert_close(outputs[0], model.flow(scaled)[0][0])
    csflow.negative_log_likelihood(outputs, log_det).mean().backward()
    for name, parameter in model.flow.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    chosen = module.configure_optimizers().param_groups
    assert sum(p.numel() for group in chosen for p in group["params"]) == sum(
        p.numel() for p in model.flow.parameters()
    )


def test_resizing_is_anomalibs_where_grids_double():
    middle, fine = torch.randn(1, 2, 3, 5), torch.zeros(1, 2, 6, 10)
    expected = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(middle)
    torch.testing.assert_close(csflow._resize(middle, fine), expected)
