"""The resize stage against a plain Pillow loop: the same JPEGs of one megapixel, one run.

    make bench                                   # 300 images
    python bench/resize.py --images 20000        # some minutes; memory stays as it is

Times are those of this machine now: read the ratio.
"""

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from viad.datasets.imported import TABLE_CSV
from viad.importing.importer import TABLE_COLUMNS
from viad.stages import resize

SIDE, SIZE = 1024, 256
MOST_PLAIN = 300  # images that the plain loop is timed on


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        raw = _images(Path("data/raw/bench"), count)
        start = time.perf_counter()
        some = min(count, MOST_PLAIN)
        _plain(raw, Path("plain"), some)
        plain = (time.perf_counter() - start) / some
        _params()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        resize.main("all")
        stage = (time.perf_counter() - start) / count
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        os.chdir("/")
    print(f"\n| {count} images of {SIDE}x{SIDE} to {SIZE}x{SIZE} | images/s |\n| --- | ---: |")
    print(f"| plain Pillow loop | {1 / plain:.0f} |\n| resize stage, {os.cpu_count()} cores | {1 / stage:.0f} |")
    print(f"\n{plain / stage:.2f} times as fast; memory grew by {grown:.0f} MB")


def _images(folder: Path, count: int) -> Path:
    """Some noisy pictures under many names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 8 % 200
    for i in range(min(count, 8)):
        noisy = smooth[:, :, None] + rng.integers(0, 40, (SIDE, SIDE, 3))
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{i}.jpg", quality=90)
    for i in range(8, count):
        (folder / f"{i}.jpg").hardlink_to(folder / f"{i % 8}.jpg")
    with (folder / TABLE_CSV).open("w", newline="") as file:
        writer = csv.DictWriter(file, TABLE_COLUMNS)
        writer.writeheader()
        for i in range(count):
            label = int(i % 10 == 0)
            row = dict.fromkeys(TABLE_COLUMNS, "") | {
                "sample": i,
                "image": f"{i}.jpg",
                "label": label,
                "category": "all",
            }
            writer.writerow(row | {"defect": "dent" if label else ""})
    return folder


def _plain(raw: Path, out: Path, count: int) -> None:
    out.mkdir()
    for i in range(count):
        with Image.open(raw / f"{i}.jpg") as image:
            image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(out / f"{i}.png")


def _params() -> None:
    split = {"seed": 0, "test_normals": 0.2, "val_normals": 0.1, "reserve_anomalies": 0.5, "reserve_defects": []}
    dataset = {"name": "bench", "code": "src/viad/datasets/imported.py", "options": {}, "split": split}
    params = {
        "dataset": dataset,
        "image_size": SIZE,
        "color": "rgb",
        "aspect": "squash",
        "center_crop": 1,
        "protocol": "study",
    }
    Path("params.yaml").write_text(yaml.safe_dump(params | {"audit": {"exclude": "none"}}))


if __name__ == "__main__":
    main()
