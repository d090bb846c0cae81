"""viad import of folders whose names say little: nothing is invented, and nothing disappears."""

import csv
import os
import unicodedata
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from viad.cli import build_parser
from viad.datasets import imported
from viad.errors import ConfigError, DataError
from viad.importing.file_checks import check_files, describe_thin_data
from viad.importing.import_options import ImportOptions, parse_splits
from viad.importing.layouts import read_folder

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 48, 64


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


def mk(root, *files):
    """Write random images."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(root / file)


def mm(root, *files, level=255, inverted=False):
    """Write masks with a rectangle of `level`."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        pixels[10:20, 5:25] = level
        Image.fromarray(255 - pixels if inverted else pixels).save(root / file)


def read(root, **options):
    """The category, split, defect and masks of each image."""
    return {
        picture.image.as_posix(): (
            picture.category,
            picture.split,
            picture.defect,
            *(mask.as_posix() for mask in picture.masks),
        )
        for picture in read_folder(root, ImportOptions(**options)).pictures
    }


def left_out(root, **options):
    return {one.path.as_posix(): one.reason for one in read_folder(root, ImportOptions(**options)).left_out}


def refuse(root, **options):
    """The message of the refusal."""
    with pytest.raises(DataError) as error:
        read_folder(root, ImportOptions(**options))
    return str(error.value)


def several(pattern, *numbers):
    return [pattern.format(number) for number in numbers]


# Labels


@pytest.mark.parametrize(
    ("images", "masks", "missing"),
    [
        (several("images/{}.jpg", 1, 2, 3), several("masks/{}.png", 1, 2), "images/3.jpg"),
        (several("train/{:03}.bmp", 1, 2, 7), several("train/{:03}_mask.png", 2, 7), "train/001.bmp"),
    ],
)
def test_an_image_without_a_mask_where_others_have_one_is_refused_unless_declared_normal(root, images, masks, missing):
    mk(root, *images)
    mm(root, *masks)
    message = refuse(root)
    assert message.startswith("Found in ")
    assert "1 images have no mask, while 2 others have one" in message
    assert missing in message
    assert "--unannotated normal" in message
    found = read(root, unannotated_normal=True)
    assert [path for path, (_, _, defect, *_) in found.items() if not defect] == [missing]


@pytest.mark.parametrize("name", ["calibration", "holdout"])
def test_an_unknown_folder_with_labels_beside_the_splits_is_asked_about(root, name):
    mk(root, *several("train/good/{}.png", 1, 2), f"{name}/good/3.png", "test/good/4.png", "test/bad/4.png")
    message = refuse(root)
    assert f"{name}/ (1 images) would be a category" in message
    for option in (f"--split {name}=val", f"--category {name}", f"--exclude {name}"):
        assert option in message
    assert "test/bad/ (1 images): the defect type bad" in message
    assert read(root, splits={name: "val"})[f"{name}/good/3.png"] == ("all", "val", "")
    assert f"{name}/good/3.png" not in read(root, exclude=[name])
    assert left_out(root, exclude=[name]) == {f"{name}/good/3.png": "excluded by --exclude"}
    assert read(root, categories=[name])[f"{name}/good/3.png"] == (name, "", "")


@pytest.mark.parametrize(
    "names",
    [
        ["extra_images", "results", "docs", "backup", "unlabeled"],
        ["old", "unsorted", "sample images", "tmp", "heatmaps"],
    ],
)  # fmt: skip
def test_folders_that_do_not_name_a_defect_are_asked_about_in_one_message(root, names):
    mk(root, *several("good/{}.png", 1, 2), "bad/1.png", *(f"{name}/1.png" for name in names))
    message = refuse(root)
    for name in names:
        assert f"{name}/ (1 images) would be the defect type {name}" in message
    assert set(read(root, exclude=names)) == {"good/1.png", "good/2.png", "bad/1.png"}
    rest = [name for name in names if name != names[0]]
    assert read(root, exclude=rest, defects=[names[0]])[f"{names[0]}/1.png"] == ("all", "", names[0])


def test_a_defect_type_may_contain_an_unclear_word(root):
    mk(root, "good/1.png", "extra_part/1.png")
    assert read(root)["extra_part/1.png"] == ("all", "", "extra_part")


