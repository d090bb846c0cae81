"""Pictures of the plots as the VS Code extension draws them, from made data: `python tests/plot_pictures.py FOLDER`.

`make plot-pictures` writes those of docs/vscode.md.
"""

import hashlib
import io
import json
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import vl_convert
import yaml
from dvc.render.convert import to_json
from dvc.render.match import match_defs_renderers
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from viad.plots.curves import write_curves
from vscode_extension import VEGA_CONFIG, fill_template

ROOT = Path(__file__).parents[1]
VEGA_LITE = "5.14"  # the extension's
DATASET = "mvtec_ad"
# By name, the distance of anomalous scores from normal ones in standard deviations.
EXPERIMENTS = {
    f"msflow-{DATASET}-256-s3341": 2.4,
    f"simplenet-{DATASET}-256-s3341": 1.6,
    f"stfpm-{DATASET}-256-s3341": 1,
}
CATEGORIES = (
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
    "toothbrush", "transistor", "wood", "zipper",
)  # fmt: skip
CURVES = {"ROC": "roc.csv", "Precision-recall": "precision_recall.csv", "Scores": "score_histogram.csv"}
TILE = (440, 244)  # width and height in pixels of a tile, two in a row
TILES_IN_A_ROW = 3
EPOCHS = 20
DIGEST_KEY = "spec"


def read_definitions():
    """The plots of dvc.yaml by name; folders by the name that the dataset gives them."""
    definitions = {}
    for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        name, properties = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        definitions[name.replace("${dataset.name}", DATASET)] = properties
    return definitions


@cache
def make_plots(count):
    """`dvc plots diff --json --split` of three experiments on `count` categories, made by DVC's own functions."""
    definitions, revisions = read_definitions(), {}
    training = definitions.pop(f"plots/{DATASET}/training")
    for category in CATEGORIES[:count]:
        definitions[f"plots/{DATASET}/training/{category}/loss.tsv"] = training
    for experiment in EXPERIMENTS:
        files = _make_curves(experiment, count) | _make_losses(experiment, count)
        revisions[experiment] = {
            "definitions": {"data": {"dvc.yaml": {"data": {k: v for k, v in definitions.items() if v}}}},
            "sources": {"data": {name: {"data": rows} for name, rows in files.items()}},
        }
    rendered = match_defs_renderers(revisions, templates_dir=ROOT / ".dvc/plots")
    return {"data": {one.renderer.name: to_json(one.renderer, split=True) for one in rendered}}


def _make_curves(experiment, count):
    tables = {f"plots/{file}": [] for file in CURVES.values()}
    for number, category in enumerate(CATEGORIES[:count]):
        rng = np.random.default_rng([number, *experiment.encode()])
        labels = np.repeat([0, 1], [150, 60])
        scores = rng.normal(size=210) + labels * EXPERIMENTS[experiment] * rng.uniform(0.8, 1.6)
        with TemporaryDirectory() as folder:
            write_curves(pd.DataFrame({"label": labels, "score": scores}), category, Path(folder))
            for file in CURVES.values():
                table = pd.read_csv(Path(folder) / file, dtype=str)
                tables[f"plots/{file}"] += table.to_dict("records")
    return tables


def _make_losses(experiment, count):
    files = {}
    for number, category in enumerate(CATEGORIES[:count]):
        rng = np.random.default_rng([number, *experiment.encode()])
        losses = np.exp(-np.arange(EPOCHS) / rng.uniform(3, 9)) * rng.uniform(0.6, 1) + rng.uniform(0, 0.05, EPOCHS)
        rows = [{"step": str(step), "loss": f"{loss:.4f}"} for step, loss in enumerate(losses)]
        files[f"plots/{DATASET}/training/{category}/loss.tsv"] = rows
    return files


def fill_enlarged(plots, name):
    """The spec of a plot that the user has enlarged, with its legend."""
    return fill_template(plots["data"][name][0], list(EXPERIMENTS), width=1300, height=700, focused=True)


def fill_training(plots):
    """The specs of the training curves, each on a tile of its own."""
    width, height = TILE
    names = [name for name in plots["data"] if "/training/" in name]
    filled = [fill_template(plots["data"][name][0], list(EXPERIMENTS), width=width, height=height, focused=False)
              for name in names]  # fmt: skip
    size = {"width": width, "height": height, "autosize": {"type": "fit", "contains": "padding"}}
    return [spec | size for spec in filled]


def draw(specs):
    """A picture of one spec, or of several as tiles."""
    tiles = [_draw(spec) for spec in specs]
    columns = min(len(tiles), TILES_IN_A_ROW)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * columns, height * -(-len(tiles) // columns)), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (width * (number % columns), height * (number // columns)))
    return sheet


def _draw(spec):
    png = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, config=VEGA_CONFIG, scale=1)
    return Image.open(io.BytesIO(png)).convert("RGB")


def make_documented():
    """The specs of each picture of docs/vscode.md, by its name."""
    plots = make_plots(3)
    enlarged = {name: [fill_enlarged(plots, plot)] for name, plot in (("roc", "ROC"), ("scores", "Scores"))}
    return enlarged | {"training": fill_training(plots)}


def compute_digest(specs):
    """What a picture was drawn from, as its file says."""
    return hashlib.sha256(json.dumps([VEGA_CONFIG, specs], sort_keys=True).encode()).hexdigest()


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, specs in make_documented().items():
        note = PngInfo()
        note.add_text(DIGEST_KEY, compute_digest(specs))
        draw(specs).quantize(64).save(folder / f"{name}.png", optimize=True, pnginfo=note)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
