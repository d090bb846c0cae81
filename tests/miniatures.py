"""Archives of a few small images, laid out exactly as each dataset publishes its own: names, grey levels, quirks."""

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import py7zr
from PIL import Image

SIDE = 40


class Tree:
    """Files of an archive to be, by their path."""

    def __init__(self):
        self.files = {}
        self.rng = np.random.default_rng(0)

    def image(self, path, mode="RGB", size=(SIDE, SIDE), stored=None):
        """Noise, in the format of the suffix or in `stored`."""
        width, height = size
        pixels = self.rng.integers(0, 256, (height, width) if mode == "L" else (height, width, 3), dtype=np.uint8)
        self.add(path, Image.fromarray(pixels), stored)

    def mask(self, path, levels=(255,), size=(SIDE, SIDE), top=8):
        """Black, with a stripe of 4 rows a grey level from row `top` on."""
        pixels = np.zeros((size[1], size[0]), dtype=np.uint8)
        for i, level in enumerate(levels):
            pixels[top + 4 * i : top + 4 * i + 4] = level
        self.add(path, Image.fromarray(pixels))

    def add(self, path, image, stored=None):
        kinds = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP"}
        buffer = io.BytesIO()
        image.save(buffer, format=stored or kinds[Path(path).suffix.lower()])
        self.files[path] = buffer.getvalue()

    def text(self, path, content):
        self.files[path] = content.encode()

    def split(self, *shared):
        """One tree a folder at the top, and a folder in `shared`: by the path of what would be its archive."""
        parts = {}
        for path, content in self.files.items():
            around = path.split("/")[0] if path.split("/")[0] in shared else ""
            inner = path.removeprefix(f"{around}/")
            part = parts.setdefault(f"{around}/{inner.split('/')[0]}".strip("/"), Tree())
            part.files[inner] = content
        return parts

    def pack(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in self.files.items():
                    archive.writestr(name, content)
        elif path.suffix == ".7z":
            with py7zr.SevenZipFile(path, "w") as archive:
                for name, content in self.files.items():
                    archive.writestr(content, name)
        else:
            mode = {".xz": "w:xz", ".gz": "w:gz", ".tar": "w"}[path.suffix]
            with tarfile.open(path, mode) as archive:
                for name, content in self.files.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return path


def mvtec_ad(tree, root="bottle", mode="RGB"):
    for i in range(6):
        tree.image(f"{root}/train/good/{i:03}.png", mode)
    for i in range(3):
        tree.image(f"{root}/test/good/{i:03}.png", mode)
    for kind in ("broken_large", "contamination"):
        for i in range(2):
            tree.image(f"{root}/test/{kind}/{i:03}.png", mode)
            tree.mask(f"{root}/ground_truth/{kind}/{i:03}_mask.png")
    tree.text(f"{root}/license.txt", "CC BY-NC-SA 4.0")
    tree.text(f"{root}/readme.txt", "MVTec AD")
    return {"train": [6, 0], "test": [3, 4]}


def mpdd(tree):
    return mvtec_ad(tree, "anomaly_dataset/bracket_black")


def btad(tree):
    root = "BTech_Dataset_transformed/03"
    for i in range(6):
        tree.image(f"{root}/train/ok/{i:04}.bmp")
    for i in range(3):
        tree.image(f"{root}/test/ok/{i:04}.bmp")
    for i, suffix in enumerate(("bmp", "png")):  # an image and its mask may have different formats
        tree.image(f"{root}/test/ko/{i:04}.bmp")
        tree.mask(f"{root}/ground_truth/ko/{i:04}.{suffix}")
    return {"train": [6, 0], "test": [3, 2]}


def mvtec_loco(tree):
    root = "screw_bag"
    for i in range(6):
        tree.image(f"{root}/train/good/{i:03}.png", size=(48, 32))
    for i in range(2):
        tree.image(f"{root}/validation/good/{i:03}.png", size=(48, 32))
        tree.image(f"{root}/test/good/{i:03}.png", size=(48, 32))
        for kind in ("logical_anomalies", "structural_anomalies"):
            tree.image(f"{root}/test/{kind}/{i:03}.png", size=(48, 32))
            tree.mask(f"{root}/ground_truth/{kind}/{i:03}/000.png", levels=(236,), size=(48, 32))
    # One file an anomaly: reading the first alone would lose half of this one.
    tree.mask(f"{root}/ground_truth/logical_anomalies/000/001.png", levels=(255,), size=(48, 32), top=20)
    tree.text(f"{root}/defects_config.json", "[]")
    return {"train": [6, 0], "val": [2, 0], "test": [2, 4]}


def mvtec_ad_2(tree):
    root, size = "vial", (32, 44)
    for i in range(6):
        tree.image(f"{root}/train/good/{i:03}_regular.png", "L", size)
    for i in range(2):
        tree.image(f"{root}/validation/good/{i:03}_regular.png", "L", size)
        tree.image(f"{root}/test_private/{i:03}_regular.png", "L", size)
        tree.image(f"{root}/test_private_mixed/{i:03}_mixed.png", "L", size)
        for light in ("regular", "overexposed", "shift_1"):
            tree.image(f"{root}/test_public/good/{i:03}_{light}.png", "L", size)
            tree.image(f"{root}/test_public/bad/{i:03}_{light}.png", "L", size)
            tree.mask(f"{root}/test_public/ground_truth/bad/{i:03}_{light}_mask.png", size=size)
    return {"train": [6, 0], "val": [2, 0], "test": [6, 6]}


def visa(tree):
    annotations, table = ["image,label,mask"], ["object,split,label,image,mask"]
    for i in range(8):
        image = f"candle/Data/Images/Normal/{i:04}.JPG"
        tree.image(image, size=(60, 40))
        annotations.append(f"{image},normal,")
        table.append(f"candle,{'train' if i < 6 else 'test'},normal,{image},")
    for i in range(3):
        image, mask = f"candle/Data/Images/Anomaly/{i:03}.JPG", f"candle/Data/Masks/Anomaly/{i:03}.png"
        tree.image(image, size=(60, 40))
        tree.mask(mask, levels=(1, 2), size=(60, 40))  # class numbers: black to the eye
        annotations.append(f'{image},"{"wax melded,chunk" if i else "chunk,wax melded"}",{mask}')
        table.append(f"candle,test,anomaly,{image},{mask}")
    table.append("capsules,train,normal,capsules/Data/Images/Normal/000.JPG,")  # another category's rows
    tree.text("candle/image_anno.csv", "\n".join(annotations) + "\n")
    tree.text("split_csv/1cls.csv", "\n".join(table) + "\n")
    tree.text("LICENSE-DATASET", "CC BY 4.0")
    return {"train": [6, 0], "test": [2, 3]}


def vad(tree, *, full=False):
    root = "vad" if full else "VAD/vad"
    for i in range(6):
        tree.image(f"{root}/train/good/{2041 + i}.png")
    for i in range(3):
        tree.image(f"{root}/test/good/{i}.png")
        tree.image(f"{root}/test/bad/{10 + i}.png")
        if full:
            tree.image(f"{root}/train/bad/{20 + i}.png")
        else:
            tree.mask(f"{root}/ground_truth/bad/{10 + i}_mask.png")
    if full:
        tree.image(f"{root}/test/bad_unseen_defects/30.png")
        tree.text(f"{root}/low_shot_train.json", json.dumps({"1": ["20.png"]}))
        return {"train": [6, 0], "reserve": [0, 3], "test": [3, 4]}
    return {"train": [6, 0], "test": [3, 3]}


def real_iad(tree, views=("C1",)):
    lists = {"train": [], "test": []}
    single = {"train": [], "test": []}

    def add(split, folder, shown, part, view, masked):
        name = f"{folder}/S{part:04}/audiojack__{part:04}_{folder.replace('/', '_')}_{view}_2023.jpg"
        mask = name.replace(".jpg", ".png") if masked else None
        tree.image(f"realiad_1024/audiojack/{name}")
        if masked:
            tree.mask(f"realiad_1024/audiojack/{mask}")
        one = {"category": "audiojack", "anomaly_class": shown, "image_path": name, "mask_path": mask}
        lists[split].append(one)
        if view == "C1":
            single[split].append(one)

    for part in range(1, 7):
        for view in views:
            add("train", "OK", "OK", part, view, masked=False)
    for part in range(7, 9):
        for view in views:
            add("test", "OK", "OK", part, view, masked=False)
    for part in range(1, 3):
        for view in views:  # from the side the pit is not seen: labelled OK, in a folder NG
            seen = view == "C1"
            add("test", "NG/AK", "AK" if seen else "OK", part, view, masked=seen)
    for folder, published in (("realiad_jsons_sv", single), ("realiad_jsons", lists)):
        content = {"meta": {"prefix": "", "normal_class": "OK"}} | published
        tree.text(f"realiad_jsons/{folder}/audiojack.json", json.dumps(content))
    return {"train": [6 * len(views), 0], "test": [2 * len(views) + 2 * (len(views) - 1), 2]}


def sensum(tree):
    for category, count in (("capsule", 156), ("softgel", 154)):
        for i in range(count):
            tree.image(f"SensumSODF/{category}/negative/data/{i:03}.png", size=(6, 8))
        for i in range(3):  # the same numbers occur among the negatives
            tree.image(f"SensumSODF/{category}/positive/data/{i:03}.png", size=(6, 8))
            tree.mask(f"SensumSODF/{category}/positive/annotation/{i:03}.png", size=(6, 8), top=2)
    return {"train": [6, 0], "test": [150, 3]}


def sensum_folds(tree, *, train=range(100), train_positives=range(2)):
    """Pairs of a number and whether the image is segmented; the training positives once for each share of these."""
    everything = {"neg": range(156), "pos": range(3)}
    parts = {"train": {"neg": train, "pos": train_positives}}
    parts["test"] = {kind: sorted(set(everything[kind]) - set(parts["train"][kind])) for kind in everything}
    for part, kinds in parts.items():
        for kind, numbers in kinds.items():
            shares = {"pos_0": 0, "pos_50": 1, "pos_100": 2} if (part, kind) == ("train", "pos") else {kind: 2}
            for name, segmented in shares.items():
                pairs = [(number, i < segmented or kind == "neg") for i, number in enumerate(numbers)]
                tree.files[f"sensum_splits/capsule/0/{part}/{name}.pckl"] = pickle.dumps(pairs)
    sizes = {part: [len(kinds["neg"]), len(kinds["pos"])] for part, kinds in parts.items()}
    return {"train": [sizes["train"][0], 0], "reserve": [0, sizes["train"][1]], "test": sizes["test"]}


def aebad_s(tree):
    root = "AeBAD/AeBAD_S"
    for domain in ("background", "illumination", "view"):
        for i in range(2):
            tree.image(f"{root}/train/good/{domain}/IMG_{i:04}.png", stored="JPEG")  # JPEG data under a png's name
    for domain in ("same", "background", "illumination", "view"):
        tree.image(f"{root}/test/good/{domain}/IMG_0100.png")
        for kind in ("ablation", "groove"):
            tree.image(f"{root}/test/{kind}/{domain}/IMG_0200.png")
            tree.mask(f"{root}/ground_truth/{kind}/{domain}/IMG_0200.png")
    tree.text(f"__MACOSX/{root}/test/good/same/._IMG_0100.png", "junk")
    tree.text(f"{root}/test/good/same/._IMG_0100.png", "junk")
    tree.image("AeBAD/AeBAD_V/test/video1/frame0.png")
    return {"train": [6, 0], "test": [4, 8]}


def kolektor_sdd2(tree):
    size = (23, 63)
    for split, numbers in (("train", range(10000, 10008)), ("test", range(20000, 20005))):
        for i in numbers:
            tree.image(f"{split}/{i}.png", size=size)
            tree.mask(f"{split}/{i}_GT.png", levels=(255,) if i % 4 == 0 else (), size=size)
    tree.files["train/10001 (copy).png"] = tree.files["train/10001.png"]
    tree.files["train/10001_GT (copy).png"] = tree.files["train/10001_GT.png"]
    tree.files["split_weakly_246.pyb"] = pickle.dumps([(10000, True)])
    return {"train": [6, 0], "reserve": [0, 2], "test": [3, 2]}


def kolektor_sdd(tree):
    size, normal, anomalous = (25, 62), 0, 0
    for item in range(1, 17):
        for part in range(2):
            cracked = part == 1 and item % 2 == 0
            tree.image(f"kos{item:02}/Part{part}.jpg", "L", size)
            tree.mask(f"kos{item:02}/Part{part}_label.bmp", levels=(255,) if cracked else (), size=size)
            normal, anomalous = normal + (not cracked), anomalous + cracked
    return {"all": [normal, anomalous]}


def dagm(tree):
    expected = {}
    for part, numbers in (("Train", range(576, 584)), ("Test", range(1, 7))):
        lines = ["\ufeff1"]
        for i, number in enumerate(numbers):
            defective = i >= len(numbers) - 2
            tree.image(f"Class1/{part}/{number:04}.PNG", "L")
            if defective:
                tree.mask(f"Class1/{part}/Label/{number:04}_label.PNG")
            mask = f"{number:04}_label.PNG" if defective else "0"
            lines.append(f"{i + 1}\t{int(defective)}\t{number:04}.PNG\t0\t{mask}")
        tree.text(f"Class1/{part}/Label/Labels.txt", "\r\n".join(lines) + "\r\n")
        expected[part] = len(numbers) - 2
    return {"train": [expected["Train"], 0], "reserve": [0, 2], "test": [expected["Test"], 2]}


def aitex(tree):
    size = (128, 16)
    for fabric, roll in (("00", "2311694-2040n7u"), ("02", "2306894-210033u")):
        for i in range(5):
            tree.image(f"NODefect_images/{roll}/{i:04}_000_{fabric}.png", "L", size)
    tree.image("NODefect_images/2608691-202020u/0018_00_01.png", "L", size)  # a code of two digits
    for stem in ("0001_002_00", "0044_019_04", "0052_019_02", "0100_025_08", "0106_010_03"):
        tree.image(f"Defect_images/{stem}.png", "L", size)
    tree.mask("Mask_images/0001_002_00_mask.png", size=size, top=2)
    tree.mask("Mask_images/0044_019_04_mask1.png", size=size, top=2)
    tree.mask("Mask_images/0044_019_04_mask2.png", size=size, top=10)
    tree.mask("Mask_images/0052_019_02_mask.png", size=size, top=2)
    tree.mask("Mask_images/0106_010_03_mask.png", size=size, levels=())  # black in the original
    return {"all": [11, 5]}


def robustad(tree, category="PCB", prefix="pcb_data_dir", tests=6, masks=True):
    for part in ("train", *(f"test{i}" for i in range(tests))):
        folder, entries = f"{category}/{prefix}_{part}", []
        for i in range(6 if part == "train" else 2):
            tree.image(f"{folder}/normal/IMG_{i}.png")
            entries.append({"file_name": f"normal/IMG_{i}.png", "label": 0, "mask": None})
        tree.image(f"{folder}/anomaly/IMG_{i}.png")
        if masks:
            tree.mask(f"{folder}/masks/IMG_{i}.png")
        mask = f"{prefix}_{part}/masks/IMG_{i}.png"  # named whether it exists or not
        entries.append({"file_name": f"anomaly/IMG_{i}.png", "label": 1, "mask": mask})
        tree.text(f"{folder}/metadata.jsonl", "\n".join(map(json.dumps, entries)) + "\n")
    tree.text("README.md", "RobustAD")
    return {"train": [6, 0], "reserve": [0, 1], "test": [2 * tests, tests]}


def mtd(tree):
    root, number = "Magnetic-tile-defect-datasets.-master", 100
    for kind, count in (("Free", 10), ("Blowhole", 3), ("Break", 2), ("Crack", 2), ("Fray", 2), ("Uneven", 2)):
        for i in range(count):
            number += 1
            stem = f"{root}/MT_{kind}/Imgs/exp{i % 6 + 1}_num_{number}"
            tree.image(f"{stem}.jpg", "L", (25, 37))
            undrawn = kind == "Free" or (kind, i) == ("Uneven", 1)  # four masks are as empty in the original
            tree.mask(f"{stem}.png", levels=() if undrawn else (127, 128, 255), size=(25, 37))
    tree.text(f"{root}/README.md", "magnetic tiles")
    tree.image(f"{root}/dataset.jpg")
    return {"all": [10, 11]}
