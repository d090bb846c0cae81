"""Every detector's paper preset: built as it composes, on its own backbone, it takes a step and gives scores.

The weights are random, since no hub is at hand, and the images small: the settings and the network are the authors'.
"""

import ctypes
import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from viad.artifacts.images import write_image
from viad.backbones import weights
from viad.config.composition import compose_options
from viad.errors import ConfigError
from viad.inference.scoring import score_batch
from viad.models import efficient_ad
from viad.training.build import build_model, list_training_notes, make_model_spec
from viad.training.fit import fit_model

ROOT = Path(__file__).parents[1]
MODELS = sorted(path.stem for path in (ROOT / "conf/model").glob("*.yaml") if path.stem != "external")
pytestmark = pytest.mark.long
SIZES = {"dinomaly": 70, "csflow": 128, "inreach": 96, "padim": 32}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def params():
    """The params of `-S model=NAME -S preset=paper`, by model."""
    return {model: compose_options(ROOT / "conf", [f"model={model}", "preset=paper"]) for model in MODELS}


@pytest.fixture(autouse=True)
def _memory():
    """Give a network's memory back before the next: cycles keep it, and freed memory stays with the process."""
    yield
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@pytest.fixture(autouse=True)
def _random_weights(monkeypatch, tmp_path):
    """Networks with the layout of the papers' and random weights, wherever a hub's would be asked for."""
    create = timm.create_model

    def create_untrained(name, pretrained=False, **options):
        del pretrained
        torch.manual_seed(0)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", create_untrained)
    monkeypatch.setattr("anomalib.models.components.feature_extractors.timm.timm.create_model", create_untrained)
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    for module in ("viad.training.build", "viad.models.mmr"):
        monkeypatch.setattr(f"{module}.ensure_weights", lambda _: None)
    monkeypatch.setattr(efficient_ad, "teacher_weights", _random_teacher)


@pytest.fixture(autouse=True)
def _repeated_numbers(monkeypatch):
    """Fill large weights with the same numbers again and again: to draw a hundred million takes a second."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(torch.Tensor, name, _repeating(getattr(torch.Tensor, name)))


def _repeating(fill, period=65_521):  # a prime, so that no two rows of a matrix are the same
    def fill_repeatedly(tensor, *args, **options):
        if tensor.numel() < 4 * period or not tensor.is_contiguous():
            return fill(tensor, *args, **options)
        flat = tensor.view(-1)
        numbers, whole = fill(torch.empty(period), *args, **options), len(flat) // period * period
        flat[:whole].view(-1, period).copy_(numbers)
        flat[whole:].copy_(numbers[: len(flat) - whole])
        return tensor

    return fill_repeatedly


def _random_teacher(size):
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel

    torch.manual_seed(0)
    return EfficientAdModel(384, efficient_ad.EfficientAdModelSize(size)).teacher.state_dict()


def _rows(folder, size):
    """Eight normal images, much alike, and two labelled anomalies to train on."""
    rng, rows = np.random.default_rng(0), []
    scene = rng.normal(128, 40, (size, size, 3))
    for i in range(10):
        pixels = (scene + rng.normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8)
        if anomalous := i >= 8:
            pixels[10:20, 10:20] = 250
        write_image(pixels, folder / f"{i}.png")
        rows.append([str(i), str(folder / f"{i}.png"), "", int(anomalous), "", "train", "", ""])
    return pd.DataFrame(rows, columns=["sample", "image", "mask", "train_label", "defect", "split", "group", "domain"])


@pytest.mark.parametrize("name", MODELS)
def test_a_paper_preset_is_built_and_takes_a_step(name, params, tmp_path):
    chosen = params[name]
    model, size = chosen["model"], SIZES.get(name, 64)
    args = model["paper"]["args"]
    model["paper"]["batch_size"] = 2  # so that a step is small; half of it anomalous where anomalies are learnt from
    if "resolution" in args:  # a size of images, too
        args["resolution"] = size
    if "student_options" in args:
        args["student_options"]["img_size"] = size
    if "anomalous" in args:
        args["anomalous"] = 1
    if args.get("balance"):
        args["balance"] = {"anomalous": 1, "steps": 1}
    spec = make_model_spec(model, chosen["backbone"], image_size=size, color="rgb", preset="paper")
    assert spec.preset == "paper"
    built = build_model(spec, "float32")
    steps = 1 if spec.epochs != 1 else None  # what makes one pass over the images makes it
    fit_model(
        built, replace(spec, steps=steps), _rows(tmp_path, size), validation="none", patience=1, seed=0, device=CPU,
        log_folder=tmp_path / "log", checkpoints=tmp_path / "checkpoints",
    )  # fmt: skip
    scores, maps = score_batch(built.eval(), torch.rand(1, 3, size, size), CPU)
    assert scores.shape == (1,)
    assert maps.ndim == 3


def test_another_backbone_than_the_papers_is_noted(params):
    own = params["msflow"]
    assert list_training_notes(own, on_gpu=False) == []
    other = own | {"backbone": own["backbone"] | {"name": "efficientnet_lite0"}, "image_size": 256}
    (note,) = list_training_notes(other, on_gpu=False)
    assert "belongs to backbone=wide_resnet50_2 and image_size=512" in note
    assert "this run has backbone=efficientnet_lite0 and image_size=256" in note


def test_a_gpu_changes_no_setting_and_the_log_says_how_to_use_it(params):
    small = params["msflow"] | {"preset": "small"}
    assert list_training_notes(small, on_gpu=True) == [
        "note: this machine has a GPU. -S preset=paper trains with the authors' settings."
    ]
    assert list_training_notes(small, on_gpu=False) == []


def test_an_unknown_preset_is_refused(params):
    chosen = params["msflow"]
    with pytest.raises(ConfigError, match=r"preset: 'auto' is not known\. Choose one of small, paper\."):
        make_model_spec(chosen["model"], chosen["backbone"], image_size=64, color="rgb", preset="auto")