def test_a_folder_without_a_split_beside_splits_is_asked_about(root):
    mk(root, "train/good/1.png", "test/good/2.png", "test/dent/3.png", "scratches/4.png")
    message = refuse(root)
    assert "scratches/ (1 images) would be images without a split" in message
    assert read(root, splits={"scratches": "test"}, defects=["scratches"])["scratches/4.png"] == (
        "all", "test", "scratches",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("overview", "normal", "defect"), [("dataset.png", "MT_Free", "MT_Crack"), ("plan.jpg", "line 2 ok", "line 2 ng")]
)
def test_an_overview_picture_is_not_the_normal_image(root, overview, normal, defect):
    mk(root, overview, f"{normal}/1.jpg", f"{defect}/2.jpg")
    mm(root, f"{defect}/2.png")
    message = refuse(root)
    assert "no folder of normal images found" in message
    assert "--normal" in message
    assert f"{normal}/ (1 images) would be the defect type" in message
    found = read(root, normal=[normal])
    assert found == {f"{normal}/1.jpg": ("all", "", ""), f"{defect}/2.jpg": ("all", "", defect, f"{defect}/2.png")}
    assert left_out(root, normal=[normal]) == {overview: "outside the folders for labels"}


@pytest.mark.parametrize("folder", ["train", "images"])
def test_images_in_a_folder_that_says_nothing_of_labels_are_asked_about(root, folder):
    mk(root, f"{folder}/1.png", "test/good/2.png", "test/bad/3.png")
    message = refuse(root)
    assert f"{folder}/ (1 images) would be images without" in message
    options = {"normal": [folder]} | ({} if folder == "train" else {"splits": {folder: "train"}})
    assert read(root, **options)[f"{folder}/1.png"] == ("all", "train", "")


def test_test_images_alone_get_no_label(root):
    mk(root, *several("train/images/{}.jpg", 1, 2), "test/images/3.jpg")
    assert "test/images/ (1 images) would be images without a label" in refuse(root)


def test_categories_below_the_splits_are_categories(root):
    for product in ("lid", "cup"):
        mk(root, f"train/{product}/good/1.png", f"test/{product}/good/2.png", f"test/{product}/dent/3.png")
    found = read(root)
    assert found["test/lid/dent/3.png"] == ("lid", "test", "dent")
    assert found["train/cup/good/1.png"] == ("cup", "train", "")


def test_options_are_checked_and_parsed(root):
    mk(root, "good/1.png", "bad/1.png")
    with pytest.raises(ConfigError, match="--exclude resluts: no folder has this name"):
        read_folder(root, ImportOptions(exclude=["resluts"]))
    assert parse_splits(["calibration=val", "a=b=test"]) == {"calibration": "val", "a=b": "test"}
    for value in ("calibration", "calibration=validation", "=test"):
        with pytest.raises(ConfigError, match="use FOLDER=SPLIT"):
            parse_splits([value])
    with pytest.raises(ConfigError, match="--mask-from 0: use a grey level"):
        ImportOptions(mask_from=0)
    arguments = build_parser().parse_args(["import", "--name", "x", "--normal", "ok", "--normal", "fine", "PATH"])
    assert (arguments.normal, arguments.path) == (["ok", "fine"], Path("PATH"))


# What was found


def test_a_refusal_groups_and_counts_what_was_found(root):
    mk(root, *several("shots/ok_{}.png", *range(100)), *several("shots/ng_{}.png", *range(50)))
    mm(root, *several("masks/ng_{}.png", 1, 2))
    (root / "notes").mkdir()
    for name in ("a.json", "b.json", "c.xml", "d.txt"):
        (root / "notes" / name).write_text("")
    message = refuse(root)
    assert "shots/: 150 images (names begin with ok 100, ng 50)" in message
    assert "masks/: 2 masks" in message
    assert "notes/: 2 .json, 1 .txt, 1 .xml" in message
    assert max(map(len, message.splitlines())) < 200
    assert len(message.splitlines()) < 20


