"""The drawn dataset: the same bytes for the same source, and masks that tell the truth."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from viad.artifacts.images import read_image, read_mask
from viad.datasets import load_dataset_module, synthetic
from viad.datasets.synthetic.scene import expose
from viad.datasets.synthetic.specimen import AREAS, PRODUCTS, VISIBLE, Order, expose_scene, render_picture
from viad.errors import ConfigError, DataError

SOURCE = {"seed": 5, "size": 128, "train_normals": 3, "test_normals": 2, "anomalies": 2}
DEFECTS = {
    "texture": ["large", "small"],
    "object": ["large", "logical", "small"],
    "assembly": ["large", "logical", "small"],
}
ANOMALIES = [(category, kind) for category in PRODUCTS for kind in [*DEFECTS[category], "foreign"]]


def order(category, kind, index=0, size=128):
    return Order(seed=5, size=size, category=category, split="test", kind=kind, index=index)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("raw") / "synthetic"
    load_dataset_module("src/viad/datasets/synthetic").publish(out, SOURCE)
    return out


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_are_equal_to_the_byte_whatever_the_number_of_processes(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    synthetic.publish(tmp_path / "again", SOURCE)
    first, second = files(raw), files(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_an_image_does_not_depend_on_the_counts(raw):
    drawn, mask = render_picture(Order(5, 128, "assembly", "reserve", "logical", 1))
    assert np.array_equal(read_image(raw / "assembly/reserve/logical/001.png"), drawn)
    assert np.array_equal(read_mask(raw / "assembly/ground_truth/reserve/logical/001.png"), mask)


@pytest.mark.parametrize("change", [{"seed": 6}, {"split": "reserve"}, {"index": 1}])
def test_every_part_of_an_order_changes_its_image(change):
    one = order("object", "good")
    assert not np.array_equal(render_picture(one)[0], render_picture(replace(one, **change))[0])


@pytest.mark.parametrize("category", PRODUCTS)
def test_rows_give_the_published_split_and_the_counts_of_the_source(raw, category):
    rows = list(synthetic.rows(raw, category))
    counts = {}
    for row in rows:
        counts[row.split, row.defect] = counts.get((row.split, row.defect), 0) + 1
    expected = {("train", ""): 3, ("test", ""): 2, ("reserve", "foreign"): 2}
    expected |= {(split, defect): 2 for split in ("test", "reserve") for defect in DEFECTS[category]}
    assert counts == expected
    assert [row.sample for row in rows[:4]] == ["train/good/000", "train/good/001", "train/good/002", "test/good/000"]
    for row in rows:
        assert row.image == raw / category / f"{row.sample}.png"
        assert row.label == (row.defect != "") == (row.masks != ())
        for mask in row.masks:
            assert mask.relative_to(raw / category / "ground_truth").with_suffix("").as_posix() == row.sample


def test_images_are_8_bit_rgb_of_the_size_and_masks_are_0_and_255(raw):
    for row in synthetic.rows(raw, "object"):
        image = cv2.imread(str(row.image), cv2.IMREAD_UNCHANGED)
        assert (image.shape, image.dtype) == ((128, 128, 3), np.uint8)
        for path in row.masks:
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (128, 128)
            assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize("category", PRODUCTS)
@pytest.mark.parametrize("index", range(3))  # each look of a kind
def test_small_and_large_keep_their_areas(category, index):
    small = render_picture(order(category, "small", index, size=512))[1].mean()
    large = render_picture(order(category, "large", index, size=512))[1].mean()
    assert 0 < small < 0.002
    assert large > 0.03


@pytest.mark.parametrize(("category", "kind"), ANOMALIES)
def test_a_mask_is_where_the_pictures_without_and_with_the_defect_differ(category, kind):
    low, high = AREAS[kind]
    for index in range(4):
        exposure, _ = expose_scene(order(category, kind, index))
        change = np.abs(exposure.defective - exposure.clean).max(axis=2)
        assert change[~exposure.mask].max() == 0
        assert change[exposure.mask].min() > VISIBLE
        assert low < exposure.mask.mean() < high


@pytest.mark.parametrize("category", PRODUCTS)
def test_at_full_size_a_mask_adds_to_what_changed_only_narrow_seams(category):
    exposure, _ = expose_scene(order(category, "large", size=512))
    change = np.abs(exposure.defective - exposure.clean).max(axis=2)
    assert change[~exposure.mask].max() == 0
    visible = change > VISIBLE
    near = cv2.dilate(visible.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not (exposure.mask & ~near).any()
    assert (visible & exposure.mask).sum() > 0.85 * exposure.mask.sum()


@pytest.mark.parametrize(("category", "kind"), ANOMALIES)
def test_the_published_image_is_that_of_a_normal_product_outside_the_mask(category, kind):
    published, mask = render_picture(order(category, kind))
    exposure, camera = expose_scene(order(category, kind))
    normal = expose(exposure.clean, camera)
    assert np.array_equal(published[~mask], normal[~mask])
    assert (published[mask] != normal[mask]).any(axis=1).mean() > 0.9


def test_a_missing_hole_is_marked_where_it_should_be():
    exposure, _ = expose_scene(order("object", "logical", index=0, size=512))
    # Through a hole one sees the dark belt; where it is missing there is bright steel.
    assert exposure.clean[exposure.mask].mean() < 0.7 * exposure.defective[exposure.mask].mean()
    assert cv2.connectedComponents(exposure.mask.astype(np.uint8))[0] - 1 == 1


def test_what_changed_places_is_marked_at_both():
    exposure, _ = expose_scene(order("assembly", "logical", index=2, size=512))
    assert cv2.connectedComponents(exposure.mask.astype(np.uint8))[0] - 1 >= 2


def test_a_normal_image_has_an_empty_mask_and_is_the_clean_picture():
    exposure, _ = expose_scene(order("assembly", "good"))
    assert not exposure.mask.any()
    assert np.array_equal(exposure.clean, exposure.defective)


def test_a_missing_mask_is_named_and_no_other_takes_its_place(raw, tmp_path):
    copy = tmp_path / "copy"
    for name, content in files(raw / "texture").items():
        path = copy / "texture" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (copy / "texture/ground_truth/test/small/000.png").unlink()
    with pytest.raises(DataError, match=r"ground_truth/test/small/000\.png, the mask of .* does not exist"):
        list(synthetic.rows(copy, "texture"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("size", 64, r"dataset\.source\.size: 64 is not a whole number from 96 to 4096"),
        ("size", "512", r"dataset\.source\.size: '512'"),
        ("seed", -1, r"dataset\.source\.seed: -1"),
        ("train_normals", 0, r"dataset\.source\.train_normals: 0"),
        ("test_normals", 2.5, r"dataset\.source\.test_normals: 2\.5"),
        ("anomalies", True, r"dataset\.source\.anomalies: True"),
        ("colour", 1, r"dataset\.source\.colour: not known"),
    ],
)
def test_a_bad_value_of_the_source_is_named_and_nothing_is_drawn(tmp_path, key, value, message):
    with pytest.raises(ConfigError, match=message):
        synthetic.publish(tmp_path / "out", SOURCE | {key: value})
    assert not (tmp_path / "out").exists()


def test_a_missing_key_of_the_source_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.source\.anomalies: missing"):
        synthetic.publish(tmp_path / "out", {key: value for key, value in SOURCE.items() if key != "anomalies"})
