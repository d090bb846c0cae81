"""MMR's masked autoencoder, decoder, distances and schedule against independent arithmetic."""

import itertools
import math

import numpy as np
import pytest
import timm
import torch
from anomalib.data.dataclasses import ImageBatch
from anomalib.models.components import TimmFeatureExtractor

from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.backbones import weights
from viad.errors import ConfigError, WeightsError
from viad.models import mmr
from viad.training import build

ARGS = {
    "student": "vit_tiny_patch16_224", "student_pre_trained": False, "student_options": {"depth": 1},
    "learning_rate": 1e-3, "weight_decay": 0.05, "augment": False,
}  # fmt: skip
SPEC = {
    "name": "mmr", "class_path": "viad.models.mmr.MMR", "learning_type": "one_class", "preset": "small",
    "epochs": 10, "steps": None, "batch_size": 4, "backbone": "viad_random", "layers": ["blocks.1", "blocks.4"],
    "mean": [0.5] * 3, "std": [0.25] * 3, "channels": 3, "image_size": 64,
}  # fmt: skip


def _built(spec=None, **args):
    torch.manual_seed(0)
    return build.build_model(build.ModelSpec(**SPEC | (spec or {}), args=ARGS | args), "float32")


class Tag(torch.nn.Module):
    """Instead of transformer blocks: 100 more on every token, so that its path shows; sees how many come."""

    def forward(self, tokens):
        self.count = tokens.shape[1]
        return tokens + 100


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = mmr.MaskedEncoder(timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=0))
    encoder.blocks, encoder.norm = Tag(), torch.nn.Identity()
    return encoder


@pytest.mark.parametrize(("mask_ratio", "kept"), [(0.4, 14), (0.0, 24), (0.75, 6)])
def test_every_token_is_put_back_in_its_place_and_masked_ones_are_filled(encoder, mask_ratio, kept):
    images = torch.randn(3, 3, 64, 96)
    whole = encoder(images, mask_ratio)
    assert whole.shape == (3, 192, 4, 6)
    assert encoder.blocks.count == kept + 1  # and the class token
    positions = mmr.position_embedding(4, 6, 192)
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    for image, row, column in itertools.product(range(3), range(4), range(6)):
        position = positions[row * 6 + column]
        patch = images[image, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        token = encoder.patch_embedding(patch[None]).flatten()
        found = whole[image, :, row, column]
        masks[image, row, column] = torch.allclose(found, encoder.mask_token.flatten() + position, atol=1e-4)
        if not masks[image, row, column]:
            torch.testing.assert_close(found, token + 100 + 2 * position, rtol=1e-4, atol=1e-3)
    assert masks.flatten(1).sum(dim=1).tolist() == [24 - kept] * 3
    if kept < 24:
        assert not torch.equal(masks[0], masks[1])


def test_the_papers_mask_keeps_117_of_196_and_no_mask_keeps_all_in_order_without_chance():
    assert mmr.kept_patches(2, 196, 0.4).shape == (2, 117)
    state = torch.get_rng_state()
    assert mmr.kept_patches(2, 5, 0.0).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    counts = torch.zeros(10)
    for row in mmr.kept_patches(2000, 10, 0.4):
        assert len(set(row.tolist())) == 6
        counts[row] += 1
    torch.testing.assert_close(counts / 2000, torch.full((10,), 0.6), rtol=0, atol=0.05)


def test_position_embedding_is_maes():
    embedding = mmr.position_embedding(3, 5, 16)
    for row, column in [(0, 0), (1, 3), (2, 4)]:
        expected = []
        for position in (column, row):
            angles = [position / 10000 ** (i / 4) for i in range(4)]
            expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert embedding[row * 5 + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_without_a_mask_the_encoder_is_timms_vit():
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=0, img_size=64).eval()
    with torch.no_grad():
        vit.pos_embed.zero_()
        vit.pos_embed[0, 1:] = mmr.position_embedding(4, 4, 192)
        images = torch.randn(2, 3, 64, 64)
        expected = vit.forward_features(images)[:, 1:] + mmr.position_embedding(4, 4, 192)
        found = mmr.MaskedEncoder(vit).eval()(images)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4)


def test_the_papers_decoder_has_16_million_parameters_and_the_teachers_shapes():
    with torch.device("meta"):
        branches = [mmr.decoder_branch(768, channels, d) for channels, d in ((256, 2), (512, 1), (1024, 0))]
        shapes = [tuple(branch(torch.empty(2, 768, 14, 14)).shape) for branch in branches]
    assert shapes == [(2, 256, 56, 56), (2, 512, 28, 28), (2, 1024, 14, 14)]
    assert sum(p.numel() for b in branches for p in b.parameters()) == pytest.approx(16.1e6, rel=0.005)


