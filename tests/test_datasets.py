"""Every dataset that comes as an archive, from a miniature in its published layout through raw and resize."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import miniatures
from conf_files import read_conf, read_facts
from viad.artifacts.samples import read_samples
from viad.datasets import archives
from viad.datasets.unpacking import unpack
from viad.errors import ConfigError, DataError
from viad.stages import raw, resize

ROOT = Path(__file__).parents[1]
SIZE = 40
# yaml: category, what builds its miniature
PUBLISHED = {
    "mvtec_ad": ("bottle", miniatures.mvtec_ad),
    "mvtec_ad_2": ("vial", miniatures.mvtec_ad_2),
    "mvtec_loco": ("screw_bag", miniatures.mvtec_loco),
    "visa": ("candle", miniatures.visa),
    "btad": ("03", miniatures.btad),
    "mpdd": ("bracket_black", miniatures.mpdd),
    "vad": ("vad", miniatures.vad),
    "real_iad": ("audiojack", miniatures.real_iad),
    "sensum": ("capsule", miniatures.sensum),
    "aebad_s": ("blades", miniatures.aebad_s),
    "kolektor_sdd2": ("surface", miniatures.kolektor_sdd2),
    "mtd": ("tile", miniatures.mtd),
    "kolektor_sdd": ("surface", miniatures.kolektor_sdd),
    "dagm": ("Class1", miniatures.dagm),
    "aitex": ("fabric", miniatures.aitex),
    "robustad": ("PCB", miniatures.robustad),
}
UNSPLIT = {"mtd", "kolektor_sdd", "aitex"}  # publish no split
SEVERAL_ARCHIVES = {"real_iad", "dagm", "aitex"}
NO_ARCHIVE = {"robustad"}


def unpacked(tree, folder):
    for name, content in tree.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class Workspace:
    """A folder with the params of one dataset and its archive at the place where users put it."""

    def __init__(self, name):
        self.name = name
        self.category, self.build = PUBLISHED[name]
        self.dataset = read_conf(f"dataset/{name}")
        self.facts = read_facts(name)
        self.tree = miniatures.Tree()
        expected = self.build(self.tree)
        self.dataset["categories"] = [self.category]
        self.facts["counts"] = {self.category: expected}
        self.facts["archive"]["sha256"] = None

    def change(self, **values):
        """Change parameters, and `counts`, which is a fact."""
        self.facts["counts"] = values.pop("counts", self.facts["counts"])
        self.dataset |= values

    @property
    def folder(self):
        return archives.ARCHIVE_FOLDER / self.name

    def pack(self):
        """Pack the tree as it is published: into one archive, or into one for each folder of the top."""
        file = self.facts["archive"]["file"]
        if self.name in NO_ARCHIVE:
            return unpacked(self.tree, archives.ARCHIVE_FOLDER / file)
        if self.name not in SEVERAL_ARCHIVES:
            return self.tree.pack(archives.ARCHIVE_FOLDER / file)
        for name, part in self.tree.split("realiad_1024").items():
            part.pack(self.folder / f"{name}{Path(file[0]).suffix or '.zip'}")
        return self.folder

    def run(self, protocol="official", **params):
        conf = Path(f"conf/dataset/{self.name}.yaml")
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text(yaml.safe_dump({"facts": self.facts}))
        Path("params.yaml").write_text(
            yaml.safe_dump(
                {
                    "dataset": self.dataset,
                    "image_size": SIZE,
                    "color": "rgb",
                    "aspect": "squash",
                    "center_crop": 1,
                    "audit": {"exclude": "none", "verify": True},
                }
                | {"protocol": protocol}
                | params
            )
        )
        raw.main()
        resize.main(self.category)
        return read_samples(Path(f"data/resized/{self.name}/{self.category}"))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace


def counted(samples):
    found = {}
    for split, label in zip(samples["split"], samples["label"], strict=True):
        found.setdefault(split, [0, 0])[label] += 1
    return found


def mask(path):
    return cv2.imread(path, cv2.IMREAD_GRAYSCALE) > 0


def _check_that_a_changed_list_is_refused(place, path, old, new, message):
    text = place.tree.files[path].decode()
    assert old in text
    place.tree.text(path, text.replace(old, new, 1))
    place.change(counts=None)
    place.pack()
    with pytest.raises(DataError, match=message):
        place.run()


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - UNSPLIT))
def test_the_published_split_labels_and_masks_come_through(workspace, name):
    place = workspace(name)
    place.pack()
    samples = place.run()
    assert counted(samples) == place.facts["counts"][place.category]
    assert samples["sample"].is_unique
    assert ((samples["defect"] != "") == (samples["label"] == 1)).all()
    assert (samples.loc[samples["label"] == 0, "mask"] == "").all()
    assert (samples["label"] == samples["train_label"]).all()
    anomalous = samples[samples["label"] == 1]
    assert (anomalous["mask"] != "").all()
    assert all(mask(path).any() for path in anomalous["mask"])
    image = cv2.imread(samples["image"].iloc[0])
    assert image.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_study_cuts_validation_and_pool_out_of_it_and_never_a_group(workspace, name):
    place = workspace(name)
    place.pack()
    samples = place.run("study")
    found = counted(samples)
    assert found["train"][1] == found["val"][1] == 0
    assert found["reserve"][0] == 0 or (samples["group"] != "").any()  # a group keeps its normals
    assert min(found["train"][0], found["val"][0], found["reserve"][1], *found["test"]) > 0
    grouped = samples[samples["group"] != ""]
    assert (grouped.groupby("group")["split"].nunique() == 1).all()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_an_unpacked_tree_is_taken_too(workspace, name, tmp_path):
    place = workspace(name)
    unpack(place.tree.pack(tmp_path / "elsewhere/mine.zip"), tmp_path / "mine")
    place.change(source=str(tmp_path / "mine"))
    assert len(place.run("study")) == sum(map(sum, place.facts["counts"][place.category].values()))


def test_mvtec_ad_names_and_grey_images(workspace):
    place = workspace("mvtec_ad")
    place.tree.files.clear()
    miniatures.mvtec_ad(place.tree, mode="L")
    place.pack()
    samples = place.run()
    assert samples["sample"].tolist()[6] == "test/broken_large/000"
    assert set(samples["defect"]) == {"", "broken_large", "contamination"}
    assert cv2.imread(samples["image"].iloc[0], cv2.IMREAD_UNCHANGED).shape == (SIZE, SIZE, 3)  # color: rgb


def test_loco_masks_are_the_union_of_all_files_of_an_image(workspace):
    place = workspace("mvtec_loco")
    place.change(split=place.dataset["split"])
    place.pack()
    samples = place.run().set_index("sample")
    two, one = (mask(samples.loc[f"test/logical_anomalies/{i}", "mask"]).mean() for i in ("000", "001"))
    assert two == pytest.approx(2 * one)
    assert two == pytest.approx(8 / 32, abs=0.03)


def test_mvtec_ad_2_knows_light_and_scene_and_leaves_out_private_images(workspace):
    place = workspace("mvtec_ad_2")
    place.pack()
    samples = place.run()
    assert set(samples["domain"]) == {"regular", "overexposed", "shift_1"}
    assert set(samples.loc[samples["split"] == "train", "domain"]) == {"regular"}
    scenes = samples[samples["split"] == "test"].groupby("group")
    assert (scenes.size() == 3).all()
    assert not samples["image"].str.contains("private").any()


def test_visa_masks_of_class_numbers_and_defects_in_any_order(workspace):
    place = workspace("visa")
    place.pack()
    samples = place.run()
    anomalous = samples[samples["label"] == 1]
    assert set(anomalous["defect"]) == {"chunk+wax melded"}
    assert mask(anomalous["mask"].iloc[0]).mean() == pytest.approx(8 / 40)


def test_vad_full_archive_has_a_pool_unseen_defects_and_no_masks(workspace):
    place = workspace("vad")
    place.tree.files.clear()
    place.change(counts={"vad": miniatures.vad(place.tree, full=True)})
    place.pack()
    samples = place.run()
    assert counted(samples) == place.facts["counts"]["vad"]
    assert (samples["mask"] == "").all()
    assert samples["domain"].value_counts().to_dict() == {"": 9, "seen": 6, "unseen": 1}


def test_vad_without_masks_is_recognised_as_the_old_archive(workspace):
    place = workspace("vad")
    for name in [name for name in place.tree.files if "ground_truth" in name]:
        del place.tree.files[name]
    place.pack()
    with pytest.raises(DataError, match="before September 2025"):
        place.run()


def test_real_iad_labels_come_from_the_json_and_views_of_a_part_stay_together(workspace):
    place = workspace("real_iad")
    place.tree.files.clear()
    expected = miniatures.real_iad(place.tree, views=("C1", "C2", "C3"))
    place.change(options={"views": "all"}, counts={"audiojack": expected})
    place.pack()
    samples = place.run()
    assert counted(samples) == expected
    assert samples.groupby("group").size().tolist() == [3] * 10
    hidden = samples[samples["sample"].str.startswith("NG") & (samples["label"] == 0)]
    assert len(hidden) == 4


def test_real_iad_single_view_is_read_from_the_same_files(workspace):
    place = workspace("real_iad")
    place.tree.files.clear()
    miniatures.real_iad(place.tree, views=("C1", "C2"))
    place.pack()
    samples = place.run()
    assert counted(samples) == {"train": [6, 0], "test": [2, 2]}
    assert (samples["group"] == "").all()


def test_sensum_draws_the_same_150_whatever_the_order_of_the_disk(workspace):
    place = workspace("sensum")
    place.pack()
    first = place.run().set_index("sample")["split"]
    again = place.run().set_index("sample")["split"]
    pd.testing.assert_series_equal(first, again)
    place.category = "softgel"
    place.change(categories=["softgel"], counts=None)
    other = place.run().set_index("sample")["split"]
    assert counted(read_samples(Path("data/resized/sensum/softgel"))) == {"train": [4, 0], "test": [150, 3]}
    assert set(first[first == "train"].index) != set(other[other == "train"].index)


def test_sensum_folds_are_read_from_plain_pickles_alone(workspace):
    place = workspace("sensum")
    expected = miniatures.sensum_folds(place.tree)
    place.change(options={"fold": 0}, counts={"capsule": expected})
    place.pack()
    assert counted(place.run()) == expected
    place.tree.files["sensum_splits/capsule/0/test/neg.pckl"] = b"cos\nsystem\n(S'false'\ntR."
    place.pack()
    with pytest.raises(
        DataError, match=r"neg\.pckl is not a list of .*posix\.system|neg\.pckl is not a list of .*os\.system"
    ):
        place.run()


def test_sensum_fold_is_checked(workspace):
    place = workspace("sensum")
    place.change(options={"fold": 7})
    place.pack()
    with pytest.raises(ConfigError, match=r"options\.fold: 7 is not a whole number from 0 to 2 or null"):
        place.run()


def test_sensum_folds_give_every_image_the_part_that_lists_its_number(workspace):
    place = workspace("sensum")
    miniatures.sensum_folds(place.tree, train=range(1, 156, 2), train_positives=[1])
    place.change(options={"fold": 0}, counts=None)
    place.pack()
    split = place.run().set_index("sample")["split"]
    assert len(split) == 159
    for i in range(156):  # 7 is 007
        assert split[f"negative/{i:03}"] == ("train" if i % 2 else "test")
    assert split[["positive/000", "positive/001", "positive/002"]].tolist() == ["test", "reserve", "test"]


FOLD = "sensum_splits/capsule/0"


@pytest.mark.parametrize(
    ("file", "entries", "message"),
    [
        ("test/neg", [(i, True) for i in range(101, 156)], "1 images exist but are not listed, such as .*negative/100"),
        ("test/pos", [], r"1 images exist but are not listed, such as .*positive/002"),
        ("test/neg", [(i, True) for i in range(100, 158)], "2 images are listed but do not exist.*negative/156"),
        (
            "test/neg",
            [(i, True) for i in range(99, 156)],
            "1 images are listed for training and for test.*negative/099",
        ),
        ("test/pos", [True, False, True], r"pos\.pckl is not a list of \(number"),
        ("test/pos", [(True, True)], "True is not a number"),
        ("test/pos", [("a", True)], "invalid literal"),
    ],
)
def test_sensum_folds_that_do_not_fit_the_images_are_refused(workspace, file, entries, message):
    place = workspace("sensum")
    miniatures.sensum_folds(place.tree)
    place.tree.files[f"{FOLD}/{file}.pckl"] = pickle.dumps(entries)
    place.change(options={"fold": 0}, counts=None)
    place.pack()
    with pytest.raises(DataError, match=message):
        place.run()


def test_sensum_lists_of_file_names_are_read_too(workspace):
    place = workspace("sensum")
    expected = miniatures.sensum_folds(place.tree)
    place.tree.files[f"{FOLD}/test/neg.pckl"] = pickle.dumps([(f"{i:03}.png", True) for i in range(100, 156)])
    place.change(options={"fold": 0}, counts={"capsule": expected})
    place.pack()
    assert counted(place.run()) == expected


def test_visa_refuses_an_image_that_a_table_omits(workspace):
    place = workspace("visa")
    place.change(counts=None)
    table = place.tree.files["split_csv/1cls.csv"].decode().splitlines(keepends=True)
    place.tree.text("split_csv/1cls.csv", "".join(row for row in table if "Anomaly/001.JPG" not in row))
    place.pack()
    with pytest.raises(DataError, match=r"split_csv/1cls\.csv does not list 1 images, such as .*Anomaly/001\.JPG"):
        place.run()
    place.tree.text("split_csv/1cls.csv", "".join(table))
    rows = place.tree.files["candle/image_anno.csv"].decode().splitlines(keepends=True)
    place.tree.text("candle/image_anno.csv", "".join(row for row in rows if "Anomaly/002.JPG" not in row))
    place.pack()
    with pytest.raises(DataError, match=r"image_anno\.csv does not list 1 images, such as .*Anomaly/002\.JPG"):
        place.run()


def test_real_iad_refuses_an_image_that_the_json_of_all_views_omits(workspace):
    place = workspace("real_iad")
    place.tree.image("realiad_1024/audiojack/OK/S0009/audiojack__0009_OK_C1_2023.jpg")
    place.change(options={"views": "all"}, counts=None)
    place.pack()
    with pytest.raises(DataError, match=r"audiojack\.json does not list 1 images, such as .*audiojack__0009_OK_C1"):
        place.run()


@pytest.mark.parametrize("key", ["mask_path", "anomaly_class", "test"])
def test_real_iad_entries_must_be_complete(workspace, key):
    place = workspace("real_iad")
    path = "realiad_jsons/realiad_jsons_sv/audiojack.json"
    content = json.loads(place.tree.files[path])
    (content["test"][0] if key in content["test"][0] else content).pop(key)
    place.tree.text(path, json.dumps(content))
    place.pack()
    with pytest.raises(DataError, match=rf"audiojack\.json.* has no .*{key}"):
        place.run()


def test_aebad_domains_and_mac_junk(workspace):
    place = workspace("aebad_s")
    place.pack()
    samples = place.run()
    test = samples[samples["split"] == "test"]
    assert test["domain"].value_counts().to_dict() == dict.fromkeys(("same", "background", "illumination", "view"), 3)
    assert set(samples.loc[samples["split"] == "train", "domain"]) == {"background", "illumination", "view"}


def test_kolektor_leaves_out_stray_copies_and_labels_by_mask(workspace):
    place = workspace("kolektor_sdd2")
    place.pack()
    samples = place.run()
    assert len(samples) == 13
    assert samples.loc[samples["label"] == 1, "sample"].tolist() == [
        "train/10000", "train/10004", "test/20000", "test/20004",
    ]  # fmt: skip


def test_mtd_masks_start_at_half_grey_and_exposures_are_domains(workspace):
    place = workspace("mtd")
    place.pack()
    samples = place.run("study")
    assert set(samples["domain"]) == {f"exp{i}" for i in range(1, 7)}
    assert samples.loc[(samples["label"] == 1) & (samples["mask"] == ""), "defect"].tolist() == ["Uneven"]
    marked = mask(samples.loc[samples["label"] == 1, "mask"].iloc[0]).mean()
    assert marked == pytest.approx(8 / 37, abs=0.04)  # the stripe at 127 does not count
    with pytest.raises(ConfigError, match="without a published split"):
        place.run("official")


def test_kolektor_sdd_keeps_the_surfaces_of_a_commutator_together(workspace):
    place = workspace("kolektor_sdd")
    place.pack()
    samples = place.run("study")
    assert samples.groupby("group").size().tolist() == [2] * 16
    assert samples.loc[samples["label"] == 1, "sample"].tolist() == [f"kos{i:02}/Part1" for i in range(2, 17, 2)]
    place.tree.mask("kos03/Part9_label.bmp", size=(25, 62))
    place.pack()
    with pytest.raises(DataError, match=r"1 masks belong to no image, such as .*kos03/Part9_label"):
        place.run("study")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3\t0\t0003.PNG\t0\t0\r\n", "", r"Labels\.txt does not list 1 images, such as .*0003\.PNG"),
        ("0003.PNG", "0033.PNG", r"0033\.PNG does not exist, but .*Labels\.txt lists it"),
        ("3\t0\t", "3\t2\t", "is not of the form number, 0 or 1, file name"),
        ("6\t1\t", "6\t0\t", r"1 masks belong to no image, such as .*0006_label"),
        ("3\t0\t", "3\t1\t", "0003_label: the mask of .* is missing"),
    ],
)
def test_dagm_list_and_files_have_to_agree(workspace, old, new, message):
    place = workspace("dagm")
    _check_that_a_changed_list_is_refused(place, "Class1/Test/Label/Labels.txt", old, new, message)


def test_aitex_reads_codes_unites_masks_and_knows_the_two_defects_without_one(workspace):
    place = workspace("aitex")
    place.pack()
    samples = place.run("study").set_index("sample")
    assert samples["domain"].value_counts().to_dict() == {"00": 6, "02": 6, "01": 1, "04": 1, "08": 1, "03": 1}
    anomalous = samples[samples["label"] == 1]
    assert anomalous["defect"].to_dict() == {
        "defect/0001_002_00": "broken_end",
        "defect/0044_019_04": "fuzzyball",
        "defect/0052_019_02": "fuzzyball",
        "defect/0100_025_08": "warp_ball",
        "defect/0106_010_03": "broken_pick",
    }
    assert sorted(anomalous.index[anomalous["mask"] == ""]) == ["defect/0100_025_08", "defect/0106_010_03"]
    two, one = (mask(samples.loc[f"defect/{name}", "mask"]).mean() for name in ("0044_019_04", "0052_019_02"))
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("NODefect_images/2608691-202020u/0019_002_01.png", "its name has the code 002"),
        ("Defect_images/0200_000_01.png", "000 is not the code of a defect"),
        ("Defect_images/0200_099_01.png", "099 is not the code of a defect"),
        ("Defect_images/photo.png", r"is not of the form 0001_002_00\.png"),
        ("Mask_images/0300_002_00_mask.png", "1 masks belong to no image"),
    ],
)
def test_aitex_names_that_do_not_fit_their_folder_are_refused(workspace, path, message):
    place = workspace("aitex")
    place.tree.image(path)
    place.change(counts=None)
    place.pack()
    with pytest.raises(DataError, match=message):
        place.run("study")


def test_aitex_archives_without_a_folder_are_read_too(workspace):
    place = workspace("aitex")
    for name, part in place.tree.split().items():
        flat(part).pack(place.folder / f"{name}.7z")
    assert len(place.run("study")) == 16


def test_robustad_shifts_are_domains_and_train_sees_none(workspace):
    place = workspace("robustad")
    place.pack()
    samples = place.run()
    assert set(samples.loc[samples["split"].isin(["train", "reserve"]), "domain"]) == {"source"}
    test = samples[samples["split"] == "test"]["domain"].value_counts().to_dict()
    shifts = ("source", "lighting", "white_balancing", "rotation", "position", "shadow")
    assert test == dict.fromkeys(shifts, 3)


def test_robustad_bags_have_no_masks(workspace):
    place = workspace("robustad")
    place.tree.files.clear()
    expected = miniatures.robustad(place.tree, "PiledBags", "piled_bags_data_dir", masks=False)
    place.category = "PiledBags"
    place.change(categories=["PiledBags"], counts={"PiledBags": expected})
    place.pack()
    samples = place.run()
    assert counted(samples) == expected
    assert (samples["mask"] == "").all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"normal/IMG_0.png"', '"normal/IMG_7.png"', r"IMG_7\.png does not exist, but metadata\.jsonl lists it"),
        ('"label": 1', '"label": 0', "is labelled 0 by metadata.jsonl, which contradicts its folder"),
        ('"label": 0', '"class": 0', "an entry has no label"),
        ('{"file_name": "normal/IMG_1.png", "label": 0, "mask": null}\n', "", r"does not list 1 images.*normal/IMG_1"),
    ],
)
def test_robustad_lists_and_files_have_to_agree(workspace, old, new, message):
    place = workspace("robustad")
    _check_that_a_changed_list_is_refused(place, "PCB/pcb_data_dir_test2/metadata.jsonl", old, new, message)


def test_dagm_needs_no_registration(workspace):
    with pytest.raises(DataError, match=r"needs no registration.*Get Class1 to Class10 from https://zenodo\.org"):
        workspace("dagm").run()


# What damages each miniature's masks, and one of its images.
MASKS = {
    "mvtec_ad": "bottle/ground_truth/contamination/001_mask.png",
    "mvtec_ad_2": "vial/test_public/ground_truth/bad/001_shift_1_mask.png",
    "mvtec_loco": "screw_bag/ground_truth/structural_anomalies/001/000.png",
    "visa": "candle/Data/Masks/Anomaly/002.png",
    "btad": "BTech_Dataset_transformed/03/ground_truth/ko/0001.png",
    "mpdd": "anomaly_dataset/bracket_black/ground_truth/contamination/001_mask.png",
    "vad": "VAD/vad/ground_truth/bad/11_mask.png",
    "real_iad": "realiad_1024/audiojack/NG/AK/S0002/audiojack__0002_NG_AK_C1_2023.png",
    "sensum": "SensumSODF/capsule/positive/annotation/002.png",
    "aebad_s": "AeBAD/AeBAD_S/ground_truth/groove/view/IMG_0200.png",
    "kolektor_sdd2": "test/20004_GT.png",
    "mtd": "Magnetic-tile-defect-datasets.-master/MT_Crack/Imgs/exp2_num_117.png",
    "kolektor_sdd": "kos04/Part1_label.bmp",
    "dagm": "Class1/Test/Label/0006_label.PNG",
    "aitex": "Mask_images/0052_019_02_mask.png",
    "robustad": "PCB/pcb_data_dir_test3/masks/IMG_1.png",
}


def stem(path):
    return Path(path).parent.name if "loco" in path or path.endswith("001/000.png") else Path(path).stem


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_missing_mask_is_named(workspace, name):
    place = workspace(name)
    del place.tree.files[MASKS[name]]
    place.pack()
    with pytest.raises(DataError, match=stem(MASKS[name]).removesuffix(".png")):
        place.run()
    assert not Path(f"data/raw/{name}").exists()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_truncated_image_is_named(workspace, name):
    place = workspace(name)
    broken = next(path for path in place.tree.files if path.lower().endswith((".png", ".jpg", ".bmp")))
    place.tree.files[broken] = place.tree.files[broken][: len(place.tree.files[broken]) // 2]
    place.pack()
    with pytest.raises(DataError, match=rf"{Path(broken).name} is not a readable image"):
        place.run("study")
    assert not Path(f"data/resized/{name}").exists() or not list(Path(f"data/resized/{name}").glob("[!.]*"))


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - SEVERAL_ARCHIVES - NO_ARCHIVE))
def test_another_checksum_is_refused(workspace, name):
    place = workspace(name)
    place.pack()
    place.facts["archive"]["sha256"] = "0" * 64
    with pytest.raises(DataError, match=r"SHA-256 [0-9a-f]{64}, expected 0+"):
        place.run()
    assert not Path(f"data/raw/{name}").exists()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_an_image_too_many_is_an_error_with_both_counts(workspace, name):
    place = workspace(name)
    wrong = {split: [n, a + 1] for split, (n, a) in place.facts["counts"][place.category].items()}
    place.change(counts={place.category: wrong})
    place.pack()
    with pytest.raises(DataError, match=r"found .* normal \+ .* were published"):
        place.run()
    assert not Path(f"data/raw/{name}").exists()


EXTRA = {
    "mvtec_ad": "bottle/extra/good/000.png",
    "mvtec_ad_2": "vial/test_secret/000_regular.png",
    "mvtec_loco": "screw_bag/test2/good/000.png",
    "btad": "BTech_Dataset_transformed/03/valid/ok/0000.png",
    "mpdd": "anomaly_dataset/bracket_black/extra/000.png",
    "vad": "VAD/vad/test/ugly/1.png",
    "visa": "candle/Data/Images/Odd/000.JPG",
    "real_iad": "realiad_1024/audiojack/UNSURE/AK/S0001/a.jpg",
    "sensum": "SensumSODF/capsule/unsure/data/000.png",
    "kolektor_sdd2": "valid/10000.png",
    "aebad_s": "AeBAD/AeBAD_S/test/good/night/IMG_1.png",
    "mtd": "Magnetic-tile-defect-datasets.-master/MT_Rust/Imgs/exp1_num_9.jpg",
    "kolektor_sdd": "kos51/Part0.jpg",
    "dagm": "Class1/Valid/0001.PNG",
    "aitex": "Defect_images/more/0001_002_00.png",
    "robustad": "PCB/pcb_data_dir_test6/normal/IMG_0.png",
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_folder_too_many_is_named(workspace, name):
    place = workspace(name)
    place.tree.image(EXTRA[name])
    place.pack()
    with pytest.raises(DataError, match="the published dataset has no such folder"):
        place.run()


def test_without_an_archive_the_message_says_what_to_get_and_where_to_put_it(workspace):
    place = workspace("sensum")
    with pytest.raises(DataError) as error:
        place.run()
    for part in ("SensumSODF.7z", "https://www.sensum.eu", "data/archives", "dataset.source"):
        assert part in str(error.value)


def test_archives_by_category_lie_in_a_folder_of_the_dataset(workspace):
    place = workspace("mvtec_ad")
    place.tree.pack(archives.ARCHIVE_FOLDER / "mvtec_ad/bottle.tar.xz")
    other = miniatures.Tree()
    expected = miniatures.mvtec_ad(other, "cable")
    other.pack(archives.ARCHIVE_FOLDER / "mvtec_ad/cable.tar.xz")
    place.change(categories=["bottle", "cable"], counts={"bottle": expected, "cable": expected})
    place.run()
    assert sorted(path.name for path in Path("data/raw/mvtec_ad").iterdir()) == ["bottle", "cable"]


def flat(part):
    """The part without the folder around its files."""
    part.files = {name.split("/", 1)[1]: content for name, content in part.files.items()}
    return part


# What users have of Real-IAD: where each object's zip lies, what it holds, where the lists lie.
OBTAINED = {
    "folder_of_zips": lambda parts, out: (
        parts["realiad_1024/audiojack"].pack(out / "audiojack.zip"),
        parts["realiad_jsons"].pack(out / "realiad_jsons.zip"),
    ),
    "flat_zips": lambda parts, out: (
        flat(parts["realiad_1024/audiojack"]).pack(out / "audiojack.zip"),
        flat(parts["realiad_jsons"]).pack(out / "realiad_jsons.zip"),
    ),
    "flat_zips_in_their_folder": lambda parts, out: (
        flat(parts["realiad_1024/audiojack"]).pack(out / "realiad_1024/audiojack.zip"),
        parts["realiad_jsons"].pack(out / "realiad_jsons.zip"),
    ),
    "zip_unpacked_beside_itself": lambda parts, out: (
        parts["realiad_1024/audiojack"].pack(out / "realiad_1024/audiojack.zip"),
        unpacked(parts["realiad_1024/audiojack"], out / "realiad_1024"),
        parts["realiad_jsons"].pack(out / "realiad_jsons.zip"),
    ),
    "zips_beside_unpacked_lists": lambda parts, out: (
        parts["realiad_1024/audiojack"].pack(out / "realiad_1024/audiojack.zip"),
        unpacked(parts["realiad_jsons"], out),
    ),
    "unpacked_beside_zipped_lists": lambda parts, out: (
        unpacked(parts["realiad_1024/audiojack"], out),
        parts["realiad_jsons"].pack(out / "realiad_jsons.zip"),
    ),
}


@pytest.mark.parametrize("obtained", OBTAINED)
def test_real_iad_is_read_packed_or_unpacked_or_in_part(workspace, obtained):
    place = workspace("real_iad")
    OBTAINED[obtained](place.tree.split("realiad_1024"), place.folder)
    assert counted(place.run()) == place.facts["counts"]["audiojack"]


def test_real_iad_of_several_objects_with_zips_that_hold_no_folder(workspace):
    place = workspace("real_iad")
    parts = place.tree.split("realiad_1024")
    for category in ("audiojack", "zipper"):
        part = miniatures.Tree()
        miniatures.real_iad(part)
        images = {name: data for name, data in part.files.items() if name.startswith("realiad_1024/")}
        part.files = {name.removeprefix("realiad_1024/audiojack/"): data for name, data in images.items()}
        part.pack(place.folder / f"realiad_1024/{category}.zip")
    parts["realiad_jsons"].files |= {
        name.replace("audiojack", "zipper"): data for name, data in parts["realiad_jsons"].files.items()
    }
    parts["realiad_jsons"].pack(place.folder / "realiad_jsons.zip")
    place.change(categories=["audiojack", "zipper"], counts=None)
    place.run()
    found = sorted(path.name for path in Path("data/raw/real_iad/realiad_1024").iterdir())
    assert found == ["audiojack", "zipper"]


def test_real_iad_of_another_resolution_names_the_option(workspace):
    place = workspace("real_iad")
    parts = place.tree.split("realiad_1024")
    parts["realiad_1024/audiojack"].pack(place.folder / "realiad_512/audiojack.zip")
    parts["realiad_jsons"].pack(place.folder / "realiad_jsons.zip")
    with pytest.raises(DataError, match=r"has realiad_512, not realiad_1024. Set dataset\.options\.resolution"):
        place.run()
    place.change(options={"resolution": 512})
    assert counted(place.run()) == place.facts["counts"]["audiojack"]


def test_an_archive_hides_nothing_beside_it(workspace):
    """Sensum's archive, and the splits that a user unpacked beside it."""
    place = workspace("sensum")
    splits = miniatures.Tree()
    expected = miniatures.sensum_folds(splits)
    place.tree.pack(place.folder / "SensumSODF.7z")
    unpacked(splits, place.folder)
    place.change(options={"fold": 0}, counts={"capsule": expected})
    assert counted(place.run()) == expected


