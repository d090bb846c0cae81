"""Predictions made elsewhere: read as they are, or refused with the names of what is wrong."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from viad.artifacts.anomaly_maps import Recipe
from viad.errors import DataError
from viad.models.external import External, read_map

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}
ROWS = pd.DataFrame({"sample": ["a", "b 1", "ü"], "image": ["d/a.png", "d/b 1.png", "d/ü.png"]})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mono/maps").mkdir(parents=True)
    pd.DataFrame({"sample": ["ü", "a", "b 1"], "score": [3.0, 1.0, 2.0]}).to_csv(
        tmp_path / "mono/scores.csv", index=False
    )
    for i, sample in enumerate(ROWS["sample"]):
        np.save(tmp_path / f"mono/maps/{sample}.npy", np.full((4, 6), i, np.float64))
    return tmp_path


def _predict(folder, size=8):
    model = External(str(folder), **PARTS)
    scores = model.predictions("mono", ROWS, Recipe(size, size), folder / "out.npy")
    return scores.tolist(), np.load(folder / "out.npy")


def test_scores_and_maps_come_in_the_order_of_the_rows(folder):
    scores, maps = _predict(folder)
    assert scores == [1.0, 2.0, 3.0]
    assert maps.shape == (3, 4, 6)
    assert maps.dtype == np.float32
    assert maps[:, 0, 0].tolist() == [0, 1, 2]


def test_by_image_path_and_without_a_folder_for_the_category(folder):
    (folder / "mono/maps").rename(folder / "maps")
    (folder / "mono/scores.csv").unlink()
    (folder / "mono").rmdir()
    ROWS[["image"]].assign(score=[1, 2, 3]).to_csv(folder / "scores.csv", index=False)
    assert _predict(folder)[0] == [1.0, 2.0, 3.0]


def test_maps_of_unequal_sizes_are_brought_to_the_images(folder):
    np.save(folder / "mono/maps/a.npy", np.full((2, 2), 7.0))
    maps = _predict(folder)[1]
    assert maps.shape == (3, 8, 8)
    assert np.allclose(maps[0], 7)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_eight_and_sixteen_bit_images(tmp_path, suffix):
    values = np.array([[0, 51], [102, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(read_map(tmp_path / f"a{suffix}"), values / 255, rtol=1e-6)
    deep = np.array([[0, 300], [40000, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"b{suffix}")
    np.testing.assert_allclose(read_map(tmp_path / f"b{suffix}"), deep / 65535, rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sample,score\na,1\nb 1,2\n", r"1 images have no score: ü"),
        ("sample,score\na,1\nb 1,2\nü,1\nz,3\n", r"1 scores belong to no image: z"),
        ("sample,score\na,1\nb 1,2\nü,1\na,3\n", r"1 images have two scores: a"),
        ("sample,score\na,1\nb 1,\nü,1\n", r"not finite: b 1"),
        ("sample,score\na,1\nb 1,high\nü,1\n", r"cannot read the scores"),
        ("name,score\na,1\n", r"needs a column `sample` or `image`"),
    ],
)
def test_wrong_tables_are_refused(folder, table, message):
    (folder / "mono/scores.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        _predict(folder)


def test_a_missing_or_wrong_map_is_refused(folder):
    (folder / "mono/maps/a.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.npy is not a readable map"):
        _predict(folder)
    np.save(folder / "mono/maps/a.npy", np.zeros((2, 3, 3)))
    with pytest.raises(DataError, match=r"one channel"):
        _predict(folder)
    np.save(folder / "mono/maps/a.npy", np.full((2, 2), np.nan))
    with pytest.raises(DataError, match=r"not finite"):
        _predict(folder)
    (folder / "mono/maps/a.npy").unlink()
    with pytest.raises(DataError, match=r"1 images have no map: a"):
        _predict(folder)