def test_a_refusal_counts_the_folders_beyond_twenty(root):
    mk(root, *several("kind{}/1.png", *range(150)))
    message = refuse(root)
    assert "and 130 more folders" in message
    assert len(message.splitlines()) < 50


# Masks


def test_a_mask_belongs_to_the_split_of_its_folder(root):
    mk(root, *several("train/good/g{}.png", 1, 2), "train/bad/1.png", "test/good/h1.png", "test/bad/1.png")
    mm(root, "train/masks/1.png")
    found = read(root)
    assert found["train/bad/1.png"] == ("all", "reserve", "bad", "train/masks/1.png")
    assert found["test/bad/1.png"] == ("all", "test", "bad")


def test_a_mask_belongs_to_the_category_of_its_folder(root):
    for product in ("lid", "cup"):
        mk(root, f"{product}/good/g.png", f"{product}/bad/1.png")
    mm(root, "masks/cup/1.png")
    found = read(root)
    assert found["lid/bad/1.png"] == ("lid", "", "bad")
    assert found["cup/bad/1.png"] == ("cup", "", "bad", "masks/cup/1.png")


def test_a_mask_that_fits_two_images_is_refused(root):
    mk(root, "good/g.png", "train/bad/1.png", "test/bad/1.png")
    mm(root, "masks/1.png")
    assert "masks/1.png fits 2 images" in refuse(root, splits={"good": "train"})


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a-{}", "a_{}"), ("{}", "00{}_mask"), ("{}", "mask_00{}"), ("image{}", "mask{}"), ("00{}", "label {}"),
        ("{} shot", "{}_shot_gt"), ("cam_{}", "seg-{}"),
        (unicodedata.normalize("NFC", "prüf{}"), unicodedata.normalize("NFD", "prüf{}")),
        (unicodedata.normalize("NFD", "é{}"), unicodedata.normalize("NFC", "É{}_mask")),
    ],
)  # fmt: skip
def test_masks_with_other_names_are_paired_where_that_is_unambiguous(root, image, mask):
    mk(root, *several("good/{}.png", 1, 3), *several(f"bad/{image}.png", 2, 3))
    mm(root, *several(f"masks/{mask}.png", 2, 3))
    found = read(root)
    for number in (2, 3):
        assert found[f"bad/{image.format(number)}.png"][3:] == (f"masks/{mask.format(number)}.png",)
    assert found["good/3.png"] == ("all", "", "")


def test_a_pairing_by_numbers_is_said(root):
    mk(root, "good/1.png", *several("bad/image{}.png", 2, 3))
    mm(root, *several("masks/mask{}.png", 2, 3))
    notes = read_folder(root).notes
    assert notes == ["2 masks were paired by the numbers in their names, such as masks/mask2.png with bad/image2.png."]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["bad/left.png", "bad/right.png"], ["masks/up.png", "masks/down.png"]),
        (["bad/a3.png", "bad/b3.png"], ["masks/mask3.png"]),
        (["bad/3.png"], ["masks/x3.png", "masks/y3.png"]),
    ],
)
def test_masks_that_cannot_be_paired_are_an_error_that_names_both(root, images, masks):
    mk(root, "good/1.png", *images)
    mm(root, *masks)
    message = refuse(root)
    assert f"{len(masks)} masks fit no image by their names, and {len(images)} images have no mask" in message
    for path in images + masks:
        assert path in message


@pytest.mark.parametrize("truth", ["ground_truth/logical_anomalies", "ground_truth"])
def test_the_masks_in_a_folder_with_the_name_of_an_image_are_all_its_masks(root, truth):
    mk(root, *several("train/good/{:03}.png", 0, 1), *several("test/logical_anomalies/{:03}.png", 0, 1))
    mk(root, "test/good/000.png")
    mm(root, f"{truth}/000/000.png", f"{truth}/000/001.png", f"{truth}/001/000.png")
    if truth == "ground_truth":  # test/good/000 has the same name, and is normal
        mk(root, "test/good/001.png")
    found = read(root)
    assert found["test/logical_anomalies/000.png"][3:] == (f"{truth}/000/000.png", f"{truth}/000/001.png")
    assert found["test/logical_anomalies/001.png"][3:] == (f"{truth}/001/000.png",)
    assert found["test/good/000.png"] == ("all", "test", "")


