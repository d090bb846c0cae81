"""STFPM against anomalib's maps and a loop."""

import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.models.image.stfpm.anomaly_map import AnomalyMapGenerator
from torch.nn import functional as F  # noqa: N812

from viad.models.stfpm import Stfpm

LAYERS = ["layer1", "layer2", "layer3"]
PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Stfpm("resnet18", LAYERS, learning_rate=0.4, pre_trained=False, **PARTS).eval()


@torch.no_grad()
def test_map_is_anomalibs_at_the_finest_grid_and_near_it_at_full_size(model):
    images = torch.rand(2, 3, 256, 256)
    teacher, student = model.model.features(images)
    ours = model.model(images)
    assert ours.anomaly_map.shape == (2, 1, 64, 64)
    features = {"teacher_features": teacher, "student_features": student}
    torch.testing.assert_close(ours.anomaly_map, AnomalyMapGenerator()(**features, image_size=(64, 64)))
    theirs = AnomalyMapGenerator()(**features, image_size=(256, 256))
    full = F.interpolate(ours.anomaly_map, size=(256, 256), mode="bilinear", align_corners=False)
    # The product of upsampled maps is not the upsampled product, but little differs from it.
    assert torch.corrcoef(torch.stack([full.flatten(), theirs.flatten()]))[0, 1] > 0.99
    torch.testing.assert_close(ours.pred_score, full.amax(dim=(1, 2, 3)))
    torch.testing.assert_close(ours.pred_score, theirs.amax(dim=(1, 2, 3)), rtol=0.05, atol=0)


@pytest.mark.parametrize("copies", [1, 5])
def test_loss_by_a_loop_does_not_grow_with_the_batch(model, copies):
    images = torch.rand(1, 3, 64, 64)
    logged = {}
    model.log = lambda name, value, **_: logged.update({name: float(value)})
    with torch.no_grad():
        loss = model.training_step(ImageBatch(image=images.repeat(copies, 1, 1, 1)))
        teacher, student = model.model.features(images)
    expected = 0.0
    for layer in LAYERS:
        height, width = teacher[layer].shape[-2:]
        for y in range(height):
            for x in range(width):
                t, s = teacher[layer][0, :, y, x], student[layer][0, :, y, x]
                expected += float((t / t.norm() - s / s.norm()).square().sum()) / 2 / (height * width)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert logged == {"train_loss": pytest.approx(expected, rel=1e-4)}


def test_validation_loss_is_that_of_normal_images_alone(model):
    images = torch.rand(3, 3, 64, 64)
    logged = {}
    model.log = lambda name, value, **_: logged.update({name: float(value)})
    with torch.no_grad():
        batch = model.validation_step(ImageBatch(image=images, gt_label=torch.tensor([0, 1, 0])))
        expected = float(model.loss(*model.model.features(images[[0, 2]]))) / 2
    assert logged == {"val_loss": pytest.approx(expected, rel=1e-4)}
    assert batch.pred_score.shape == (3,)


def test_only_the_student_trains_and_by_the_papers_optimiser(model):
    optimizer = model.configure_optimizers()
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.4, 0.9, 1e-4)
    assert {id(p) for p in group["params"]} == {id(p) for p in model.model.student.parameters()}
    assert {id(p) for p in model.model.parameters() if p.requires_grad} == {id(p) for p in group["params"]}
    weight = "layer1.0.conv1.weight"
    networks = (model.model.feature_extractor, model.model.student)
    teacher, student = (network.feature_extractor.get_parameter(weight) for network in networks)
    assert not torch.equal(teacher, student)
