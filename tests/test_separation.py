"""Do the detectors written here learn? Trained for seconds on a drawn cloth, each tells large defects from none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning import seed_everything

from viad.artifacts.images import resize_image, write_image
from viad.artifacts.samples import SAMPLE_COLUMNS
from viad.datasets.synthetic.specimen import Order, render_picture
from viad.inference.scoring import score_batch
from viad.metrics.image import image_auroc
from viad.training import build, fit
from viad.training.loading import load_tensor

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
SIZE = 128
COUNTS = {("train", "good"): 64, ("test", "good"): 24, ("test", "large"): 24, ("reserve", "large"): 8}
ONE_CLASS = ["msflow", "simplenet", "mmr"]
UNSUPERVISED = ["inreach", "softpatch"]
SUPERVISED = ["devnet", "dra"]
LONG = ("dra", "mmr")  # a quarter of a minute each
pytestmark = pytest.mark.long
LONGER = {"mmr": 20}  # epochs: the small preset's are meant for more images
LEAST = dict.fromkeys(SUPERVISED, 0.9)  # image AUROC; they have seen eight defects


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Rows of drawn texture images; the reserve's anomalies are labelled training rows."""
    folder, rows = tmp_path_factory.mktemp("texture"), []
    for (split, kind), count in COUNTS.items():
        for index in range(count):
            drawn, _ = render_picture(Order(3341, 2 * SIZE, "texture", split, kind, index))
            path = folder / f"{split}-{kind}-{index}.png"
            write_image(resize_image(drawn, SIZE, "rgb", "squash"), path)
            label = int(kind != "good")
            part = "train" if split == "reserve" else split
            rows.append([path.stem, str(path), "", label, label, kind if label else "", part, "", ""])
    columns = ["sample", "image", "mask", "label", "train_label", "defect", "split", "group", "domain"]
    return pd.DataFrame(rows, columns=columns)[SAMPLE_COLUMNS]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in ONE_CLASS + UNSUPERVISED + SUPERVISED],
)
def test_large_defects_of_the_texture_are_told_from_normal_images(name, samples, tmp_path):
    model, backbone = (
        yaml.safe_load((ROOT / f"conf/{part}.yaml").read_text())
        for part in (f"model/{name}", "backbone/efficientnet_lite0")
    )
    spec = build.make_model_spec(model, backbone, image_size=SIZE, color="rgb", preset="small")
    spec = replace(spec, epochs=LONGER.get(name, spec.epochs))
    build.choose_device("cpu")
    seed_everything(0, verbose=False)
    detector = build.build_model(spec, "float32")
    fit.fit_model(
        detector, spec, samples[samples["split"] == "train"], validation="none", patience=1, seed=0, device=CPU,
        log_folder=tmp_path / "log", checkpoints=tmp_path / "checkpoints",
    )  # fmt: skip
    test = samples[samples["split"] == "test"]
    images = torch.stack([load_tensor(Path(path)) for path in test["image"]])
    scores = np.concatenate([score_batch(detector.eval(), part, CPU)[0] for part in images.split(16)])
    assert image_auroc(scores, test["label"].to_numpy()) >= LEAST.get(name, 0.95)
