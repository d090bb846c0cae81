"""Image size matters for small defects: the finding that the resolution study stands on, on real features."""

import numpy as np
import pytest
import torch

from viad.artifacts.images import resize_image
from viad.datasets.synthetic.specimen import GOOD, Order, render_picture
from viad.metrics.image import image_auroc
from viad.training import build

pytestmark = pytest.mark.long
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


COUNTS = {("train", GOOD): 30, ("test", GOOD): 15, ("test", "small"): 12}


@pytest.fixture(scope="module")
def images():
    """Rendered textures (512, 512, 3) uint8, by split and defect."""
    return {
        (split, kind): [render_picture(Order(3341, 512, "texture", split, kind, index))[0] for index in range(count)]
        for (split, kind), count in COUNTS.items()
    }


def _auroc(images, size):
    build.choose_device("cpu")
    torch.manual_seed(0)
    spec = build.make_model_spec(MODEL, BACKBONE, image_size=size, color="rgb", preset="small")
    model = build.build_model(spec, "float32")

    def tensors(*group):
        pixels = [resize_image(image, size, "rgb", "squash") for image in images[group]]
        return [torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in pixels]

    model.train()
    with torch.no_grad():
        for image in tensors("train", GOOD):
            model.model(model.pre_processor(image))
        model.fit()
        model.eval()
        normal, small = (
            [float(model(image).pred_score) for image in tensors("test", kind)] for kind in (GOOD, "small")
        )
    return image_auroc(np.array(normal + small), np.repeat([0, 1], [len(normal), len(small)]))


def test_small_defects_need_pixels(images):
    low, high = _auroc(images, 128), _auroc(images, 512)
    assert high > low + 0.1, (low, high)