def test_a_mask_on_a_normal_image_is_kept_and_an_empty_one_is_listed(root):
    mk(root, *several("good/{}.png", 1, 2), "bad/3.png")
    mm(root, *several("masks/{}.png", 1, 3))
    mm(root, "masks/2.png", level=0)
    assert read(root)["good/1.png"] == ("all", "", "", "masks/1.png")
    assert left_out(root) == {"masks/2.png": "empty mask, which says that its image is normal"}
    assert any("1 mask (such as masks/1.png) marking defects on images labelled normal" in w for w in warn(root))


def warn(root, **options):
    chosen = ImportOptions(**options)
    return check_files(root, read_folder(root, chosen).pictures, chosen).warnings


def test_jpeg_masks_and_grey_edges_are_said_and_a_level_may_be_chosen(root):
    mk(root, "good/1.png", "bad/2.png")
    (root / "masks").mkdir()
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[10:30, 10:30] = 255
    pixels[30:35, 10:30] = 60
    Image.fromarray(pixels).save(root / "masks/2.jpg", quality=80)
    found = " ".join(warn(root))
    assert "1 mask (such as masks/2.jpg) JPEG" in found
    assert "grey at the edges: --mask-from 1 marks 1." in found
    assert "grey at the edges" not in " ".join(warn(root, mask_from=128))


def _write_palette(path):
    image = Image.fromarray(np.where(np.arange(WIDTH) < 20, 3, 1).astype(np.uint8)[None].repeat(HEIGHT, 0))
    image.putpalette([0, 0, 0] * 256)
    image.save(path)


def _write_transparent(path):
    pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    pixels[:, 20:, 3] = 0
    Image.fromarray(pixels).save(path)


def _write_inverted(path):
    pixels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    pixels[5:15, 5:15] = 0
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("write", [_write_palette, _write_transparent, _write_inverted])
def test_a_mask_that_marks_most_of_its_image_is_said(root, write):
    mk(root, "good/1.png", "bad/2.png")
    (root / "masks").mkdir()
    write(root / "masks/2.png")
    assert any("marking most of the image" in warning for warning in warn(root))


# Nothing disappears


@pytest.mark.parametrize("name", ["missing_label", "torn_seg", "label", "wrong gt"])
def test_photographs_in_a_folder_with_a_word_for_masks_are_a_defect_type(root, name):
    mk(root, *several("good/{}.png", 1, 2), f"{name}/3.png")
    assert read(root)[f"{name}/3.png"] == ("all", "", name)


@pytest.mark.parametrize(("maps", "split"), [("test_maps", "test"), ("train_labels", "train")])
def test_maps_of_a_split_are_its_masks(root, maps, split):
    mk(root, "train/good/1.png", "test/good/1.png", f"{split}/bad/2.png")
    mm(root, f"{maps}/bad/2.png")
    found = read(root)
    assert found[f"{split}/bad/2.png"][3:] == (f"{maps}/bad/2.png",)
    assert len(found) == 3


def test_files_that_are_not_read_are_listed_with_the_reason(root, tmp_path):
    mk(root, *several("good/{}.png", 1, 2), "bad/3.png", "bad/4.gif")
    mm(root, *several("masks/{}.png", 3, 9))
    (root / "bad/5.jp2").write_bytes(b"x")
    (root / "readme.txt").write_text("")
    (root / ".DS_Store").write_text("")
    (root / "gone.png").symlink_to(tmp_path / "gone.png")
    (root / "again").symlink_to(root / "good")
    assert left_out(root) == {
        ".DS_Store": "hidden file",
        "again": f"link to {root / 'good'}, which is read already",
        "bad/4.gif": "image format .gif is not supported; convert it to PNG",
        "bad/5.jp2": "image format .jp2 is not supported; convert it to PNG",
        "gone.png": "broken link",
        "masks/9.png": "mask of no image",
        "readme.txt": "not an image",
    }


