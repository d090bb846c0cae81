"""DRAEM: what differs from anomalib, and that the rest does not."""

import math

import pytest
import torch
from anomalib.models.image.draem.loss import DraemLoss
from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, DraemModel, ReconstructiveSubNetwork
from torch import nn
from torch.nn import functional as F  # noqa: N812

from viad.errors import ConfigError
from viad.models import draem
from viad.models.draem import Draem, anomaly_scores, learning_rate_factor

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
ARGS = {
    "textures": None, "resolution": 64, "reconstruction_width": 4, "discrimination_width": 4,
    "opacity": [0.1, 1.0], "rotation": 45, "learning_rate": 1e-4,
}  # fmt: skip


def _module(**changes):
    torch.manual_seed(0)
    return Draem(**(ARGS | changes), **PARTS)


def test_the_loss_counts_false_alarms_which_anomalibs_does_not():
    images, nowhere = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    alarm, calm = torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    alarm[:, 1], calm[:, 0] = 4, 4
    theirs, ours = DraemLoss(), _module().loss
    assert float(theirs(images, images, nowhere, alarm)) == pytest.approx(float(theirs(images, images, nowhere, calm)))
    gap = float(ours(images, images, nowhere, alarm) - ours(images, images, nowhere, calm))
    wrong, right = (1 / (1 + math.exp(sign * 4)) for sign in (1, -1))  # probability of the true class
    focal = [(1 - p) ** 2 * -math.log(p) for p in (wrong, right)]
    assert gap == pytest.approx(focal[0] - focal[1], rel=1e-4)


def test_at_the_images_resolution_the_network_is_anomalibs():
    torch.manual_seed(0)
    theirs = DraemModel()
    theirs.reconstructive_subnetwork = ReconstructiveSubNetwork(base_width=4)
    theirs.discriminative_subnetwork = DiscriminativeSubNetwork(6, 2, 4)
    ours = _module(resolution=32).model.eval()
    theirs.eval().load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(images).anomaly_map[:, 0].sigmoid(), theirs(images).anomaly_map, rtol=1e-3, atol=1e-5
        )


def test_the_score_orders_as_the_average_over_windows_does(monkeypatch):
    monkeypatch.setattr(draem, "WINDOW", 21 / 32)
    torch.manual_seed(0)
    logits = 3 * torch.randn(6, 2, 32, 32)
    probability = logits.softmax(dim=1)[:, 1:]
    official = F.avg_pool2d(probability, 21, stride=1, padding=10).amax(dim=(1, 2, 3))
    torch.testing.assert_close(anomaly_scores(logits).pred_score.sigmoid(), official, rtol=1e-4, atol=1e-6)


def test_the_window_is_21_pixels_of_256():
    logits = torch.zeros(1, 2, 256, 256)
    logits[:, 1] = -30
    logits[:, 1, 100:121, 100:121] = 30
    assert float(anomaly_scores(logits).pred_score) > 25
    logits[:, 1, 110, 110] = -30
    assert float(anomaly_scores(logits).pred_score) == pytest.approx(math.log(440), abs=1e-3)


def test_scores_of_large_defects_do_not_tie():
    logits = torch.zeros(3, 2, 64, 64)
    for i, odds in enumerate((20.0, 21.0, 60.0)):
        logits[i, 1] = odds
    scores = anomaly_scores(logits).pred_score
    torch.testing.assert_close(scores, torch.tensor([20.0, 21.0, 60.0]), rtol=1e-4, atol=1e-4)
    assert anomaly_scores(200 * (logits - 1)).pred_score.isfinite().all()


def test_weights_start_from_a_narrow_normal():
    model = _module(reconstruction_width=16).model
    weights = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Conv2d)])
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.02)


def test_schedule_of_the_paper():
    factors = [learning_rate_factor(epoch, 700) for epoch in range(700)]
    assert factors[399] == 1
    assert factors[400] == factors[599] == pytest.approx(0.1)
    assert factors[600] == factors[699] == pytest.approx(0.01)


def test_rotation_turns_some_images_and_none_where_it_is_off():
    torch.manual_seed(0)
    images = torch.rand(40, 3, 32, 32)
    turned = _module()._rotated(images)
    changed = int(((turned - images).abs().amax(dim=(1, 2, 3)) > 0).sum())
    assert 4 < changed < 24
    assert torch.equal(_module(rotation=0)._rotated(images), images)


def test_a_resolution_that_cannot_be_halved_is_an_error():
    with pytest.raises(ConfigError, match="multiple of 32"):
        _module(resolution=100)
