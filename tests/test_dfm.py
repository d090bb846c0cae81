"""DFM's streamed components against plain decompositions, and its scores against anomalib's."""

import numpy as np
import pytest
import torch
from anomalib.models.image.dfm.torch_model import DFMModel
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.errors import ConfigError
from viad.models.dfm import Dfm, StreamedPCA

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


def _rows(count, features, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(features, features)) * np.geomspace(5, 0.05, features)[:, None]
    return torch.from_numpy(rng.normal(size=(count, features)) @ mixing + rng.normal(size=features)).float()


def _streamed(rows, level, limit, sizes):
    pca, start = StreamedPCA(level, limit), 0
    while start < len(rows):
        size = sizes[start % len(sizes)]
        pca.add(rows[start : start + size].clone())
        start += size
    pca.finish()
    return pca


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 60), st.integers(2, 12), st.sampled_from([0.5, 0.9, 0.99]), st.lists(st.integers(1, 9), min_size=1)
)
def test_components_are_those_of_all_rows_at_once(count, features, level, sizes):
    rows = _rows(count, features)
    pca = _streamed(rows, level, limit=max(features, 5), sizes=sizes)
    expected = PCA(level, svd_solver="full").fit(rows.double().numpy())
    assert len(pca.components) == expected.n_components_
    torch.testing.assert_close(pca.mean, torch.from_numpy(expected.mean_).float(), rtol=1e-4, atol=1e-4)
    projector = torch.from_numpy(expected.components_.T @ expected.components_).float()
    torch.testing.assert_close(pca.components.T @ pca.components, projector, rtol=1e-3, atol=1e-3)
    variances = torch.from_numpy(expected.singular_values_**2 / count).float()
    torch.testing.assert_close(pca.variances, variances, rtol=1e-3, atol=1e-4)


def test_what_the_limit_cuts_off_is_small_and_memory_stays_bounded():
    rows = _rows(400, 60)
    pca = StreamedPCA(0.9, 40)
    for part in rows.split(7):
        pca.add(part.clone())
        assert sum(map(len, pca._waiting)) < 40 + 7
        assert pca._rows is None or len(pca._rows) <= 40
    pca.finish()
    exact = PCA(0.9, svd_solver="full").fit(rows.double().numpy())
    assert len(pca.components) == exact.n_components_
    overlap = np.linalg.svd(pca.components.numpy() @ exact.components_.T, compute_uv=False)
    assert overlap.min() > 0.95


def _models(score_type, level=0.97, **changes):
    ours = Dfm(
        "viad_random", ["blocks.4"], pooling_kernel_size=2, pca_level=level, score_type=score_type, max_components=64,
        **changes, **PARTS,
    ).model  # fmt: skip
    theirs = DFMModel("viad_random", "blocks.4", pooling_kernel_size=2, n_comps=level)
    torch.manual_seed(0)
    train, test = torch.rand(30, 3, 64, 64), torch.rand(4, 3, 64, 64)
    for model in (ours, theirs):
        model.train()
        model(train)
    ours.fit(), ours.eval()
    return ours, theirs, test


def test_reconstruction_error_is_anomalibs_with_the_same_number_of_components():
    ours, theirs, test = _models("fre")
    theirs.pca_model.n_components = len(ours.pca.components)
    theirs.fit(), theirs.eval()
    a, b = ours(test), theirs(test)
    torch.testing.assert_close(a.pred_score, b.pred_score, rtol=1e-3, atol=1e-6)
    assert a.anomaly_map.shape == (4, 1, 2, 2)
    full = torch.nn.functional.interpolate(a.anomaly_map, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(full, b.anomaly_map, rtol=1e-3, atol=1e-6)


def test_the_components_reach_the_asked_share_where_anomalibs_fall_short():
    ours, theirs, _ = _models("fre", level=0.9)
    rows = torch.vstack(theirs.memory_bank).clone()
    theirs.fit()
    assert len(ours.pca.components) == int(theirs.pca_model.num_components) + 1
    _, rest = ours.pca.split(rows)
    _, total = rows.var(dim=0, correction=0), (rows - rows.mean(dim=0)).square().sum()
    assert rest.square().sum() <= 0.1001 * total


def test_likelihood_is_that_of_a_gaussian_in_the_span():
    ours, theirs, test = _models("nll", level=0.8)
    with torch.no_grad():
        seen = ours.pca.split(torch.vstack(theirs.memory_bank))[0].double().numpy()
        asked = ours.pca.split(ours.pooled(test).flatten(1))[0].double().numpy()
    log_likelihood = GaussianMixture(1, reg_covar=0).fit(seen).score_samples(asked)
    constant = seen.shape[1] * np.log(2 * np.pi)
    np.testing.assert_allclose(ours(test).pred_score.numpy(), -2 * log_likelihood - constant, rtol=1e-2)


def test_several_layers_share_the_last_ones_grid():
    options = {"pooling_kernel_size": 1, "pca_level": 0.9, "max_components": 8}
    model = Dfm("viad_random", ["blocks.2", "blocks.4"], score_type="fre", **options, **PARTS).model
    images = torch.rand(2, 3, 64, 64)
    pooled, features = model.pooled(images), model.feature_extractor(images)
    torch.testing.assert_close(pooled[:, 40:], features["blocks.4"])
    torch.testing.assert_close(pooled[1, 5, 2, 3], features["blocks.2"][1, 5, 4:6, 6:8].mean())


def test_an_unknown_score_type_is_an_error():
    with pytest.raises(ConfigError, match="fre, nll"):
        _models("mse")
