"""EfficientAd: schedule, quantiles and weights, and what is anomalib's and what is not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anomalib.models.image.efficient_ad.torch_model import AutoEncoder, EfficientAdModel, EfficientAdModelSize
from safetensors.torch import save_file
from torch import nn

from loaders import loader
from viad.backbones import weights
from viad.backbones.frozen import trained_state
from viad.errors import ConfigError, WeightsError
from viad.models.efficient_ad import EfficientAd, _AutoEncoder, _Model, held_out, learning_rate_factor

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
ARGS = {
    "teacher": "random", "model_size": "small", "penalty_images": None, "resolution": 64, "learning_rate": 1e-4,
}  # fmt: skip


def _module(**changes):
    torch.manual_seed(0)
    return EfficientAd(**(ARGS | changes), **PARTS)


class Batch(SimpleNamespace):
    """What training_step reads of a batch."""


def _training(**trainer):
    torch.manual_seed(1)
    module, rows = _module(), loader(torch.rand(20, 3, 64, 64), batch_size=1)
    module.pre_processor = nn.Identity()
    defaults = {"estimated_stepping_batches": 100, "max_steps": 100, "max_epochs": -1, "current_epoch": 0}
    module._trainer = SimpleNamespace(train_dataloader=rows, **(defaults | trainer))
    return module, rows.dataset


def test_the_learning_rate_falls_once_at_95_percent_of_the_steps():
    factors = [learning_rate_factor(step, 70000) for step in range(70000)]
    assert set(factors[:66500]) == {1}
    assert set(factors[66500:]) == {0.1}


def test_the_schedule_counts_optimiser_steps():
    module, _ = _training(estimated_stepping_batches=20, max_steps=20)
    (optimizer,), (schedule,) = module.configure_optimizers()
    module.optimizers, module.lr_schedulers = lambda: optimizer, lambda: schedule
    module.manual_backward, module.log = lambda loss: loss.backward(), lambda *_, **__: None
    module.on_train_start()
    rates = []
    while len(rates) < 20:
        for batch in module.trainer.train_dataloader:
            before = optimizer.param_groups[0]["lr"]
            if module.training_step(batch) is not None:
                rates.append(before)
    assert rates[:19] == [1e-4] * 19
    assert rates[19] == pytest.approx(1e-5)


def test_epochs_without_a_limit_of_steps_count_what_is_trained_on():
    module, _ = _training(estimated_stepping_batches=60, max_steps=-1, max_epochs=3)
    assert module._steps() == 3 * 18
    module, _ = _training()
    assert module._steps() == 100


def test_a_tenth_is_held_out_and_never_trained_on():
    module, rows = _training()
    module.on_train_start()
    assert len(module.aside) == 2
    before = {k: v.clone() for k, v in module.state_dict().items()}
    for index in module.aside:
        assert module.training_step(Batch(image=rows.pixels[index][None], image_path=[rows.images[index]])) is None
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_held_out_images_are_the_same_ones_every_time():
    assert held_out(50) == held_out(50)
    assert len(held_out(50)) == len(set(held_out(50))) == 5
    assert len(held_out(2)) == 1
    with pytest.raises(ConfigError, match="at least two images"):
        held_out(1)


def test_teacher_statistics_are_those_of_all_training_images():
    module, rows = _training()
    module.on_train_start()
    with torch.no_grad():
        outputs = module.model.teacher(rows.pixels).permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(module.model.mean_std["mean"].flatten(), outputs.mean(dim=1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        module.model.mean_std["std"].flatten(), outputs.std(dim=1, correction=0), rtol=1e-3, atol=1e-5
    )


def test_quantiles_come_from_the_held_out_images_and_scale_the_maps():
    module, rows = _training()
    module.on_train_start()
    module.on_train_end()
    assert module.model.training
    model = module.model.eval()
    with torch.no_grad():
        maps = model.maps(rows.pixels[module.aside])
        scored = model(rows.pixels[:3])
        st, ae = model.maps(rows.pixels[:3])
    limits = [np.quantile(one.numpy(), (0.9, 0.995)) for one in maps]
    for name, (low, high) in zip(("st", "ae"), limits, strict=True):
        assert float(model.quantiles[f"qa_{name}"]) == pytest.approx(low, rel=1e-4)
        assert float(model.quantiles[f"qb_{name}"]) == pytest.approx(high, rel=1e-4)
    scaled = [0.1 * (one - low) / (high - low) for one, (low, high) in zip((st, ae), limits, strict=True)]
    torch.testing.assert_close(
        scored.anomaly_map[..., 4:-4, 4:-4], ((scaled[0] + scaled[1]) / 2).float(), rtol=1e-2, atol=1e-3
    )


def test_maps_and_scores_are_anomalibs_at_256_pixels():
    torch.manual_seed(0)
    theirs = EfficientAdModel().eval()
    ours = _Model(EfficientAdModelSize.S, 256, 1).eval()
    for network in (theirs,):
        for values in (network.mean_std["std"], network.quantiles["qb_st"], network.quantiles["qb_ae"]):
            nn.init.ones_(values)
    theirs.quantiles["qa_st"].data.fill_(0.3)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        result, expected = ours(images), theirs(images)
    torch.testing.assert_close(result.pred_score, expected.pred_score.flatten(), rtol=1e-4, atol=1e-5)
    full = nn.functional.interpolate(result.anomaly_map, size=(256, 256), mode="bilinear")
    torch.testing.assert_close(full, expected.anomaly_map, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("side", [64, 128, 192, 256])
def test_the_autoencoder_decodes_to_the_teachers_grid(side):
    module = _module(resolution=side)
    images = torch.rand(1, 3, side, side)
    with torch.no_grad():
        assert module.model.ae(images, (side, side)).shape == module.model.teacher(images).shape


def test_the_autoencoder_is_anomalibs_at_256_pixels():
    torch.manual_seed(0)
    theirs, ours = AutoEncoder(24, padding=False).eval(), _AutoEncoder(24, padding=False).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(ours(images, (256, 256)), theirs(images, (256, 256)))


def test_the_teacher_is_frozen_not_saved_and_built_again_alike():
    module = _module()
    torch.manual_seed(9)
    again = EfficientAd(**ARGS, **PARTS)
    for a, b in zip(module.model.teacher.parameters(), again.model.teacher.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad
    assert not any(name.startswith("model.teacher.") for name in trained_state(module))
    assert any(name.startswith("model.student.") for name in trained_state(module))


def test_without_its_file_the_teacher_is_an_error_that_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    place = tmp_path / "efficientad_teacher_medium.pth"
    with pytest.raises(WeightsError, match=rf"pretrained_teacher_medium\.pth.*{place}.*model=patchcore"):
        _module(teacher="file", model_size="medium")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_the_teachers_weights_are_read_from_either_file(monkeypatch, tmp_path, suffix):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    stored = {k: v.clone() for k, v in EfficientAdModel().teacher.state_dict().items()}
    place = tmp_path / f"efficientad_teacher_small.{suffix}"
    torch.save(stored, place) if suffix == "pth" else save_file(stored, place)
    teacher = _module(teacher="file").model.teacher
    assert all(torch.equal(v, stored[k]) for k, v in teacher.state_dict().items())
    del stored["conv4.bias"]
    torch.save(stored, place) if suffix == "pth" else save_file(stored, place)
    with pytest.raises(WeightsError, match=r"conv4\.bias"):
        _module(teacher="file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"teacher": "none"}, "model.teacher"), ({"model_size": "large"}, "model_size"), ({"resolution": 100}, "of 64")],
)
def test_wrong_settings_are_errors(changes, message):
    with pytest.raises(ConfigError, match=message):
        _module(**changes)