def test_without_archives_the_message_names_all_of_them(workspace):
    place = workspace("real_iad")
    with pytest.raises(DataError) as error:
        place.run()
    for part in ("realiad_jsons.zip and realiad_1024/<object>.zip", "data/archives/real_iad/", "dataset.source"):
        assert part in str(error.value)


def test_pixels_of_the_published_files_are_not_altered(workspace):
    place = workspace("visa")
    place.pack()
    place.run()
    for name, content in place.tree.files.items():
        assert (Path("data/raw/visa") / name).read_bytes() == content


def test_an_unknown_option_is_an_error(workspace):
    place = workspace("btad")
    place.change(options={"views": "all"})
    place.pack()
    with pytest.raises(ConfigError, match="views"):
        place.run()


@pytest.mark.parametrize("options", [{"views": "some"}, {"noise": 0.3}])
def test_real_iad_options_are_checked(workspace, options):
    place = workspace("real_iad")
    place.change(options=options)
    place.pack()
    with pytest.raises(ConfigError, match=next(iter(options))):
        place.run()


def test_masks_shrink_without_vanishing(workspace):
    place = workspace("mvtec_ad")
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[5, 7] = 255
    place.tree.add("bottle/ground_truth/contamination/000_mask.png", miniatures.Image.fromarray(pixels))
    place.pack()
    samples = place.run(image_size=32).set_index("sample")
    assert mask(samples.loc["test/contamination/000", "mask"]).any()
