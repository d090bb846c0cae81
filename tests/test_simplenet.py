"""SimpleNet's parts against independent arithmetic."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.models.simplenet import SimpleNet, SimpleNetModel, truncated_loss

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
ARGS = {
    "dimensions": 6, "hidden": 8, "noise": 0.3, "standardize": True, "patches_per_step": 10,
    "adaptor_learning_rate": 1e-4, "discriminator_learning_rate": 2e-4, "pre_trained": False,
}  # fmt: skip


class Pixels(nn.Module):
    """Stands for a backbone: patches are the image's pixels."""

    def forward(self, images):
        return {"patches": images}


@pytest.fixture
def module():
    torch.manual_seed(0)
    module = SimpleNet("viad_random", ["blocks.2", "blocks.4"], **ARGS, **PARTS)
    module.model.feature_extractor = Pixels()
    return module


def test_truncated_loss_by_loop():
    torch.manual_seed(0)
    normal, anomalous = torch.randn(20), torch.randn(30)
    expected = sum(max(0.0, 0.5 - d) for d in normal.tolist()) / 20
    expected += sum(max(0.0, 0.5 + d) for d in anomalous.tolist()) / 30
    assert float(truncated_loss(normal, anomalous)) == pytest.approx(expected, rel=1e-5)


def test_outputs_beyond_the_threshold_are_left_alone():
    normal = torch.tensor([0.4, 0.6], requires_grad=True)
    anomalous = torch.tensor([-0.6, -0.4], requires_grad=True)
    truncated_loss(normal, anomalous).backward()
    assert normal.grad.tolist() == [-0.5, 0]
    assert anomalous.grad.tolist() == [0, 0.5]


def test_the_papers_network_by_its_size():
    model = SimpleNetModel(Pixels(), 1536, 1024)
    assert sum(p.numel() for p in model.adaptor.parameters()) == 1536 * 1536 + 1536
    assert sum(p.numel() for p in model.discriminator.parameters()) == 1536 * 1024 + 1024 + 2 * 1024 + 1024
    deviation = float(model.adaptor.weight.detach().std())
    assert deviation == pytest.approx((2 / (1536 + 1536)) ** 0.5, rel=0.01)


def test_scores_by_loop_and_by_image(module):
    model = module.model.eval()
    scale = model.scale
    scale.mean.normal_(), scale.deviation.uniform_(0.5, 2)
    norm = model.discriminator[1]
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    images = torch.randn(3, 6, 2, 4)
    with torch.no_grad():
        result = model(images)
        one = model(images[1:2])
    torch.testing.assert_close(result.anomaly_map[1:2], one.anomaly_map)
    for b in range(3):
        scores = []
        for y in range(2):
            for x in range(4):
                q = model.adaptor.weight @ ((images[b, :, y, x] - scale.mean) / scale.deviation) + model.adaptor.bias
                h = model.discriminator[0].weight @ q + model.discriminator[0].bias
                h = (h - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
                h = torch.where(h > 0, h, 0.2 * h)
                scores.append(-(model.discriminator[3].weight @ h).item())
        torch.testing.assert_close(result.anomaly_map[b].flatten(), torch.tensor(scores), rtol=1e-4, atol=1e-5)
        assert float(result.pred_score[b]) == pytest.approx(max(scores), rel=1e-4)


def test_normals_and_noise_share_one_batch_norm(module):
    patches, seen = torch.randn(10, 6), []
    module.model.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module.noise = 5.0
    module._loss(patches)
    assert len(seen) == 1
    (joint,) = seen
    torch.testing.assert_close(joint[:10], module.model.adapted(patches))
    noise = joint[10:] - joint[:10]
    assert 3 < noise.std().item() < 7  # 5, of 60 values


def test_a_step_takes_distinct_patches_of_the_batch(module):
    patches = torch.arange(40.0)[:, None].expand(40, 6)
    drawn = module._drawn(patches)[:, 0].tolist()
    assert len(set(drawn)) == 10
    assert set(drawn) < set(range(40))
    module.patches_per_step = None
    assert module._drawn(patches) is patches


def test_both_parts_train_at_their_own_rates_and_the_backbone_does_not(module):
    optimizer = module.configure_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 2e-4]
    assert all(group["weight_decay"] == 1e-5 for group in optimizer.param_groups)
    parameters = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert parameters == {
        id(p) for part in (module.model.adaptor, module.model.discriminator) for p in part.parameters()
    }
    module._loss(torch.randn(10, 6)).backward()
    assert all(p.grad is not None for group in optimizer.param_groups for p in group["params"])


def test_it_learns_to_tell_features_from_others(module):
    """Normal patches lie on a line; after some steps what lies off it scores higher."""
    torch.manual_seed(0)
    line = F.normalize(torch.ones(6), dim=0)
    normal = torch.randn(512, 1) * line
    optimizer = torch.optim.Adam(module.model.parameters(), lr=1e-2)
    module.model.train()
    for _ in range(150):
        optimizer.zero_grad()
        module._loss(normal).backward()
        optimizer.step()
    module.model.eval()
    off = normal[:100] + torch.tensor([1.5, -1.5, 0, 0, 0, 0])
    rows = torch.stack([normal[:100], off]).permute(0, 2, 1)[..., None]
    scores = module.model(rows).anomaly_map.flatten(1)
    assert float((scores[1] > scores[0].max()).float().mean()) > 0.9