def test_distances_and_scores_by_loops():
    model = _built().eval().model
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        distances = model.distances(images)
        result = model(images)
        encoded, teacher = model.student(images), model.feature_extractor(images)
        for k, layer in enumerate(SPEC["layers"]):
            student = model.branches[k](encoded)
            for image, (y, x) in itertools.product(range(2), ((0, 1), (2, 3))):
                a, b = teacher[layer][image, :, y, x].double(), student[image, :, y, x].double()
                cosine = float((a * b).sum() / (a.norm() * b.norm()))
                assert float(distances[k][image, 0, y, x]) == pytest.approx(1 - cosine, abs=1e-5)
    means = [sum(d.flatten().tolist()) / d.numel() for d in distances]
    assert float(mmr.total_distance(distances)) == pytest.approx(sum(means), rel=1e-5)
    full = resize_maps(result.anomaly_map[:, 0].numpy(), Recipe(64, 64, "bilinear", 4.0))
    np.testing.assert_allclose(result.pred_score, full.max(axis=(1, 2)))
    upsampled = torch.nn.functional.interpolate(distances[1], size=(16, 16), mode="bilinear")
    torch.testing.assert_close(result.anomaly_map, distances[0] + upsampled)


def test_scores_depend_neither_on_chance_nor_on_the_batch():
    model = _built().eval().model
    images = torch.randn(3, 3, 64, 64)
    first = model(images)
    torch.manual_seed(9)
    torch.testing.assert_close(model(images[1:2]).pred_score, first.pred_score[1:2])


def test_learning_rate_schedule_of_the_paper():
    factors = [mmr.learning_rate_factor(epoch, 200) for epoch in range(200)]
    assert factors[:50] == pytest.approx([(epoch + 1) / 50 for epoch in range(50)])
    assert factors[50:120] == [1] * 70
    assert factors[120:160] == pytest.approx([0.1] * 40)
    assert factors[160:] == pytest.approx([0.01] * 40)
    assert mmr.learning_rate_factor(0, 1) == 1


def test_biases_and_norms_do_not_decay():
    module = _built()
    module._trainer = type("Trainer", (), {"max_epochs": 4})()
    (optimizer,), _ = module.configure_optimizers()
    decaying, free = optimizer.param_groups
    assert decaying["weight_decay"] == 0.05
    assert free["weight_decay"] == 0
    free_ones = {id(p) for p in free["params"]}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            alone = parameter.ndim == 1  # biases, and the scales of norms
            assert (id(parameter) in free_ones) == alone, name
    assert not any(
        name.startswith("model.feature_extractor") for name, p in module.named_parameters() if p.requires_grad
    )


def test_augmentation_crops_each_image_by_itself_and_forbids_the_cache(monkeypatch):
    assert _built().CACHES_FEATURES
    module = _built(augment=True)
    assert not module.CACHES_FEATURES
    seen = []
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    monkeypatch.setattr(module.model, "feature_extractor", _Watch(module.model.feature_extractor, seen))
    images = torch.rand(1, 3, 64, 64).expand(4, -1, -1, -1)
    loss = module.training_step(ImageBatch(image=images, gt_label=torch.zeros(4, dtype=torch.long)))
    loss.backward()
    assert seen[0].shape == images.shape
    assert not torch.equal(seen[0][0], seen[0][1])
    gradients = {name: p.grad for name, p in module.model.named_parameters() if p.requires_grad}
    assert all(gradient is not None for gradient in gradients.values())


class _Watch(torch.nn.Module):
    def __init__(self, extractor, seen):
        super().__init__()
        self.extractor, self.seen = extractor, seen

    def forward(self, images):
        self.seen.append(images)
        return self.extractor(images)


def test_sizes_and_strides_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="image_size=64 or 80"):
        _built({"image_size": 72})
    with pytest.raises(ConfigError, match="not 32"):
        _built({"layers": ["blocks.4", "blocks.6"]})


def test_a_students_weights_come_from_their_file_or_the_error_names_it(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="vit_tiny_patch16_224"):
        _built(student_pre_trained=True)
    from safetensors.torch import save_file

    torch.manual_seed(5)
    vit = timm.create_model("vit_tiny_patch16_224", depth=1)
    save_file(vit.state_dict(), tmp_path / "vit_tiny_patch16_224.safetensors")
    student = _built(student_pre_trained=True).model.student
    assert torch.equal(student.patch_embedding.weight, vit.patch_embed.proj.weight)
    assert torch.equal(student.blocks[0].attn.qkv.weight, vit.blocks[0].attn.qkv.weight)


def test_teacher_may_be_any_cnn():
    torch.manual_seed(0)
    teacher = TimmFeatureExtractor("resnet18", ["layer2", "layer3"], pre_trained=False)
    model = mmr.MMRModel(teacher, mmr.MaskedEncoder(timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=0)))
    result = model.eval()(torch.rand(1, 3, 96, 64))
    assert result.anomaly_map.shape == (1, 1, 12, 8)
