"""The audit: it finds what was planted in drawn images, and nothing in them as they are."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from viad.artifacts.images import read_image, read_mask, write_image
from viad.audit import FINDING_COLUMNS, read_excluded_samples
from viad.audit.category_audit import audit_category
from viad.audit.dataset_audit import audit_dataset
from viad.audit.duplicates import compute_fingerprint, find_duplicates
from viad.datasets import Row, synthetic
from viad.errors import DataError
from viad.stages import resize

SOURCE = {"seed": 5, "size": 160, "train_normals": 32, "test_normals": 8, "anomalies": 4}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("raw") / "synthetic"
    synthetic.publish(out, SOURCE)
    return out


@pytest.fixture
def rows(drawn, tmp_path):
    """The texture's rows, and a way to plant a changed copy of one."""
    found = list(synthetic.rows(drawn, "texture"))

    def plant(like, sample, pixels=None, mask=None, **changes):
        row = next(row for row in found if row.sample == like)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        if pixels is not None:
            write_image(pixels, path)
            changes["image"] = path
        if mask is not None:
            write_image(mask, path.with_suffix(".mask.png"))
            changes["masks"] = (path.with_suffix(".mask.png"),)
        return replace(row, sample=sample, **changes)

    return found, plant


def kinds(table):
    return set(table["kind"]) - {"excluded"}


@pytest.mark.parametrize("category", ["texture", "object", "assembly"])
def test_nothing_is_found_in_clean_images(drawn, category):
    table, summary = audit_category(list(synthetic.rows(drawn, category)), category)
    assert table.empty
    assert list(table.columns) == FINDING_COLUMNS
    assert summary["images"]["train"] == [32, 0]
    assert summary["defect_area_percent"]["p95"] > 3


def test_an_exact_duplicate_in_another_format_is_a_leak_from_training_into_test(rows, tmp_path):
    found, plant = rows
    Image.fromarray(read_image(found[0].image)).save(tmp_path / "copy.bmp")
    copy = plant("test/good/000", "test/good/copy", image=tmp_path / "copy.bmp")
    table, _ = audit_category([*found, copy], "texture")
    assert kinds(table) == {"duplicate", "leak"}
    pair = table[table["kind"] == "duplicate"].iloc[0]
    assert (pair["sample"], pair["other"]) == (found[0].sample, "test/good/copy")
    assert table.loc[table["kind"] == "excluded", "sample"].tolist() == [found[0].sample]  # the test image is kept


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((90, 90)),
        lambda image: image.point(lambda level: min(255, int(level * 1.15))),
        lambda image: Image.open(_jpeg(image)),
    ],
    ids=["rescaled", "brighter", "compressed"],
)
def test_a_near_duplicate_is_found(rows, change):
    found, plant = rows
    copy = np.asarray(change(Image.fromarray(read_image(found[3].image))).convert("RGB"))
    table, _ = audit_category([*found, plant(found[3].sample, "train/good/copy", copy)], "texture")
    assert kinds(table) - {"size_outlier"} == {"near_duplicate"}
    pair = table[table["kind"] == "near_duplicate"].iloc[0]
    assert {pair["sample"], pair["other"]} == {found[3].sample, "train/good/copy"}


def _jpeg(image):
    import io

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return buffer


def test_one_image_with_two_labels_is_a_conflict(rows):
    found, plant = rows
    large = next(row for row in found if row.defect == "large" and row.split == "test")
    copy = plant("test/good/000", "test/good/copy", read_image(large.image))
    assert kinds(audit_category([*found, copy], "texture")[0]) == {"duplicate", "label_conflict"}


def test_masks_that_are_empty_of_another_size_or_on_a_normal_image(rows):
    found, plant = rows
    large = next(row for row in found if row.defect == "large")
    mask = read_mask(large.masks[0])
    changed = {
        "mask_empty": plant(large.sample, large.sample, mask=np.zeros_like(mask)),
        "mask_size": plant(large.sample, large.sample, mask=mask[:-3]),
        "mask_on_normal": replace(large, label=0, defect=""),
    }
    for kind, row in changed.items():
        others = [one for one in found if one.sample != large.sample]
        table, _ = audit_category([*others, row], "texture")
        assert kinds(table) == {kind}
        assert table["sample"].tolist() == [large.sample]


def test_a_mask_that_lies_elsewhere_is_found(rows):
    found, plant = rows
    large = [row for row in found if row.defect == "large"]
    moved = []
    for row in large:
        mask = np.roll(read_mask(row.masks[0]), (80, 80), (0, 1))
        moved.append(plant(row.sample, row.sample, mask=mask))
    others = [row for row in found if row.defect != "large"]
    table, _ = audit_category([*others, *moved], "texture")
    assert kinds(table) == {"mask_misplaced"}
    assert len(table) >= len(large) / 2


def test_unreadable_files_and_outliers_of_size_and_brightness(rows, tmp_path):
    found, plant = rows
    (tmp_path / "broken.png").write_bytes(b"no image")
    rng = np.random.default_rng(0)
    planted = {
        "unreadable": plant(found[0].sample, "a", image=tmp_path / "broken.png"),
        "size_outlier": plant(found[0].sample, "b", cv2.resize(read_image(found[0].image), (600, 20))),
        "brightness_outlier": plant(found[0].sample, "c", rng.integers(230, 256, (160, 160, 3)).astype(np.uint8)),
    }
    table, _ = audit_category([*found, *planted.values()], "texture")
    for kind, row in planted.items():
        assert table.loc[table["kind"] == kind, "sample"].tolist() == [row.sample]


def test_pairs_are_each_named_once_whatever_the_number_of_images(rows):
    found, _ = rows
    prints = [compute_fingerprint(read_image(row.image)) for row in found]
    pairs = [(i, j) for i, j, exact, _ in find_duplicates([*prints, None, *prints]) if exact]
    assert pairs == [(i, i + len(prints) + 1) for i in range(len(prints))]


def test_what_is_excluded_never_reaches_the_split(rows, tmp_path, monkeypatch):
    found, plant = rows
    copy = plant("test/good/000", "test/good/copy", read_image(found[0].image))
    monkeypatch.chdir(tmp_path)
    audit_dataset("drawn", {"texture": [*found, copy]})
    assert Image.open("plots/drawn/audit.jpg").width > 500
    monkeypatch.setattr(resize, "read_rows", lambda *_: [*found, copy])
    split = {"seed": 1, "test_normals": 0.2, "val_normals": 0.2, "reserve_anomalies": 0, "reserve_defects": []}
    dataset = {"name": "drawn", "code": "", "options": {}, "split": split}
    kept = {}
    for exclude in ("none", "duplicates"):
        params = {
            "dataset": dataset,
            "image_size": 32,
            "color": "rgb",
            "aspect": "squash",
            "center_crop": 1,
            "protocol": "study",
        }
        Path("params.yaml").write_text(yaml.safe_dump(params | {"audit": {"exclude": exclude}}))
        resize.main("texture")
        kept[exclude] = set(pd.read_csv("data/resized/drawn/texture/samples.csv")["sample"])
    assert kept["none"] - kept["duplicates"] == {found[0].sample}


def test_findings_that_are_missing_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_excluded_samples("x", "y", "none") == set()
    with pytest.raises(DataError, match="dvc repro"):
        read_excluded_samples("x", "y", "duplicates")


def test_a_category_of_one_image_can_be_looked_at(rows):
    found, _ = rows
    table, summary = audit_category([found[0]], "texture")
    assert table.empty
    assert summary["images"] == {"train": [1, 0]}
    assert isinstance(found[0], Row)
