"""Image size matters for small defects: the finding that the resolution study stands on, on real features."""

import numpy as np
import pytest
import torch

from viad.artifacts.images import read_image, resize_image
from viad.datasets import synthetic
from viad.metrics.image import image_auroc
from viad.training import build

STATED = {
    "args": {"coreset_sampling_ratio": 0.05, "num_neighbors": 1, "max_patches": 3000},
    "strides": [8, 16], "epochs": 1, "batch_size": 8,
}  # fmt: skip
MODEL = {
    "name": "patchcore", "class_path": "viad.models.patchcore.Patchcore", "learning_type": "one_class", "small": STATED,
}  # fmt: skip
BACKBONE = {
    "name": "efficientnet_lite0", "timm_name": "viad_efficientnet_lite0", "mean": [0.5] * 3, "std": [0.5] * 3,
    "layers": {8: "blocks.2", 16: "blocks.4"},
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    out = tmp_path_factory.mktemp("raw") / "synthetic"
    source = {"seed": 3341, "size": 512, "train_normals": 30, "test_normals": 15, "anomalies": 12}
    synthetic.publish(out, source)
    return list(synthetic.rows(out, "texture"))


def _auroc(rows, size):
    build.device_for("cpu")
    torch.manual_seed(0)
    spec = build.model_spec(MODEL, BACKBONE, image_size=size, color="rgb", preset="small")
    model = build.build(spec, "float32")

    def tensors(chosen):
        pixels = [resize_image(read_image(row.image), size, "rgb", "squash") for row in chosen]
        return [torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in pixels]

    model.train()
    with torch.no_grad():
        for image in tensors([row for row in rows if row.split == "train"]):
            model.model(model.pre_processor(image))
        model.fit()
        model.eval()
        # The same defects, alone: normal test images and small defects.
        test = [row for row in rows if row.split == "test" and row.defect in ("", "small")]
        scores = np.array([float(model(image).pred_score) for image in tensors(test)])
    return image_auroc(scores, np.array([row.label for row in test]))


def test_small_defects_need_pixels(rows):
    low, high = _auroc(rows, 128), _auroc(rows, 512)
    assert high > low + 0.1, (low, high)
