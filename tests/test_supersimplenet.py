"""SuperSimpleNet: anomalib's result without noise, and what training may and may not look at."""

import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.models.image.supersimplenet import torch_model as anomalib

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from loaders import loader
from viad.models.supersimplenet import Supersimplenet

LAYERS = ["blocks.2", "blocks.4"]
PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


def _model(balance=None, **changes):
    torch.manual_seed(0)
    args = {
        "perlin_threshold": 0.2, "noise": 0.015, "standardize": False, "upscale": 2, "learning_rate": 2e-4,
        "balance": balance, "pre_trained": False,
    }  # fmt: skip
    return Supersimplenet("viad_random", LAYERS, **args | changes, **PARTS)


@pytest.fixture
def images():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_inference_is_anomalibs_before_its_sigmoid_and_its_blur(images):
    ours, theirs = _model(), anomalib.SupersimplenetModel(backbone="viad_random", layers=LAYERS)
    for name in ("adaptor", "segdec"):
        getattr(theirs, name).load_state_dict(getattr(ours.model, name).state_dict())
    ours.eval(), theirs.eval()
    a, b = ours.model(images), theirs(images)
    assert a.anomaly_map.shape == (4, 1, 16, 16)
    torch.testing.assert_close(a.pred_score.sigmoid(), b.pred_score)
    torch.testing.assert_close(theirs.anomaly_map_generator(a.anomaly_map, (64, 64)).sigmoid(), b.anomaly_map)
    torch.testing.assert_close(ours.model(images).pred_score, a.pred_score)  # nothing is drawn
    assert a.pred_score.unique().numel() == 4


def test_training_loss_is_anomalibs_on_normal_images(images):
    ours, theirs = _model().train(), anomalib.SupersimplenetModel(backbone="viad_random", layers=LAYERS).train()
    for name in ("adaptor", "segdec"):
        getattr(theirs, name).load_state_dict(getattr(ours.model, name).state_dict())
    # one generator: what differs is then the noise's drawing alone
    theirs.anomaly_generator = ours.model.anomaly_generator
    torch.manual_seed(3)
    loss = ours.noisy_loss(images, torch.zeros(4, dtype=torch.long), None)
    torch.manual_seed(3)
    maps, scores, masks, labels = theirs(images, None, torch.zeros(4))
    assert 0 < labels.sum() < 8
    torch.testing.assert_close(loss, ours.loss(maps, scores, masks, labels))


def test_pre_trained_weights_are_asked_for_only_when_wanted(monkeypatch):
    asked = []
    create = anomalib.TimmFeatureExtractor.__init__

    def spy(self, *args, pre_trained=True, **options):
        asked.append(pre_trained)
        create(self, *args, pre_trained=pre_trained, **options)

    monkeypatch.setattr(anomalib.TimmFeatureExtractor, "__init__", spy)
    _model()
    _model(pre_trained=True)
    assert asked == [False, True]


@pytest.mark.parametrize("side", [2, 8, 20, 32, 64, 96])
def test_noise_masks_of_any_grid_are_filled_about_half_the_time(side):
    torch.manual_seed(0)
    masks = _model().model.anomaly_generator.generate_perlin(60, side, side)
    assert masks.shape == (60, 1, side, side)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert 18 <= int(masks.flatten(1).any(dim=1).sum()) <= 42


def _truth(model, monkeypatch, labels, masks, images):
    """The map positions and truths that the segmentation losses and the score loss see, without noise."""
    seen = {"maps": [], "scores": []}
    model.model.anomaly_generator.generate_perlin = lambda batches, height, width: torch.zeros(
        batches, 1, height, width
    )
    monkeypatch.setattr(
        model.loss, "focal_loss", lambda _, y: seen["maps" if y.ndim == 4 else "scores"].append(y) or y.sum() * 0.0
    )
    monkeypatch.setattr(model.loss, "trunc_l1_loss", lambda x, _: x.sum())
    model.train()
    loss = model.noisy_loss(images, torch.tensor(labels), masks)
    return seen["maps"][0] if seen["maps"] else None, seen["scores"][0], loss