def test_a_linked_folder_from_elsewhere_is_read(root, tmp_path):
    mk(root, "good/1.png")
    mk(tmp_path / "elsewhere", "7.png")
    (root / "dent").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "elsewhere")
    assert read(root)["dent/7.png"] == ("all", "", "dent")
    assert list(left_out(root)) == ["dent/loop"]


def test_every_file_is_used_or_listed(root):
    mk(
        root,
        *several("test/{}.png", *range(4)),
        "plan.png",
        "train/a/good/1.png",
        "train/a/loose.png",
        "test/a/bad/2.png",
    )
    for number in range(4):
        (root / f"test/{number}.png").unlink()
    mm(root, "ground_truth/a/bad/2_mask.png", "ground_truth/a/bad/7_mask.png")
    (root / "x.csv").write_text("")
    layout = read_folder(root, ImportOptions(exclude=["train/a/loose.png"]))
    used = {file for picture in layout.pictures for file in (picture.image, *picture.masks)}
    listed = {one.path for one in layout.left_out}
    assert not used & listed
    files = {Path(place, name).relative_to(root) for place, _, names in os.walk(root) for name in names}
    assert {Path(path) for path in used | listed} == files


def test_other_pages_of_a_file_are_listed(root):
    mk(root, "bad/1.png")
    (root / "good").mkdir()
    tifffile.imwrite(root / "good/1.tif", RNG.integers(0, 256, (5, HEIGHT, WIDTH), dtype=np.uint8))
    options = ImportOptions()
    checked = check_files(root, read_folder(root).pictures, options)
    assert [(one.path.as_posix(), one.reason) for one in checked.left_out] == [
        ("good/1.tif", "pages 2 to 5 of a file, of which the first page is used")
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["good/1.png", "bad/1.png"], ["only 1 normal images", "leave none for validation"]),
        (several("good/{}.png", *range(25)), ["no anomalies. Training and thresholds work"]),
        ([*several("train/good/{}.png", 1, 2), *several("test/good/{}.png", *range(20)), "test/bad/1.png"],
         ["2 normal images for training leave none for validation"]),
        ([*several("good/{}.png", *range(25)), "bad/1.png"], []),
    ],
)  # fmt: skip
def test_thin_data_is_said(root, files, expected):
    mk(root, *files)
    found = describe_thin_data(read_folder(root).pictures)
    assert len(found) == len(expected)
    for message, part in zip(found, expected, strict=True):
        assert part in message


# Faulty files


def test_all_faulty_files_are_listed_at_once_and_may_be_skipped(root):
    mk(root, *several("good/{}.png", *range(5)), *several("bad/{}.png", *range(4)))
    mm(root, *several("masks/bad/{}.png", *range(4)))
    (root / "good/0.png").write_bytes(b"")
    (root / "good/1.png").write_bytes(b"no image")
    (root / "good/2.png").write_bytes((root / "good/2.png").read_bytes()[:2000])
    Image.new("L", (20, 20), 255).save(root / "masks/bad/0.png")
    mm(root, "masks/bad/1.png", level=0)
    (root / "masks/bad/2.png").write_bytes(b"")
    pictures = read_folder(root).pictures
    with pytest.raises(DataError) as error:
        check_files(root, pictures, ImportOptions())
    message = str(error.value)
    assert "6 images cannot be imported" in message
    for part in (
        "good/0.png is empty (0 bytes)", "good/1.png is not a readable image", "good/2.png is not a readable image",
        "mask size 20x20 does not match image size 64x48 (bad/0.png)", "the mask is empty, but bad/1.png is bad",
        "masks/bad/2.png is empty (0 bytes)", "--skip-unreadable",
    ):  # fmt: skip
        assert part in message
    checked = check_files(root, pictures, ImportOptions(skip_unreadable=True))
    assert [picture.image.as_posix() for picture in checked.pictures] == ["bad/3.png", "good/3.png", "good/4.png"]
    listed = {one.path.as_posix() for one in checked.left_out}
    assert listed == {
        "good/0.png", "good/1.png", "good/2.png", *several("bad/{}.png", 0, 1, 2), *several("masks/bad/{}.png", 0, 1, 2)
    }  # fmt: skip


