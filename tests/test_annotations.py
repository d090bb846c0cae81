"""Annotation files as evidence: samples that other libraries wrote, and files that are incomplete or damaged."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from viad.artifacts.images import read_mask
from viad.errors import DataError
from viad.importing.annotated_folder import read_annotated_folder
from viad.importing.import_options import ImportOptions
from viad.importing.importer import import_images
from viad.importing.regions import Region, draw_regions

SAMPLES = Path(__file__).parent / "annotation_samples"


def filled(rows, columns):
    mask = np.zeros((48, 64), bool)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


def circle(x, y, radius):
    rows, columns = np.mgrid[:48, :64] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


# By pixel centres: right of x = 30, below y = 5, above the line from (60, 5) to (30, 40).
ROWS, COLUMNS = np.mgrid[:48, :64] + 0.5
BOX, TRIANGLE = filled((10, 20), (5, 25)), (COLUMNS > 30) & (ROWS > 5) & ((COLUMNS - 30) / 30 + (ROWS - 5) / 35 < 1)
TRIANGLES_BOX = filled((5, 40), (30, 60))
RING = BOX & ~filled((13, 16), (9, 14))


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def read(folder, tmp_path, **options):
    return read_annotated_folder(folder, tmp_path / "masks", **options)


def picture(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 90)).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


@pytest.mark.parametrize(
    ("name", "masks", "least", "kind"),
    [
        ("yolo_boxes", (BOX, BOX | TRIANGLES_BOX, TRIANGLES_BOX), 1, "boxes"),
        ("yolo_segments", (BOX, BOX | TRIANGLE, TRIANGLE), 0.83, "yes"),
        ("voc_boxes", (BOX, BOX | TRIANGLES_BOX, TRIANGLES_BOX), 0.85, "boxes"),
        ("voc_polygons", (BOX, BOX | TRIANGLE, TRIANGLE), 0.83, "yes"),
        ("coco_polygons", (BOX, BOX | TRIANGLE, TRIANGLE), 0.83, "yes"),
        ("labelme", (RING, BOX | TRIANGLE, TRIANGLE | circle(40, 24, 10)), 0.99, "boxes"),
    ],
)
def test_samples_of_other_libraries_give_their_labels_and_masks(tmp_path, name, masks, least, kind):
    found = read(SAMPLES / name, tmp_path, unannotated="normal" if name.startswith("coco") else None)
    described = [(p.image.name, p.label, p.defect, p.split, p.category) for p in found.pictures]
    assert sorted(described) == [
        ("1.png", 1, "scratch", "reserve", "all"),
        ("2.png", 1, "dent-scratch", "reserve", "all"),
        ("3.png", 0, "", "train", "all"),
        ("4.png", 1, "dent", "test", "all"),
    ]
    by_name = {p.image.name: p.mask for p in found.pictures}
    assert by_name["3.png"] is None
    for image, mask in zip(("1.png", "2.png", "4.png"), masks, strict=True):
        assert overlap(read_mask(Path(by_name[image])), mask) >= least
    assert found.mask_kind == kind
    assert found.left_out == []


def test_run_length_codes_of_pycocotools_give_the_same_pixels(tmp_path):
    found = read(SAMPLES / "coco_runs", tmp_path, unannotated="normal")
    assert [(p.label, p.defect) for p in found.pictures] == [(1, "ring"), (1, "ring"), (0, "")]
    for image in found.pictures[:2]:
        assert np.array_equal(read_mask(Path(image.mask)), RING)


def test_images_that_coco_lists_without_a_region_are_asked_about(tmp_path):
    with pytest.raises(DataError, match=r"1 of 3 images have no annotation \(COCO\): 3.png.*--unannotated normal"):
        read(SAMPLES / "coco_runs", tmp_path)


def make_yolo(root):
    for name in ("train/images/1", "train/images/2", "test/images/3"):
        picture(root / f"{name}.jpg")
    write(root / "train/labels/1.txt", "0 .5 .5 .2 .2\n")


def make_flat_yolo(root):
    """Images and text files in one folder, the splits below images/ and labels/."""
    for name in ("images/train/1", "images/train/2", "images/val/3"):
        picture(root / f"{name}.png")
    write(root / "labels/train/1.txt", "0 .5 .5 .2 .2\n")


@pytest.mark.parametrize("make", [make_yolo, make_flat_yolo])
def test_an_image_without_an_annotation_is_normal_only_if_the_user_says_so(tmp_path, make):
    make(tmp_path / "y")
    with pytest.raises(DataError, match="2 of 3 images have no annotation"):
        read(tmp_path / "y", tmp_path)
    found = read(tmp_path / "y", tmp_path, unannotated="normal")
    labelled = sorted((p.image.stem, p.label, p.defect, p.split) for p in found.pictures)
    assert labelled == [
        ("1", 1, "class_0", "reserve"), ("2", 0, "", "train"), ("3", 0, "", "test" if make is make_yolo else "val"),
    ]  # fmt: skip


@pytest.mark.parametrize("make", [make_yolo, make_flat_yolo])
def test_an_annotated_folder_becomes_a_dataset_whose_masks_are_called_boxes(tmp_path, monkeypatch, make):
    make(tmp_path / "y")
    repository = tmp_path / "repository"
    (repository / "conf/dataset").mkdir(parents=True)
    monkeypatch.chdir(repository)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    told = import_images(tmp_path / "y", "weld", ImportOptions(unannotated_normal=True))
    assert "1 of these regions are boxes" in told
    assert "masks: 1 of 1" in told
    assert yaml.safe_load(Path("conf/dataset/weld.yaml").read_text())["facts"]["masks"] == "boxes"
    table = Path("data/imported/weld/table.csv").read_text()
    image = "train/images/1.jpg" if make is make_yolo else "images/train/1.png"
    assert f"{image},masks_of_regions/{image}.png,1,class_0,reserve" in table
    mask = read_mask(Path("data/imported/weld/masks_of_regions") / f"{image}.png")
    assert np.array_equal(mask, filled((19, 29), (26, 38)))


@pytest.mark.parametrize("name", ["coco.json", "data.YAML"])
def test_the_path_of_an_annotation_file_is_answered_with_what_to_name(tmp_path, name):
    write(tmp_path / name, COCO)
    with pytest.raises(DataError, match="name the folder above them and this file"):
        import_images(tmp_path / name, "weld")


def test_classes_and_folders_that_mean_normal(tmp_path):
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "a/2.png")
    write(tmp_path / "a/1.txt", "0 .5 .5 .2 .2\n")
    write(tmp_path / "a/2.txt", "1 .5 .5 .2 .2\n0 .1 .1 .1 .1\n")
    write(tmp_path / "a/classes.txt", "Good\ncrack\n")
    found = read(tmp_path / "a", tmp_path)
    assert [(p.label, p.defect) for p in found.pictures] == [(0, ""), (1, "crack")]
    assert not read_mask(Path(found.pictures[1].mask))[:10, :10].any()
    write(tmp_path / "a/classes.txt", "seam\ncrack\n")
    with pytest.raises(DataError, match="no normal image among 2"):
        read(tmp_path / "a", tmp_path)
    assert [p.label for p in read(tmp_path / "a", tmp_path, normal=["seam"]).pictures] == [0, 1]


def test_folders_of_normal_images_and_of_defects_count_beside_annotations(tmp_path):
    for name in ("ok/1", "burr/2", "burr/3"):
        picture(tmp_path / f"a/{name}.png")
    shape = {"label": "long burr", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]]}
    write(tmp_path / "a/burr/2.json", {"imagePath": "..\\burr\\2.png", "shapes": [shape]})
    found = read(tmp_path / "a", tmp_path)
    assert [(p.label, p.defect, p.mask is not None) for p in found.pictures] == [
        (1, "long burr", True), (1, "burr", False), (0, "", False),
    ]  # fmt: skip
    write(tmp_path / "a/ok/1.json", {"imagePath": "1.png", "shapes": [shape]})
    with pytest.raises(DataError, match="1 images lie in a folder of normal images, but have annotated"):
        read(tmp_path / "a", tmp_path)


def test_a_text_that_is_no_annotation_leaves_the_folder_to_its_names(tmp_path):
    picture(tmp_path / "good/1.png")
    write(tmp_path / "good/1.txt", "seen from above\n")
    write(tmp_path / "info.json", {"camera": 3})
    write(tmp_path / "info.xml", "<camera/>")
    assert read(tmp_path, tmp_path) is None


def test_an_annotation_belongs_to_its_place(tmp_path):
    for name in ("train/images/1", "test/images/1"):
        picture(tmp_path / f"a/{name}.png")
    write(tmp_path / "a/test/labels/1.txt", "0 .5 .5 .2 .2\n")
    found = read(tmp_path / "a", tmp_path, unannotated="normal")
    assert [(p.split, p.label) for p in found.pictures] == [("test", 1), ("train", 0)]
    (tmp_path / "a/test/images/1.png").unlink()
    with pytest.raises(DataError, match=r"1 annotated images do not exist: 1 \(test/labels/1.txt\)"):
        read(tmp_path / "a", tmp_path, unannotated="normal")


def test_products_above_the_splits_are_categories_and_years_are_no_part_of_a_split(tmp_path):
    for product in ("lid", "cup"):
        picture(tmp_path / f"a/{product}/train2017/1.png")
        picture(tmp_path / f"a/{product}/val2017/2.png")
        write(tmp_path / f"a/{product}/val2017/2.txt", "0 .5 .5 .2 .2\n")
    found = read(tmp_path / "a", tmp_path, unannotated="normal")
    assert sorted((p.category, p.split, p.label) for p in found.pictures) == [
        ("cup", "train", 0), ("cup", "val", 1), ("lid", "train", 0), ("lid", "val", 1),
    ]  # fmt: skip


def test_regions_beyond_the_border_are_clipped_and_named(tmp_path):
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "a/2.png")
    write(tmp_path / "a/1.txt", "0 1 1 .5 .5\n")
    write(tmp_path / "a/2.txt", "")
    found = read(tmp_path / "a", tmp_path)
    assert any("clipped in 1 images: 1.png" in note for note in found.notes)
    assert np.array_equal(read_mask(Path(found.pictures[0].mask)), filled((36, 48), (48, 64)))


def test_points_and_lines_make_an_image_anomalous_without_a_mask(tmp_path):
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "a/2.png")
    write(
        tmp_path / "a/1.json", {"imagePath": "1.png", "shapes": [{"label": "x", "shape_type": "point", "points": []}]}
    )
    write(tmp_path / "a/2.json", {"imagePath": "2.png", "shapes": []})
    found = read(tmp_path / "a", tmp_path)
    assert [(p.label, p.mask) for p in found.pictures] == [(1, None), (0, None)]
    assert any("1 images have no mask" in note for note in found.notes)
    assert found.mask_kind == "no"


COCO = {
    "images": [{"id": 1, "file_name": "1.png"}],
    "categories": [{"id": 1, "name": "dent"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
}


def changed(key, **values):
    return COCO | {key: [COCO[key][0] | values]}


def shape(**values):
    return {
        "imagePath": "1.png",
        "shapes": [{"label": "x", "points": [[1, 1], [5, 5]], "shape_type": "circle"} | values],
    }


VOC = "<annotation>{}<object><name>x</name><bndbox>{}</bndbox></object></annotation>"
CORNERS = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("c.json", "{", r"c\.json is not valid JSON .* Correct, remove or exclude it"),
        ("c.json", "[" * 100000, "not valid JSON"),
        ("c.json", changed("images", file_name=None), r"images\[0\]: no 'file_name'"),
        ("c.json", changed("images", file_name="gone.png"), r"1 annotated images do not exist: gone.png \(c.json\)"),
        ("c.json", changed("images", width=32, height=24), "size 32x24 does not match image size 64x48"),
        ("c.json", changed("annotations", image_id=9), r"annotations\[0\]: no image has the id 9"),
        ("c.json", changed("annotations", category_id=9), "no category has the id 9"),
        ("c.json", changed("annotations", bbox=[1, 1, 5]), "the box has not x, y, width and height"),
        ("c.json", changed("annotations", bbox=[1, 1, -5, 5]), "a negative side"),
        ("c.json", changed("annotations", bbox=[1, 1, "five", 5]), "'five' is not a number"),
        ("c.json", changed("annotations", bbox=[1, 1, float("nan"), 5]), "'nan' is not a number"),
        ("c.json", changed("annotations", bbox=[100, 10, 9, 9]), "lies outside of the image of 64x48"),
        ("c.json", changed("annotations", bbox=[0, 0, 9e9, 9]), "far outside of the image"),
        ("c.json", changed("annotations", segmentation=[[1, 1, 5, 5]]), "a polygon has 2 points"),
        ("c.json", changed("annotations", segmentation=[[1, 1, 5, 5, 7]]), "do not pair up"),
        ("c.json", changed("annotations", segmentation={"size": [48, 64], "counts": "é"}), "code is damaged"),
        ("c.json", changed("annotations", segmentation={"size": [48, 64], "counts": "P"}), "is cut off"),
        ("c.json", changed("annotations", segmentation={"size": [48, 64], "counts": [1, 2]}), "has 3 pixels"),
        ("c.json", changed("annotations", segmentation={"size": [4, 4], "counts": [1, 15]}), "for an image of 4x4"),
        ("1.json", shape(label=""), r"shapes\[0\]: no label"),
        ("1.json", shape(shape_type="cube"), "the shape 'cube' is unknown"),
        ("1.json", shape(points=[[1, 1]]), "a circle has 1 points"),
        ("1.json", shape(points=[1, 2]), "not a list of x and y"),
        ("1.json", shape(shape_type="mask", mask="no"), "the mask is damaged"),
        ("1.json", {"imagePath": "2.png", "shapes": []}, "1 annotated images do not exist"),
        ("1.json", {"regions": [], "objects": [], "size": {}}, "the format of Supervisely is not read"),
        ("t.json", [{"id": 1, "data": {}, "annotations": []}], "the format of Label Studio is not read"),
        ("t.json", {"1.png9": {"filename": "1.png", "regions": []}}, "VGG Image Annotator is not read"),
        ("1.xml", "<annotation>", "is not valid XML"),
        ("1.xml", '<!DOCTYPE a [<!ENTITY a "b">]><annotation>&a;</annotation>', "defines XML entities"),
        ("1.xml", "<annotations><image/></annotations>", "CVAT's own format is not read"),
        ("1.xml", VOC.format("", ""), "object 1, xmin: 'None' is not a number"),
        ("1.xml", VOC.format("", CORNERS.replace("9", "0")), "the box ends before it begins"),
        ("1.xml", VOC.format("<size><width>9</width><height>9</height></size>", CORNERS), "annotated image size 9x9"),
        ("1.xml", VOC.format("", CORNERS).replace("<name>x</name>", ""), "object 1: no name"),
        ("1.txt", "0 .5 .5 .2 .2 .9\n", "line 1: a sixth value"),
        ("1.txt", "0 .5 .5 .2 .2\n0 .5 .5\n", "line 2: 3 values are neither a box"),
        ("1.txt", "0 .5 .5 .2 .2\nscratch .5 .5 .2 .2\n", "line 2: 'scratch' is not a number"),
        ("1.txt", "0.5 .5 .5 .2 .2\n", "no class has the number 0.5"),
        ("1.txt", "0 300 200 40 40\n", "far outside of the image of 64x48. Correct it, or its unit"),
        ("labels/1.txt", b"0 .5 .5 .2 .2\n\xff\xff", None),
    ],
)  # fmt: skip
def test_annotations_that_cannot_be_used_are_refused_in_words(tmp_path, file, text, message):
    picture(tmp_path / "a/1.png")
    if isinstance(text, bytes):
        write(tmp_path / "a" / file, "")
        (tmp_path / "a" / file).write_bytes(text)
        write(tmp_path / "a/1.txt", "0 .5 .5 .2 .2\n")
        message = r"labels/1\.txt is not in UTF-8"
    else:
        write(tmp_path / "a" / file, text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a", tmp_path, unannotated="normal")


@pytest.mark.parametrize(("first", "last"), [(1, 9), (4, 30)])
def test_a_box_of_pascal_voc_counts_from_one_and_includes_its_last_pixel(tmp_path, first, last):
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "a/2.png")
    write(tmp_path / "a/2.xml", "<annotation/>")
    corners = CORNERS.replace(">1<", f">{first}<").replace(">9<", f">{last}<")
    write(tmp_path / "a/1.xml", VOC.format("<size><width>0</width><height>0</height></size>", corners))
    found = read(tmp_path / "a", tmp_path)
    assert np.array_equal(read_mask(Path(found.pictures[0].mask)), filled((first - 1, last), (first - 1, last)))


def test_several_formats_or_masks_beside_annotations_are_asked_about_and_can_be_left_out(tmp_path):
    make_yolo(tmp_path / "y")
    write(tmp_path / "y/coco.json", {**COCO, "images": [{"id": 1, "file_name": "train/images/1.jpg"}]})
    with pytest.raises(DataError, match=r"COCO \(1 files\), YOLO \(1 files\).*--exclude"):
        read(tmp_path / "y", tmp_path, unannotated="normal")
    assert read(tmp_path / "y", tmp_path, unannotated="normal", exclude=["coco.json"])
    picture(tmp_path / "y/train/masks/1.png")
    with pytest.raises(DataError, match=r"and 1 masks \(train/masks/1.png\)"):
        read(tmp_path / "y", tmp_path, unannotated="normal", exclude=["coco.json"])
    found = read(tmp_path / "y", tmp_path, unannotated="normal", exclude=["coco.json", "masks"])
    assert len(found.pictures) == 3


def test_polygons_are_filled_by_pixel_centres_even_beyond_the_border():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :30] + 0.5
    for _ in range(20):
        corners = rng.uniform(-9, 39, (3, 2))
        mask, _ = (
            draw_regions([Region("polygon", tuple(map(tuple, corners)))], 20, 30) if _is_near(corners) else (None, 0)
        )
        if mask is None:
            continue
        sides = [
            (b[0] - a[0]) * (rows - a[1]) - (b[1] - a[1]) * (columns - a[0])
            for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ]
        inside = np.all([side > 0 for side in sides], axis=0) | np.all([side < 0 for side in sides], axis=0)
        assert np.array_equal(mask, inside) or (not inside.any() and mask.sum() == 1)


def _is_near(corners):
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (high > 0).all() and (low < (30, 20)).all()


def test_reading_an_annotated_folder_twice_gives_the_same_bytes(tmp_path):
    shutil.copytree(SAMPLES / "labelme", tmp_path / "copy")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (read(tmp_path / "copy", tmp_path / name) for name in ("one", "two"))
    assert [Path(p.mask).read_bytes() for p in one.pictures if p.mask] == [
        Path(p.mask).read_bytes() for p in two.pictures if p.mask
    ]
    assert one.notes == two.notes


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "image_id",
                    "category_id",
                    "file_name",
                    "name",
                    "bbox",
                    "segmentation",
                    "counts",
                    "size",
                    "label",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
SMALL_MASK = json.loads((SAMPLES / "labelme/train/1.json").read_text())["shapes"][0]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(
    content=st.one_of(
        st.fixed_dictionaries({key: st.lists(ANY_JSON, max_size=3) for key in COCO}),
        st.lists(ANY_JSON, max_size=3).map(lambda entries: COCO | {"annotations": entries}),
        st.dictionaries(st.sampled_from(["bbox", "segmentation"]), ANY_JSON).map(
            lambda values: changed("annotations", **values)
        ),
        st.lists(ANY_JSON, max_size=3).map(lambda entries: {"imagePath": "1.png", "shapes": entries}),
        st.fixed_dictionaries({"shape_type": ANY_JSON, "points": ANY_JSON}).map(lambda values: shape(**values)),
        st.fixed_dictionaries({"imagePath": ANY_JSON, "shapes": st.just([]), "imageWidth": ANY_JSON}),
        ANY_JSON,
        ANY_JSON.map(lambda code: changed("annotations", segmentation={"size": [48, 64], "counts": code})),
        ANY_JSON.map(lambda size: changed("annotations", segmentation={"size": size, "counts": [1, 2]})),
        ANY_JSON.map(lambda categories: COCO | {"categories": categories}),
        ANY_JSON.map(
            lambda size: {"imagePath": "1.png", "imageWidth": size, "imageHeight": size, "shapes": [SMALL_MASK]}
        ),
    )
)
def test_any_json_is_read_or_refused_in_words(tmp_path, content):
    picture(tmp_path / "a/1.png")
    write(tmp_path / "a/x.json", content)
    try:
        found = read(tmp_path / "a", tmp_path, unannotated="normal")
    except DataError:
        return
    assert found is None or len(found.pictures) == 1


@QUICK
@given(
    lines=st.lists(st.lists(st.floats(-2, 3) | st.integers(-1, 9) | st.text(max_size=2), max_size=9), max_size=3),
    names=st.none() | st.recursive(st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=3)
                                   | st.dictionaries(st.integers(0, 3) | st.text(max_size=2), inner, max_size=3)),
)  # fmt: skip
def test_any_text_is_read_or_refused_in_words(tmp_path, lines, names):
    picture(tmp_path / "a/1.png")
    write(tmp_path / "a/labels/1.txt", "\n".join(" ".join(map(str, line)) for line in lines))
    write(tmp_path / "a/data.yaml", {"names": names})
    try:
        found = read(tmp_path / "a", tmp_path, unannotated="normal")
    except DataError:
        return
    assert found is None or len(found.pictures) == 1
