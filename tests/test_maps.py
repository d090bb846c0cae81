"""maps.py: rendering equals anomalib's smoothing, and stored maps come back as written."""

import numpy as np
import pytest
import torch
from anomalib.models.components import GaussianBlur2d

from viad.artifacts.anomaly_maps import Recipe, StoredMaps, resize_maps, write_recipe
from viad.errors import DataError


def some_maps(count=3, side=14, seed=0):
    return np.random.default_rng(seed).normal(20, 5, size=(count, side, side)).astype(np.float32)


def store(folder, maps, recipe):
    np.save(folder / "maps.npy", maps)
    write_recipe(recipe, folder)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 4.0])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 64), (20, 33)])
def test_equals_anomalibs_smoothing(height, width, sigma):
    maps = some_maps()
    full = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], size=(height, width), mode="bilinear", align_corners=False
    )
    expected = GaussianBlur2d(sigma=sigma)(full)[:, 0].numpy()
    found = resize_maps(maps, Recipe(height, width, sigma=sigma))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_sigma_is_plain_interpolation():
    maps = np.array([[[0.0, 1.0]]], dtype=np.float32)
    # Pixel centres, corners not aligned.
    np.testing.assert_allclose(resize_maps(maps, Recipe(1, 4))[0, 0], [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(resize_maps(maps, Recipe(2, 4, "nearest"))[0], [[0, 0, 1, 1]] * 2)


def test_smoothing_keeps_a_constant_and_spreads_a_point():
    flat = np.full((1, 16, 16), 7.0, dtype=np.float32)
    np.testing.assert_allclose(resize_maps(flat, Recipe(16, 16, sigma=2.0)), flat, rtol=1e-5)
    point = np.zeros((1, 33, 33), dtype=np.float32)
    point[0, 16, 16] = 1.0
    spread = resize_maps(point, Recipe(33, 33, sigma=2.0))[0]
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    assert spread[16, 18] / spread[16, 16] == pytest.approx(np.exp(-0.5), abs=1e-3)


def test_stored_maps_come_back(tmp_path):
    maps, recipe = some_maps(5), Recipe(28, 21, sigma=1.0)
    store(tmp_path, maps, recipe)
    stored = StoredMaps(tmp_path, 5)
    assert stored.recipe == recipe
    np.testing.assert_array_equal(stored.read_full(np.array([4, 0])), resize_maps(maps[[4, 0]], recipe))


def test_half_precision_on_disk_is_rendered_in_single(tmp_path):
    maps = some_maps().astype(np.float16)
    store(tmp_path, maps, Recipe(14, 14))
    full = StoredMaps(tmp_path, 3).read_full(np.arange(3))
    assert full.dtype == np.float32
    np.testing.assert_array_equal(full, maps.astype(np.float32))


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_stream_gives_the_rows_in_order(tmp_path, at_once):
    maps, rows = some_maps(5), np.array([3, 1, 4, 0, 2])
    store(tmp_path, maps, Recipe(14, 14))
    pieces = list(StoredMaps(tmp_path, 5).stream(rows, at_once=at_once))
    assert max(len(piece) for piece, _ in pieces) == min(at_once, 5)
    np.testing.assert_array_equal(np.concatenate([piece for piece, _ in pieces]), rows)
    np.testing.assert_array_equal(np.concatenate([full for _, full in pieces]), maps[rows])


def test_wrong_count(tmp_path):
    store(tmp_path, some_maps(5), Recipe(14, 14))
    with pytest.raises(DataError, match=r"5 maps for 6 rows of scores\.csv\. Run `dvc repro`"):
        StoredMaps(tmp_path, 6)


@pytest.mark.parametrize("missing", ["maps.npy", "recipe.json"])
def test_missing_file(tmp_path, missing):
    store(tmp_path, some_maps(), Recipe(14, 14))
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=rf"cannot read the anomaly maps .*{missing}.*`dvc repro`"):
        StoredMaps(tmp_path, 3)


@pytest.mark.parametrize("recipe", ["{", "[1, 2]", '{"height": 14}', '{"height": 14, "width": 14, "sides": 2}'])
def test_unreadable_recipe(tmp_path, recipe):
    store(tmp_path, some_maps(), Recipe(14, 14))
    (tmp_path / "recipe.json").write_text(recipe)
    with pytest.raises(DataError, match="cannot read the anomaly maps"):
        StoredMaps(tmp_path, 3)


@pytest.mark.parametrize("keep", [10, 100, -4])
def test_truncated_maps(tmp_path, keep):
    store(tmp_path, some_maps(), Recipe(14, 14))
    (tmp_path / "maps.npy").write_bytes((tmp_path / "maps.npy").read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot read the anomaly maps"):
        StoredMaps(tmp_path, 3)


def test_empty_maps_file(tmp_path):
    store(tmp_path, some_maps(), Recipe(14, 14))
    (tmp_path / "maps.npy").write_bytes(b"")
    with pytest.raises(DataError, match="cannot read the anomaly maps"):
        StoredMaps(tmp_path, 3)
