"""The pass over the training images: every normal one once, and sums that numpy confirms."""

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from loaders import loader
from viad.backbones.feature_cache import FeatureCache
from viad.models.components.channel_statistics import ChannelScale, channel_statistics, standardize, training_batches
from viad.training.loading import load_batches as image_batches

LABELS = [0, 1, 0, 0, 1, 0, 0]


def _module(epoch=0, cache=None, **options):
    torch.manual_seed(0)
    pixels = torch.rand(7, 3, 4, 5) * torch.tensor([1.0, 10.0, 0.0]).view(3, 1, 1)
    balanced = loader(pixels, LABELS, 3, sampler=[1, 1, 4, 0, 0, 0], **options)  # what a balanced epoch may be
    trainer = SimpleNamespace(train_dataloader=balanced, current_epoch=epoch)
    model = SimpleNamespace(feature_extractor=SimpleNamespace(cache=cache))
    module = SimpleNamespace(trainer=trainer, device="cpu", pre_processor=lambda x: x - 1, model=model)
    return module, pixels[[i for i, label in enumerate(LABELS) if label == 0]] - 1


def test_every_normal_image_once_in_the_tables_order_and_no_anomaly():
    module, normals = _module()
    batches = list(training_batches(module))
    torch.testing.assert_close(torch.cat([batch.image for batch in batches]), normals)
    assert [path for batch in batches for path in batch.image_path] == ["0", "2", "3", "5", "6"]


@pytest.fixture
def _spawning():
    """Processes start by default in another way than by a fork, as from Python 3.14 on."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("_spawning")
def test_workers_are_forked_whatever_the_default():
    module, normals = _module(num_workers=1, multiprocessing_context="fork")
    module.trainer.train_dataloader.dataset.local = lambda: None  # a spawned worker could not be given this
    torch.testing.assert_close(torch.cat([batch.image for batch in training_batches(module)]), normals)
    on_gpu = image_batches(pd.DataFrame({"image": ["a.png"], "train_label": [0]}), 1, on_gpu=True)
    assert on_gpu.multiprocessing_context.get_start_method() == "fork"


def test_the_cache_hears_of_every_batch(tmp_path):
    cache = FeatureCache(tmp_path, [str(i) for i in range(7)])
    module, _ = _module(cache=cache)
    for batch in training_batches(module):
        cache.features(batch.image, lambda image=batch.image: {"a": image})
    assert np.flatnonzero(cache._filled).tolist() == [0, 2, 3, 5, 6]
    assert cache._announced is None


def test_statistics_are_numpys():
    module, normals = _module()
    ((mean, deviation),) = channel_statistics(module, lambda images: [images])
    np.testing.assert_allclose(mean, normals.numpy().mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(deviation[:2], normals.numpy().std(axis=(0, 2, 3))[:2], rtol=1e-5)
    assert float(deviation[2]) == np.float32(1e-6)  # a constant channel


def test_a_scale_is_fitted_once_and_works_on_maps_and_on_rows():
    module, normals = _module()
    scales = nn.ModuleList([ChannelScale(3)])
    torch.testing.assert_close(scales[0](normals), normals)  # nothing before it is fitted
    standardize(module, scales, lambda images: [images])
    scaled = scales[0](normals)
    torch.testing.assert_close(scaled[:, :2].mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled[:, :2].std(dim=(0, 2, 3), correction=0), torch.ones(2))
    torch.testing.assert_close(scales[0](normals[:, :, 1, 2]), scaled[:, :, 1, 2])
    before = scales[0].mean.clone()
    standardize(_module(epoch=1)[0], scales, lambda images: [images + 5])  # a resumed training
    assert torch.equal(scales[0].mean, before)
