"""SoftPatch's parts against direct arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.errors import DataError
from viad.models.softpatch import SoftPatch, outlier_factors, quiet

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


class Pixels(nn.Module):
    """Stands for a backbone: patches are the image's pixels."""

    def forward(self, images):
        return {"patches": images}


def _module(**changes):
    args = {
        "dimensions": 4, "neighbors": 3, "noise_share": 0.15, "coreset_sampling_ratio": 0.5, "max_patches": None,
        "pre_trained": False,
    }  # fmt: skip
    module = SoftPatch("viad_random", ["blocks.2"], **(args | changes), **PARTS)
    module.model.feature_extractor = Pixels()
    return module


def _factor_by_definition(points, k):
    """Breunig et al., 2000: reachability, local reachability density, their ratio."""
    n = len(points)
    distance = [[float(np.linalg.norm(points[i] - points[j])) for j in range(n)] for i in range(n)]
    near = [sorted((j for j in range(n) if j != i), key=lambda j, i=i: distance[i][j])[:k] for i in range(n)]
    radius = [distance[i][near[i][-1]] for i in range(n)]
    density = [1 / (sum(max(radius[j], distance[i][j]) for j in near[i]) / k) for i in range(n)]
    return [sum(density[j] for j in near[i]) / k / density[i] for i in range(n)]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 6), images=st.integers(7, 15))
def test_outlier_factors_are_those_of_each_position_by_itself(seed, k, images):
    patches = torch.randn(images, 3, 4, generator=torch.Generator().manual_seed(seed))
    factors = outlier_factors(patches, k)
    assert factors.shape == (images, 3)
    for position in range(3):
        expected = _factor_by_definition(patches[:, position].double().numpy(), k)
        np.testing.assert_allclose(factors[:, position], expected, rtol=1e-3)


def test_too_few_images_are_an_error_that_names_the_argument():
    with pytest.raises(DataError, match="neighbors"):
        outlier_factors(torch.randn(6, 2, 3), 6)


def test_the_quiet_patches_are_all_but_the_noisiest_share():
    factors = np.random.default_rng(0).permutation(np.arange(100.0))
    assert sorted(factors[quiet(factors, 0.15)]) == list(range(85))
    assert quiet(np.ones(10), 0.15).all()  # nothing stands out


def _fitted(images, **changes):
    module = _module(**changes)
    module.model.gather(images[:5])
    module.model.gather(images[5:])
    torch.manual_seed(0)
    module.fit()
    return module


def test_the_bank_holds_quiet_patches_with_their_factors_and_as_many_as_asked_of_all():
    torch.manual_seed(0)
    images = torch.randn(12, 4, 3, 2)
    rows = images.permute(2, 3, 0, 1).flatten(0, 1)  # position, image, feature
    factors = {
        tuple(patch.tolist()): factor
        for position in rows
        for patch, factor in zip(position, _factor_by_definition(position.double().numpy(), 3), strict=True)
    }
    limit = np.quantile(list(factors.values()), 0.85)
    module = _fitted(images)
    assert len(module.model.bank) == 36  # half of 72, those left out included
    for patch, weight in zip(module.model.bank, module.model.weights, strict=True):
        assert float(weight) == pytest.approx(factors[tuple(patch.tolist())], rel=1e-3)
        assert float(weight) <= limit * 1.0001
    everything = _fitted(images, coreset_sampling_ratio=1.0).model.bank
    assert {tuple(p.tolist()) for p in everything} == {p for p, f in factors.items() if f <= limit}
    assert len(_fitted(images, max_patches=7).model.bank) == 7


def test_scores_by_loop_and_by_image():
    torch.manual_seed(0)
    module = _module()
    model = module.model.eval()
    model.bank, model.weights = torch.randn(9, 4), torch.rand(9) + 0.5
    images = torch.randn(3, 4, 2, 5)
    result = model(images)
    assert torch.equal(model(images[2:]).anomaly_map, result.anomaly_map[2:])
    for b in range(3):
        scores = []
        for y in range(2):
            for x in range(5):
                squared = [float(((images[b, :, y, x] - one) ** 2).sum()) for one in model.bank]
                best = int(np.argmin(squared))
                scores.append(squared[best] * float(model.weights[best]))
        torch.testing.assert_close(result.anomaly_map[b].flatten(), torch.tensor(scores))
        assert float(result.pred_score[b]) == pytest.approx(max(scores), rel=1e-5)


def test_contamination_stays_out_of_the_bank():
    """Every fifth image bears an anomaly of its own somewhere; without filtering the coreset would pick those first."""
    torch.manual_seed(0)
    images = torch.randn(40, 4, 4, 4) * 0.1
    for i in range(0, 40, 5):
        images[i, :, i // 10, i % 4] += torch.randn(4) * 20
    assert float(_fitted(images, noise_share=0.0).model.bank.abs().max()) > 5
    assert float(_fitted(images).model.bank.abs().max()) < 1


def test_long_patches_are_projected_for_measuring_but_kept_whole():
    torch.manual_seed(0)
    images = torch.randn(10, 200, 2, 2)
    module = _fitted(images)
    assert module.model.bank.shape == (20, 200)
    known = {tuple(p.tolist()) for p in images.permute(0, 2, 3, 1).flatten(0, 2)}
    assert all(tuple(p.tolist()) in known for p in module.model.bank)
