"""Writes the samples beside this file anew, by the libraries that people annotate with.

    uv run --with supervision==0.31.2 --with labelme==6.3.1 --with pycocotools==2.0.11 write_samples.py

Four images of 64x48: in train 1 with a box, 2 with a triangle of another class and the box; 3 without any region; and
in test 4 with the triangle. LabelMe and the run-length codes add a circle and a mask with a hole.
"""

import json
from pathlib import Path

import numpy as np
import supervision as sv
from labelme import utils as labelme_utils
from labelme._label_file import LabelFile
from PIL import Image
from pycocotools import mask as coco_masks

HERE = Path(__file__).parent
BOX, TRIANGLE = (5, 10, 25, 20), np.array([[30, 5], [60, 5], [30, 40]])
CLASSES = ["scratch", "dent"]
CONTENTS = {"train": {"1.png": [0], "2.png": [0, 1], "3.png": []}, "test": {"4.png": [1]}}


def fill(shape: int) -> np.ndarray:
    if shape == 0:
        mask = np.zeros((48, 64), bool)
        mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
        return mask
    return sv.polygon_to_mask(TRIANGLE, (64, 48)).astype(bool)


def dataset(images: Path, names: dict[str, list[int]], *, segments: bool) -> sv.DetectionDataset:
    annotations = {}
    for name, shapes in names.items():
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (90, 120, 90)).save(path)
        detections = sv.Detections.empty()
        if shapes:
            corners = np.array([BOX if s == 0 else (30, 5, 60, 40) for s in shapes], float)
            masks = np.array([fill(s) for s in shapes]) if segments else None
            detections = sv.Detections(xyxy=corners, mask=masks, class_id=np.array(shapes))
        annotations[str(path)] = detections
    return sv.DetectionDataset(classes=CLASSES, images=sorted(annotations), annotations=annotations)


def write_supervision() -> None:
    for split, names in CONTENTS.items():
        for name, segments in (("yolo_boxes", False), ("yolo_segments", True)):
            images = HERE / name / split / "images"
            dataset(images, names, segments=segments).as_yolo(
                annotations_directory_path=str(HERE / name / split / "labels"),
                data_yaml_path=str(HERE / name / "data.yaml"),
            )
        for name, segments in (("voc_boxes", False), ("voc_polygons", True)):
            images = HERE / name / split / "images"
            dataset(images, names, segments=segments).as_pascal_voc(
                annotations_directory_path=str(HERE / name / split / "annotations")
            )
        images = HERE / "coco_polygons/images" / split
        dataset(images, names, segments=True).as_coco(
            annotations_path=str(HERE / f"coco_polygons/annotations/instances_{split}.json")
        )


def write_labelme() -> None:
    shapes = {
        0: ("rectangle", [[5, 10], [25, 20]]), 1: ("polygon", TRIANGLE.tolist()), 2: ("circle", [[40, 24], [50, 24]]),
    }  # fmt: skip
    for split, names in CONTENTS.items():
        for name, ids in names.items():
            path = HERE / "labelme" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 48), (90, 120, 90)).save(path)
            ids = [*ids, 2] if name == "4.png" else ids
            own = [
                {"label": [*CLASSES, "dent"][i], "points": shapes[i][1], "shape_type": shapes[i][0], "flags": {},
                 "description": "", "group_id": None, "mask": None}
                for i in ids
            ]  # fmt: skip
            if name == "1.png":
                part = np.ones((10, 20), bool)
                part[3:6, 4:9] = False
                own = [
                    {
                        **own[0],
                        "shape_type": "mask",
                        "points": [[5, 10], [24, 19]],
                        "mask": labelme_utils.img_arr_to_b64(part.astype(np.uint8)),
                    }
                ]
            LabelFile().save(
                filename=str(path.with_suffix(".json")), shapes=own, image_path=name, image_height=48, image_width=64,
            )  # fmt: skip


def write_runs() -> None:
    ring = fill(0)
    ring[13:16, 9:14] = False
    code = coco_masks.encode(np.asfortranarray(ring.astype(np.uint8)))
    path = HERE / "coco_runs/1.png"
    path.parent.mkdir(exist_ok=True)
    for i in range(1, 4):
        Image.new("RGB", (64, 48), (90, 120, 90)).save(path.with_name(f"{i}.png"))
    plain = [int(count) for count in np.diff(np.flatnonzero(np.diff(np.r_[0, ring.T.ravel(), 0])), prepend=0)]
    plain.append(48 * 64 - sum(plain))
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(1, 4)],
        "categories": [{"id": 7, "name": "ring"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "iscrowd": 1, "bbox": [5, 10, 20, 10],
             "segmentation": {"size": [48, 64], "counts": code["counts"].decode()}},
            {"id": 2, "image_id": 2, "category_id": 7, "iscrowd": 1, "bbox": [5, 10, 20, 10],
             "segmentation": {"size": [48, 64], "counts": plain}},
        ],
    }  # fmt: skip
    (path.parent / "_annotations.coco.json").write_text(json.dumps(content))


if __name__ == "__main__":
    write_supervision()
    write_labelme()
    write_runs()