def test_nothing_is_imported_if_no_normal_image_is_intact(root):
    mk(root, "good/1.png", "bad/1.png")
    (root / "good/1.png").write_bytes(b"")
    with pytest.raises(DataError, match="no intact normal image is left"):
        check_files(root, read_folder(root).pictures, ImportOptions(skip_unreadable=True))


@pytest.mark.parametrize(("bits", "said"), [(12, True), (10, True), (16, False)])
def test_16_bit_images_are_scaled_by_the_depth_that_they_use(root, bits, said):
    (root / "good").mkdir(parents=True)
    mk(root, "bad/1.png")
    for name, highest in (("a", (1 << bits) - 1), ("b", (1 << bits) // 3)):
        ramp = np.linspace(0, highest, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
        tifffile.imwrite(root / f"good/{name}.tif", ramp)
    checked = check_files(root, read_folder(root).pictures, ImportOptions())
    assert checked.bits == bits
    assert any(f"use {bits} bits" in warning for warning in checked.warnings) == said
    from viad.artifacts.images import read_image

    assert len(np.unique(read_image(root / "good/a.tif", checked.bits))) == 256
    assert read_image(root / "good/b.tif", checked.bits).max() in (84, 85)


def test_the_rows_of_an_import_know_masks_level_and_bits(tmp_path):
    with (tmp_path / imported.TABLE_CSV).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "image", "mask", "label", "defect", "split", "group", "domain", "category"])
        writer.writerow(["1", "bad/1.tif", "m/1/a.png|m/1/b.png", "1", "bad", "", "", "", "all"])
    (row,) = imported.rows(tmp_path, "all", mask_from=128, bits=12)
    assert row.masks == (tmp_path / "m/1/a.png", tmp_path / "m/1/b.png")
    assert (row.mask_from, row.bits) == (128, 12)


# Any folder

PARTS = st.sampled_from(
    ["train", "test", "val", "good", "ok", "bad", "crack", "crack_mask", "masks", "ground_truth", "labels", "images",
     "docs", "lid", "cup", "001", "1", "missing_label", "test_maps", "prüf", ".hidden"]
)  # fmt: skip
STEMS = st.sampled_from(["1", "001", "1_mask", "mask_1", "a-2", "a_2", "2", "img2", "übung", "u\u0308bung"])
SUFFIXES = st.sampled_from([".png", ".PNG", ".bmp", ".txt", ".gif"])
CONTENTS = st.sampled_from(["photograph", "mask", "blank", "broken"])
PLACES = st.sampled_from([["good"], ["bad"], ["masks", "bad"], ["ground_truth"], ["missing_label"], ["bad", "1"], []])
FOLDERS = st.one_of(PLACES, PLACES, PLACES, PLACES, st.lists(PARTS, max_size=4))
FILES = st.tuples(FOLDERS, STEMS, SUFFIXES, CONTENTS)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(files=st.lists(FILES, min_size=1, max_size=14), unannotated=st.booleans())
def test_of_any_folder_every_file_is_used_or_listed_or_the_folder_is_refused_in_words(files, unannotated):
    with TemporaryDirectory() as place:
        root = Path(place)
        for folders, stem, suffix, content in files:
            path = root.joinpath(*folders, stem + suffix)
            if path.is_dir() or any(parent.is_file() for parent in path.parents):
                continue
            if content == "broken" or suffix in {".txt", ".gif"}:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
            elif content == "photograph":
                mk(root, path.relative_to(root))
            else:
                mm(root, path.relative_to(root), level=255 if content == "mask" else 0)
        options = ImportOptions(unannotated_normal=unannotated)
        try:
            layout = read_folder(root, options)
        except DataError as error:
            event("refused")
            lengths = [len(line) for line in str(error).splitlines()]
            if max(lengths) > 400:
                raise AssertionError(str(error)) from error
            return
        event("read")
        used = [file for picture in layout.pictures for file in (picture.image, *picture.masks)]
        listed = [one.path for one in layout.left_out]
        present = {PurePosixPath(path.relative_to(root).as_posix()) for path in root.rglob("*") if path.is_file()}
        assert len(used) == len(set(used))
        assert not set(used) & set(listed)
        assert set(used) | set(listed) == present
        assert read_folder(root, options) == layout