def test_anomalies_with_a_mask_train_both_heads_and_those_without_one_the_classifier(images, monkeypatch):
    model = _model({"anomalous": 2, "steps": 3})
    masks = torch.zeros(4, 64, 64, dtype=torch.bool)
    masks[1, :32, :16] = True  # image 1 has a mask, image 2 is told anomalous without one
    masks[3, :8, :8] = True  # image 3 is told normal: contamination, whose mask is a secret
    maps, scores, _ = _truth(model, monkeypatch, [0, 1, 1, 0], masks, images)
    assert scores.tolist() == [0, 1, 1, 0] * 2
    expected = torch.zeros(3, 1, 16, 16)
    expected[1, 0, :8, :4] = 1
    assert torch.equal(maps, expected.repeat(2, 1, 1, 1))


def test_without_any_mask_anomalies_are_learnt_from_their_labels(images, monkeypatch):
    maps, scores, _ = _truth(_model({"anomalous": 2, "steps": 3}), monkeypatch, [1, 0, 1, 0], None, images)
    assert scores.tolist() == [1, 0, 1, 0] * 2
    assert not maps.any()
    assert len(maps) == 4


def test_a_batch_of_unmasked_anomalies_alone_has_a_finite_loss_for_the_scores(images):
    model = _model({"anomalous": 2, "steps": 3}).train()
    loss = model.noisy_loss(images, torch.ones(4, dtype=torch.long), None)
    assert torch.isfinite(loss)
    loss.backward()
    assert model.model.segdec.cls_fc.weight.grad.abs().sum() > 0


def test_a_mask_that_vanishes_at_the_features_grid_does_not_teach_a_normal_map(images, monkeypatch):
    masks = torch.zeros(4, 64, 64, dtype=torch.bool)
    masks[0, 0, 0] = True
    maps, scores, _ = _truth(_model({"anomalous": 2, "steps": 3}), monkeypatch, [1, 0, 0, 0], masks, images)
    assert len(maps) == 2 * 3
    assert scores.tolist() == [1, 0, 0, 0] * 2


@pytest.mark.parametrize(("balance", "flows"), [(None, False), ({"anomalous": 2, "steps": 3}, True)])
def test_scores_train_the_segmentation_head_in_supervised_mode_only(images, balance, flows):
    model = _model(balance).train()
    features = model.model.features(images)
    _, scores = model.model.segdec(seg_features=model.model.adaptor(features), cls_features=features)
    scores.sum().backward()
    reached = model.model.adaptor.projection.weight.grad is not None
    assert reached is flows
    assert model.trainer_arguments["gradient_clip_val"] == (1 if flows else 0)
    assert (model.balance is not None) is flows


@torch.no_grad()
def test_standardised_features_have_mean_zero_and_deviation_one_over_the_training_images(images):
    model = _model(standardize=True, upscale=1)

    class Trainer:
        current_epoch = 0
        train_dataloader = loader(images)

    model._trainer = Trainer()
    model.pre_processor = lambda x: x
    model.on_train_start()
    features = model.model.features(images).movedim(1, 0).flatten(1)
    torch.testing.assert_close(features.mean(dim=1), torch.zeros(len(features)), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(dim=1, correction=0), torch.ones(len(features)), atol=1e-3, rtol=0)


def test_validation_loss_has_the_same_noise_each_time_and_leaves_the_global_generator_alone(images):
    model = _model().eval()
    values = []
    model.log = lambda name, value, **_: values.append((name, float(value)))
    torch.manual_seed(5)
    with torch.no_grad():
        for _ in range(2):
            batch = model.validation_step(ImageBatch(image=images, gt_label=torch.tensor([0, 0, 0, 1])))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert values[0] == values[1]
    assert values[0][0] == "val_loss"
    assert batch.anomaly_map.shape == (4, 16, 16)  # anomalib's batches drop the channel


def test_learning_rates_drop_after_80_and_90_percent_of_the_epochs():
    model = _model()
    model._trainer = type("Trainer", (), {"max_epochs": 10})()
    (optimizer,), (schedule,) = model.configure_optimizers()
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert rates[0] == rates[7] == [1e-4, 2e-4]
    assert rates[8] == pytest.approx([0.4e-4, 0.8e-4])
    assert rates[9] == pytest.approx([0.16e-4, 0.32e-4])
