"""Reverse distillation: anomalib's result where its names allow one, and every other pyramid."""

import itertools
import math

import pytest
import torch
from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel as AnomalibModel
from torch.nn import functional as F  # noqa: N812

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.errors import ConfigError
from viad.models import reverse_distillation as rd

RESNET = ["layer1", "layer2", "layer3"]


def _randomised(model):
    """Batch-norms with statistics of their own, as after training."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@torch.no_grad()
def test_features_and_distances_are_anomalibs_for_a_resnet_with_any_tag():
    torch.manual_seed(0)
    theirs = _randomised(AnomalibModel("resnet18", (64, 64), RESNET, "add", pre_trained=False))
    ours = rd.ReverseDistillationModel("resnet18.tv_in1k", RESNET, pre_trained=False).eval()
    for name in ("bottleneck", "decoder"):
        state = getattr(theirs, name).state_dict()
        unused = {k for k in state if k.startswith(("conv4", "bn4"))}
        assert set(getattr(ours, name).load_state_dict(state, strict=False).unexpected_keys) == unused
    ours.feature_extractor.load_state_dict(theirs.encoder.state_dict())
    images = torch.rand(2, 3, 64, 64)
    teacher, student = ours.features(images)
    for a, b in zip(student, theirs.decoder(theirs.bottleneck(list(theirs.encoder(images).values()))), strict=True):
        torch.testing.assert_close(a, b)
    by_corners = sum(
        F.interpolate(1 - F.cosine_similarity(t, s)[:, None], size=(64, 64), mode="bilinear", align_corners=True)
        for t, s in zip(teacher, student, strict=True)
    )
    # theirs is aligned by corners and smoothed: the same level, not the same pixels
    assert float(by_corners.mean()) == pytest.approx(float(ours(images).anomaly_map.mean()), rel=0.05)
    torch.testing.assert_close(ours(images).pred_score, theirs(images).pred_score.flatten(), rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ("backbone", "layers", "size"),
    [
        ("viad_random", ["blocks.1", "blocks.2", "blocks.4"], 64),
        ("viad_random", ["blocks.2", "blocks.4", "blocks.6"], 96),
        ("viad_random", ["blocks.1", "blocks.2", "blocks.4"], 72),  # no multiple of 32
        ("resnet18", ["layer2", "layer3", "layer4"], 64),  # a known name, but not its decoder's channels
        ("regnetx_002", ["s1", "s2", "s3"], 32),
    ],
)
def test_other_pyramids_are_reconstructed_in_the_teachers_shape_and_learnt(backbone, layers, size):
    torch.manual_seed(0)
    model = rd.ReverseDistillationModel(backbone, layers, pre_trained=False).train()
    images = torch.rand(2, 3, size, size)
    teacher, student = model.features(images)
    assert [t.shape for t in teacher] == [s.shape for s in student]
    assert model.bottleneck.conv1.in_channels == 64
    rd.distillation_loss(teacher, student).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (not name.startswith("feature_extractor")), name
    assert any((s < 0).any() for s in student)  # linear: features need not be positive


def test_loss_is_a_cosine_at_every_position():
    torch.manual_seed(0)
    teacher = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)]
    student = [torch.randn_like(t) for t in teacher]
    expected = 0.0
    for t, s in zip(teacher, student, strict=True):
        cosines = []
        for b, y, x in itertools.product(range(len(t)), range(t.shape[2]), range(t.shape[3])):
            one, other = t[b, :, y, x].tolist(), s[b, :, y, x].tolist()
            dot = sum(p * q for p, q in zip(one, other, strict=True))
            cosines.append(dot / math.hypot(*one) / math.hypot(*other))
        expected += sum(1 - c for c in cosines) / len(cosines)
    assert float(rd.distillation_loss(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(ReverseDistillationLoss()(teacher, student)) != pytest.approx(expected, rel=1e-2)


def test_loss_does_not_favour_positions_of_large_features():
    teacher, student = torch.ones(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
    student[0, 0, 0, 1] = -1  # orthogonal at one of two positions
    loss = float(rd.distillation_loss([teacher], [student]))
    teacher[..., 0] *= 1000
    assert loss == pytest.approx(0.5)
    assert float(rd.distillation_loss([teacher], [student])) == pytest.approx(loss)
    assert float(ReverseDistillationLoss()([teacher], [student])) < 0.3


def test_map_sums_the_layers_at_the_finest_grid_and_the_score_is_its_smoothed_maximum():
    torch.manual_seed(0)
    teacher = [torch.randn(1, 3, 4, 4), torch.randn(1, 3, 2, 2)]
    student = [torch.randn_like(t) for t in teacher]
    result = rd.anomaly_scores(teacher, student, (32, 32))
    coarse = 1 - F.cosine_similarity(teacher[1], student[1])[0]
    fine = 1 - F.cosine_similarity(teacher[0], student[0])[0]
    weights = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]  # of two pixel centres for four
    for y in range(4):
        for x in range(4):
            up = sum(weights[y][i] * weights[x][j] * float(coarse[i, j]) for i in range(2) for j in range(2))
            assert float(result.anomaly_map[0, 0, y, x]) == pytest.approx(float(fine[y, x]) + up, rel=1e-5)
    assert result.anomaly_map.mean() < result.pred_score[0] < result.anomaly_map.max()


def test_optimiser_is_the_papers():
    parts = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
    model = rd.ReverseDistillation("viad_random", ["blocks.1", "blocks.2", "blocks.4"], pre_trained=False, **parts)
    (group,) = model.configure_optimizers().param_groups
    assert (group["lr"], group["betas"]) == (0.005, (0.5, 0.999))
    trainable = {id(p) for n, p in model.named_parameters() if "feature_extractor" not in n}
    assert {id(p) for p in group["params"]} == trainable


def test_another_number_of_layers_is_an_error():
    with pytest.raises(ConfigError, match="three layers, not 2"):
        rd.ReverseDistillationModel("viad_random", ["blocks.1", "blocks.2"], pre_trained=False)
