"""viad import: folders as people lay them out, and tables; what is understood, copied, versioned and trained on."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from dvc.repo import Repo
from PIL import Image

from conf_files import read_conf
from viad.artifacts.samples import read_samples
from viad.datasets import imported
from viad.errors import ConfigError, DataError
from viad.importing.import_options import ImportOptions
from viad.importing.importer import import_images
from viad.importing.layouts import read_folder
from viad.stages import raw, resize
from viad.training import build, fit

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def picture(path, size=(48, 36), suffix_format=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format=suffix_format)


def mask(path, size=(48, 36), *, blank=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[10:20, 5:25] = 0 if blank else 255
    Image.fromarray(pixels).save(path)


def mvtec(root):
    """Split folders, masks of another name in a folder of their own."""
    for i in range(8):
        picture(root / f"train/good/{i:03}.png")
    for i in range(4):
        picture(root / f"test/good/{i:03}.png")
        for kind in ("scratch", "dent"):
            picture(root / f"test/{kind}/{i:03}.png")
            mask(root / f"ground_truth/{kind}/{i:03}_mask.png")
    return {
        ("all", "train", ""): 8,
        ("all", "test", ""): 4,
        ("all", "test", "scratch"): 4,
        ("all", "test", "dent"): 4,
    }, 8


def by_kind(root):
    """Normal and defects side by side, no split, masks by kind, blanks and umlauts in names."""
    for i in range(12):
        picture(root / f"no defect/Aufnahme {i} ü.jpg")
    for i in range(5):
        picture(root / f"Kratzer/Aufnahme {i} ü.jpg")
        mask(root / f"masks/Kratzer/Aufnahme {i} ü.png")
    return {("all", "", ""): 12, ("all", "", "Kratzer"): 5}, 5


def beside(root):
    """OK and NG, each mask beside its image."""
    for i in range(12):
        picture(root / f"OK/{i}.bmp")
    for i in range(5):
        picture(root / f"NG/{i}.bmp")
        mask(root / f"NG/{i}_mask.png")
    return {("all", "", ""): 12, ("all", "", "NG"): 5}, 5


def several_products(root):
    """A folder a product, and folders whose names end in _mask."""
    for product in ("lid", "cup"):
        for i in range(8):
            picture(root / f"{product}/train/normal/{i}.webp")
        for i in range(4):
            picture(root / f"{product}/test/normal/{i}.webp")
            picture(root / f"{product}/test/crack/{i}.webp")
            mask(root / f"{product}/test/crack_mask/{i}.png")
    return {
        (product, split, kind): count
        for product in ("lid", "cup")
        for split, kind, count in (("train", "", 8), ("test", "", 4), ("test", "crack", 4))
    }, 8


def sixteen_bits(root):
    """16-bit TIFFs, no masks."""
    for kind, count in (("negative", 12), ("positive", 5)):
        for i in range(count):
            path = root / f"{kind}/{i}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, RNG.integers(0, 65536, (36, 48)).astype(np.uint16))
    return {("all", "", ""): 12, ("all", "", "positive"): 5}, 0


def by_mask(root):
    """A mask for every image, which alone says whether it is anomalous; training anomalies become the reserve."""
    for split, count in (("train", 12), ("test", 8)):
        for i in range(count):
            picture(root / f"{split}/{i}.png")
            mask(root / f"{split}/{i}_GT.png", blank=i % 4 != 0)
    return {
        ("all", "train", ""): 9,
        ("all", "reserve", "anomalous"): 3,
        ("all", "test", ""): 6,
        ("all", "test", "anomalous"): 2,
    }, 5


def table(root):
    """A CSV with semicolons and its own words, as a spreadsheet saves it."""
    lines = ["Path;Class;Mask;Serial"]
    for i in range(12):
        picture(root / f"shots/a {i}.png")
        lines.append(f"shots/a {i}.png;good;;S{i // 2}")
    for i in range(4):
        picture(root / f"shots/b {i}.png")
        mask(root / f"drawn/{i}.png")
        lines.append(f"shots/b {i}.png;dent;drawn/{i}.png;S{9 + i}")
    (root / "list.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return {("all", "", ""): 12, ("all", "", "dent"): 4}, 4


LAYOUTS = [mvtec, by_kind, beside, several_products, sixteen_bits, by_mask, table]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with git and DVC."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "conf/dataset").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    Repo.init(str(folder)).close()
    who = ["-c", "user.name=t", "-c", "user.email=t"]
    subprocess.run(["git", *who, "commit", "-qm", "start"], cwd=folder, check=True)
    return folder


@pytest.fixture
def workspace(repository, tmp_path, monkeypatch):
    """A repository, and a folder of images outside of it."""
    shutil.copytree(repository, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path


def bring(workspace, layout):
    root = workspace / "mine"
    root.mkdir()
    expected, masks = layout(root)
    told = import_images(root / "list.csv" if layout is table else root, "mypart")
    return expected, masks, told


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_is_understood_and_gives_a_dataset_that_trains(workspace, layout):
    expected, masks, told = bring(workspace, layout)
    dataset = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())
    assert Path("data/imported/mypart.dvc").is_file()
    assert Image.open("data/imported/mypart.jpg").width > 500
    found = {}
    for category in dataset["categories"]:
        for row in _rows(dataset, category):
            key = (category, row.split or "", row.defect)
            found[key] = found.get(key, 0) + 1
    assert found == expected
    few = sum(count for (_, _, defect), count in found.items() if defect) < 10
    given = any(split == "reserve" for _, split, _ in found)
    assert dataset["defaults"] == [{"split": "half_reserve"}, "_self_"]
    assert dataset.get("split") == ({"reserve_anomalies": 0} if few or given else None)
    assert sum(len(row.masks) for c in dataset["categories"] for row in _rows(dataset, c)) == masks
    for count in expected.values():
        assert str(count) in told
    split = read_conf("dataset/split/half_reserve") | dataset.get("split", {})
    _train(dataset | {"split": split}, dataset["categories"][0])


def _rows(dataset, category):
    from viad.datasets import read_rows

    return read_rows(dataset["code"], Path(dataset["source"]["folder"]), category, {})


def _train(dataset, category):
    params = {
        "dataset": dataset,
        "image_size": 64,
        "color": "rgb",
        "aspect": "squash",
        "center_crop": 1,
        "protocol": "study",
    } | {"audit": {"exclude": "none", "verify": True}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    raw.main()
    resize.main(category)
    samples = read_samples(Path("data/resized/mypart") / category)
    assert {"train", "val", "test"} <= set(samples["split"])
    model, backbone = (
        yaml.safe_load((ROOT / f"conf/{part}.yaml").read_text()) for part in ("model/padim", "backbone/random")
    )
    model["small"]["args"]["n_features"] = 10
    spec = build.make_model_spec(model, backbone, image_size=64, color="rgb", preset="small")
    detector = build.build_model(spec, "float32")
    folder = Path("log")
    fit.fit_model(
        detector, spec, samples[samples["split"].isin(["train", "val"])], validation="none", patience=1, seed=0,
        device=torch.device("cpu"), log_folder=folder, checkpoints=Path("checkpoints"),
    )  # fmt: skip


def test_images_keep_their_pixels_and_16_bits_are_scaled(workspace):
    bring(workspace, sixteen_bits)
    assert (
        Path("data/imported/mypart/negative/3.tiff").read_bytes() == (workspace / "mine/negative/3.tiff").read_bytes()
    )


def test_groups_of_a_table_stay_together(workspace):
    bring(workspace, table)
    dataset = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())
    assert [row.group for row in _rows(dataset, "all")][:4] == ["S0", "S0", "S1", "S1"]


def test_a_dry_run_shows_and_writes_nothing_else(workspace):
    root = workspace / "mine"
    by_kind(root)
    told = import_images(root, "mypart", dry_run=True)
    assert "12 normal" in told
    assert "Nothing was imported" in told
    assert not Path("data/imported/mypart").exists()
    assert not Path("conf/dataset/mypart.yaml").exists()


def test_a_folder_that_is_not_checked_out_comes_from_the_cache_or_is_asked_for(workspace):
    bring(workspace, by_kind)
    source = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())["source"]
    shutil.rmtree("data/imported/mypart")
    imported.publish(Path("again"), source)
    assert len(list(Path("again").rglob("*.jpg"))) == 17
    shutil.rmtree(".dvc/cache")
    with pytest.raises(DataError, match=r"Import it again with `viad import`"):
        imported.publish(Path("third"), source)


def test_importing_again_replaces_the_files_and_their_hash(workspace):
    bring(workspace, by_kind)
    first = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())["source"]["md5"]
    picture(workspace / "mine/no defect/new.jpg")
    import_images(workspace / "mine", "mypart")
    again = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())["source"]["md5"]
    assert first != again
    assert Path("data/imported/mypart/no defect/new.jpg").is_file()


def test_files_that_differ_in_their_suffix_alone_get_two_names(workspace):
    root = workspace / "mine"
    by_kind(root)
    picture(root / "no defect/Aufnahme 0 ü.png")
    import_images(root, "mypart")
    samples = [row.sample for row in _rows(yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text()), "all")]
    assert len(set(samples)) == len(samples)


def test_a_defect_folder_may_be_declared_normal(tmp_path):
    picture(tmp_path / "fine/1.png")
    picture(tmp_path / "burr/1.png")
    assert {p.defect: p.label for p in read_folder(tmp_path, ImportOptions(normal=["fine"])).pictures} == {
        "": 0,
        "burr": 1,
    }


def test_equal_names_in_several_kinds_get_the_mask_of_their_kind(tmp_path):
    for kind in ("good", "burr", "crack"):
        picture(tmp_path / f"test/{kind}/000.png")
    for kind in ("burr", "crack"):
        mask(tmp_path / f"ground_truth/{kind}/000.png")
    found = {p.defect: p.mask and p.mask.as_posix() for p in read_folder(tmp_path).pictures}
    assert found == {"": None, "burr": "ground_truth/burr/000.png", "crack": "ground_truth/crack/000.png"}


def test_images_outside_of_all_telling_folders_are_left_out_and_named(workspace):
    root = workspace / "mine"
    by_kind(root)
    picture(root / "overview.png")
    told = import_images(root, "mypart", dry_run=True)
    assert "outside the folders for labels: overview.png" in told
    assert "17 images" in told


def test_a_black_png_beside_a_jpeg_of_its_name_is_its_mask(tmp_path):
    for kind in ("good", "burr"):
        picture(tmp_path / f"{kind}/1.jpg")
        mask(tmp_path / f"{kind}/1.png", blank=kind == "good")
    found = {p.defect: p.mask and p.mask.as_posix() for p in read_folder(tmp_path).pictures}
    assert found == {"": None, "burr": "burr/1.png"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.touch, "no image found"),
        (lambda root: picture(root / "burr/1.png"), "no folder of normal images found"),
        (lambda root: (by_kind(root), (root / "Kratzer/Aufnahme 1 ü.jpg").write_bytes(b"no")), "not a readable image"),
        (lambda root: (beside(root), mask(root / "NG/1_mask.png", (20, 20))), "mask size 20x20 does not match"),
        (lambda root: (beside(root), mask(root / "NG/1_mask.png", blank=True)), "is empty, but NG/1.bmp is NG"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_and_leaves_nothing(workspace, make, message):
    root = workspace / "mine"
    root.mkdir()
    make(root)
    with pytest.raises(DataError, match=message):
        import_images(root, "mypart")
    assert not Path("data/imported/mypart").exists()
    assert not Path("conf/dataset/mypart.yaml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\n", "the table is empty"),
        ("image,kind\na.png,x\n", "no column 'label'"),
        ("image,label,split\na.png,good,elsewhere\n", "line 2: the split 'elsewhere' is unknown"),
        ("image,label\na.png,\n", "line 2: image or label is empty"),
        ("image,label\ngone.png,good\n", r"gone\.png does not exist"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(workspace, text, message):
    path = workspace / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        import_images(path, "mypart")


def test_two_files_that_would_lie_at_one_place_are_an_error(workspace):
    picture(workspace / "a/shots/1.png")
    picture(workspace / "shots/1.png")
    table_path = workspace / "a/list.csv"
    table_path.write_text("image,label\nshots/1.png,good\n../shots/1.png,bad\n")
    with pytest.raises(DataError, match="another file has the same name"):
        import_images(table_path, "mypart")
    assert not Path("data/imported/mypart").exists()


@pytest.mark.parametrize("name", ["My Part", "../x", "", "9lives"])
def test_a_name_that_cannot_be_used_is_refused(workspace, name):
    with pytest.raises(ConfigError, match="use lower-case letters"):
        import_images(workspace, name)


def test_a_published_dataset_is_not_overwritten(workspace):
    Path("conf/dataset/visa.yaml").write_text("code: src/viad/datasets/visa.py\n")
    with pytest.raises(ConfigError, match="is another dataset"):
        import_images(workspace, "visa")


def test_the_last_line_is_the_commit_to_make_and_it_works(workspace):
    import subprocess

    _, _, told = bring(workspace, by_kind)
    last = told.splitlines()[-1].strip()
    assert last.startswith("git add conf/dataset/mypart.yaml data/imported/mypart.dvc")
    assert last.endswith("git commit -m 'Import mypart'")
    subprocess.run(last.replace("git commit", "git -c user.name=t -c user.email=t commit -q"), check=True, shell=True)
    listed = subprocess.run(["git", "status", "--short"], check=True, capture_output=True, text=True).stdout
    assert listed.split() == ["??", "data/imported/mypart.jpg"]


def test_skipped_files_are_recorded_and_the_same_folder_gives_the_same_bytes(workspace):
    root = workspace / "mine"
    by_kind(root)
    (root / "no defect/Aufnahme 3 ü.jpg").write_bytes(b"")
    (root / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"Aufnahme 3 ü\.jpg is empty"):
        import_images(root, "mypart")
    told = import_images(root, "mypart", ImportOptions(skip_unreadable=True))
    assert "11 normal" in told
    recorded = Path("data/imported/mypart/left_out.csv").read_text(encoding="utf-8").splitlines()
    assert recorded[0] == "file,reason"
    assert recorded[1] == "notes.txt,not an image"
    assert recorded[2].startswith("no defect/Aufnahme 3 ü.jpg,")
    assert len(recorded) == 3
    first = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())
    import_images(root, "mypart", ImportOptions(skip_unreadable=True))
    assert yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text()) == first


def test_several_masks_their_level_and_12_bits_reach_the_resized_images(workspace):
    root = workspace / "mine"
    for kind, count in (("good", 8), ("bad", 2)):
        for i in range(count):
            path = root / f"{kind}/{kind}{i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16))
    for i in range(2):
        for part, level in ((0, 255), (1, 255), (2, 60)):
            pixels = np.zeros((64, 64), np.uint8)
            pixels[10 * part : 10 * part + 5, :8] = level
            path = root / f"ground_truth/bad/bad{i}/{part}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    told = import_images(root, "mypart", ImportOptions(mask_from=128))
    assert "The 16-bit images use 12 bits" in told
    dataset = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())
    assert dataset["options"] == {"mask_from": 128, "bits": 12}
    split = read_conf("dataset/split/half_reserve") | dataset["split"]
    params = {"dataset": dataset | {"split": split}, "image_size": 64, "color": "gray1", "aspect": "squash"}
    params |= {"center_crop": 1, "protocol": "study", "audit": {"exclude": "none", "verify": True}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    raw.main()
    resize.main("all")
    samples = read_samples(Path("data/resized/mypart/all"))
    pixels = np.asarray(Image.open(samples["image"].iloc[0]))
    assert len(np.unique(pixels)) == 256
    marked = np.asarray(Image.open(samples.loc[samples["mask"] != "", "mask"].iloc[0])) > 0
    assert marked.sum() == 2 * 5 * 8


def test_a_mask_on_a_normal_image_is_a_finding_of_the_audit(workspace):
    from viad.audit.dataset_audit import audit_dataset

    root = workspace / "mine"
    by_kind(root)
    mask(root / "masks/no defect/Aufnahme 7 ü.png")
    assert "marking defects on images labelled normal" in import_images(root, "mypart")
    dataset = yaml.safe_load(Path("conf/dataset/mypart.yaml").read_text())
    audit_dataset("mypart", {"all": _rows(dataset, "all")})
    found = Path("data/audit/mypart/findings.csv").read_text(encoding="utf-8")
    assert "mask_on_normal,no defect/Aufnahme 7 ü" in found
