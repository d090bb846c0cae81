"""What the VS Code extension "DVC by lakeFS" shows of this repository, by its own rules (see vscode_extension.py)."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
import yaml
from PIL import Image

import plot_pictures
import vscode_extension as extension
from composed import list_committed, read_committed
from tiny_runs import run_tiny_experiment
from viad.errors import ConfigError
from viad.training.curve_folders import create_curve_folders

ROOT = Path(__file__).parents[1]
# On a fresh clone: 18 metrics, 60 parameters, 31 hashes (18 of them data, which each category has for itself), and four
# of the extension's own.
MOST_COLUMNS = 113
TILE_WIDTH = 240  # pixels of a plot in a window that is shared with the editor
SCREEN = (1400, 800)  # pixels that an enlarged plot may use
SUMMARY, TIMING = "metrics:metrics/summary.json:", "metrics:metrics/timing.json:"
# What docs/vscode.md recommends for Select Columns to Display First.
RECOMMENDED = (
    f"{SUMMARY}image_auroc", f"{SUMMARY}pg2", f"{SUMMARY}pb2", "params:params.yaml:model.name",
    "params:params.yaml:dataset.name", "params:params.yaml:image_size",
)  # fmt: skip
CURVES = ("ROC", "Precision-recall", "Scores")
SETS = {  # categories by dataset
    "synthetic": ["texture"],
    "elpv": ["mono", "poly"],
    "parts": ["01", "02"],
    "mvtec_ad": list(plot_pictures.CATEGORIES),
}
pytestmark = pytest.mark.vscode


class Seen:
    """What the extension reads in a workspace."""

    def __init__(self, project):
        self.shown = json.loads(project.stdout("dvc", "exp", "show", "--json"))
        self.plots = _diff_plots(project)
        self.rows = extension.list_rows(self.shown)
        self.order = extension.order_columns(extension.collect_columns(self.shown))


@pytest.fixture(scope="module")
def seen(new_project, tmp_path_factory):
    """What is read after a run on each dataset: a real one on synthetic, copies of its results on the others."""
    project = new_project(run_tiny_experiment)
    _import_parts(project, tmp_path_factory.mktemp("images"))
    seen = {"synthetic": Seen(project)}
    (project.folder / "dvc.lock").unlink()  # DVC adds the heat maps of the locked run to those in the workspace
    for dataset, categories in list(SETS.items())[1:]:
        project.run("viad", "compose", f"dataset={dataset}", "image_size=64")
        params = yaml.safe_load((project.folder / "params.yaml").read_text())
        assert params["dataset"]["categories"] == categories
        for category in categories:
            _copy_results(project.folder, dataset, category)
        project.run("python", "src/stage.py", "summarize")
        seen[dataset] = Seen(project)
    yield seen
    shutil.rmtree(project.folder)


def _diff_plots(project):
    return json.loads(project.stdout("dvc", "plots", "diff", "--json", "--split", "-o", ".dvc/tmp/plots"))


def _import_parts(project, folder):
    """A user's own images, in categories that are named by numbers."""
    rng = np.random.default_rng(0)
    for category in SETS["parts"]:
        for kind, count in (("good", 12), ("scratch", 4)):
            (folder / category / kind).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                    folder / category / kind / f"{i}.png"
                )
    project.run("viad", "import", str(folder), "--name", "parts")


def _copy_results(folder, dataset, category):
    """Give a category the results of the tiny run, as its stages would have written them, and a training curve."""
    for room in ("metrics", "plots"):
        for file in sorted((folder / room / "synthetic").rglob("*")):
            path = file.relative_to(folder / room / "synthetic").as_posix()
            if file.is_file() and "texture" in path:
                copy = folder / room / dataset / path.replace("texture", category)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if file.suffix == ".csv" and room == "plots":
                    pd.read_csv(file, dtype=str).assign(category=category).to_csv(copy, index=False)
                else:
                    shutil.copyfile(file, copy)
    curve = folder / "plots" / dataset / "training" / category / "loss.tsv"
    curve.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text("step\tloss\n1\t0.7\n2\t0.4\n")


@pytest.fixture(scope="module")
def clone(new_project):
    """The table of a fresh clone: the last commit, and nothing that it leaves to DVC's cache."""
    project = new_project()
    for file in ["dvc.lock", "params.yaml", *list_committed("metrics"), *list_committed("plots")]:
        if not file.endswith(".jpg"):
            (project.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (project.folder / file).write_text(read_committed(file))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "the committed run")
    shown = json.loads(project.stdout("dvc", "exp", "show", "--json"))
    yield extension.order_columns(extension.collect_columns(shown))
    shutil.rmtree(project.folder)


@pytest.mark.pipeline
def test_a_fresh_clone_has_few_columns_and_the_summary_comes_first(clone):
    first = clone.index(extension.CREATED) + 1
    assert all(column.startswith(SUMMARY) for column in clone[first : first + 6]), clone[first : first + 6]
    assert len(clone) <= MOST_COLUMNS, "\n".join(clone)


@pytest.mark.pipeline
@pytest.mark.parametrize("dataset", SETS)
def test_the_table_shows_metrics_first_and_only_conditions(seen, dataset):
    order = seen[dataset].order
    metrics = [column for column in order if column.startswith("metrics:")]
    assert order[4 : 4 + len(metrics)] == metrics
    files = [column.rpartition(":")[0] + ":" for column in metrics]
    assert sorted(set(files), key=files.index) == [SUMMARY, TIMING]
    assert files.count(SUMMARY) >= 6
    described = [c for c in order if re.match(r"params:params\.yaml:dataset\.(about|counts|attribution)\b", c)]
    assert not described, "what describes a dataset is no condition of an experiment"
    assert set(RECOMMENDED) <= set(order)


@pytest.mark.pipeline
def test_pickers_say_model_dataset_and_size_after_the_recommended_columns(seen):
    columns = extension.collect_columns(seen["mvtec_ad"].shown)
    order = extension.order_columns(columns, RECOMMENDED)
    assert order[3:9] == list(RECOMMENDED)
    texts = [extension.describe_experiment(row, order) for row in seen["mvtec_ad"].rows]
    assert texts[0].startswith("name:patchcore, name:mvtec_ad, image_size:64, image_auroc:0.")
    assert [text.rpartition(", ")[2].partition(":")[0] for text in texts] == ["pb2"] * len(texts)
    assert any(text.startswith("name:patchcore, name:synthetic, image_size:64, ") for text in texts)


def test_the_page_recommends_these_columns():
    page = (ROOT / "docs/vscode.md").read_text(encoding="utf-8")
    for column in RECOMMENDED:
        assert f"`{column.split(':')[-1]}`" in page


@pytest.mark.pipeline
def test_dvc_prints_what_the_extension_asks_for(seen, new_project):
    workspace = seen["synthetic"].rows[0]
    assert workspace["metrics"]["metrics/summary.json"]["data"]["image_auroc"] > 0
    assert workspace["params"]["params.yaml"]["data"]["model"]["name"] == "patchcore"
    project = new_project(run_tiny_experiment)
    json.loads(project.stdout("dvc", "data", "status", "--json"))
    shutil.rmtree(project.folder)


@pytest.mark.pipeline
@pytest.mark.parametrize("dataset", SETS)
def test_each_category_has_its_own_heat_maps(seen, dataset):
    expected = {f"plots/heatmaps/category_{category}.jpg": 1 for category in SETS[dataset]}
    assert extension.list_images(seen[dataset].plots) == expected


@pytest.mark.pipeline
@pytest.mark.parametrize("dataset", SETS)
def test_plots_have_data_titles_that_fit_and_no_errors(seen, dataset):
    plots = seen[dataset].plots
    assert extension.list_errors(plots, "workspace") == {}
    templates = extension.collect_templates(plots)
    trained = {} if dataset == "synthetic" else {f"plots/{dataset}/training/{c}/loss.tsv": c for c in SETS[dataset]}
    assert templates.keys() == {*CURVES, *trained}  # PatchCore, the model of the real run, has no training curve
    for name, plot in templates.items():
        spec = extension.fill_template(plot, ["workspace"], width=TILE_WIDTH, height=150, focused=False)
        assert "<DVC" not in json.dumps(spec)
        assert extension.is_multi_view(spec) == (name in CURVES)
        assert len(spec["data"]["values"]) == len(plot["anchor_definitions"]["<DVC_METRIC_DATA>"]) > 0
        title = spec["title"]["text"]
        assert title.endswith(f"/{trained[name]}/loss.tsv" if name in trained else title.strip("…"))
        if name in CURVES:
            assert {row["category"] for row in spec["data"]["values"]} == set(SETS[dataset])
            assert not title.startswith("…")


@pytest.mark.pipeline
def test_categories_without_curves_are_no_errors_once_a_stage_has_started(new_project):
    project = new_project(run_tiny_experiment)
    project.run("viad", "compose", "dataset=visa")
    missing = extension.list_errors(_diff_plots(project), "workspace")
    assert missing["plots/visa/training/pcb1"] == "PlotMetricTypeError", "DVC has changed: drop curve_folders.py"
    environment = project.env | {"DVC_STAGE": "raw"}
    command = ["python", "src/stage.py", "raw"]  # it fails: this dataset is to be downloaded
    subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, check=False)
    plots = _diff_plots(project)
    assert extension.list_errors(plots, "workspace") == {}
    assert not any("visa" in name for name in extension.collect_templates(plots))
    shutil.rmtree(project.folder)


@pytest.mark.parametrize(
    "dataset", [{"name": "set", "categories": ["../../../up"]}, {"name": "../up", "categories": ["a"]}]
)
def test_no_curve_folder_lies_outside_of_the_workspace(tmp_path, monkeypatch, dataset):
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    Path("params.yaml").write_text(yaml.safe_dump({"dataset": dataset}))
    with pytest.raises(ConfigError, match=r"the name '\.\./"):
        create_curve_folders()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "params.yaml"]


def test_folders_that_dvc_lock_lists_are_left_to_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("dataset: {name: tiles, categories: [a, ab, '01']}\n")
    Path("dvc.lock").write_text("outs:\n- path: plots/tiles/training/ab\n  hash: md5\n")
    create_curve_folders()
    assert sorted(path.name for path in Path("plots/tiles/training").iterdir()) == ["01", "a"]
    create_curve_folders()


def test_numbers_as_file_names_are_steps_of_one_image():
    def images(*names):
        output = {"type": "image", "revisions": ["workspace"]}
        return extension.list_images({"data": {f"plots/heatmaps/{name}.jpg": [output] for name in names}})

    assert images("01", "02") == {"plots/heatmaps": 2}
    assert len(images("category_01", "category_02")) == 2


def test_columns_are_collected_as_the_extension_does():
    deep = {"a": {"b": {"c": {"d": {"e.f": 1}}}}, "long_name_of_a_number": 2}
    first = {"params": {"p": {"data": deep}}, "deps": {"src/a.py": {}, "src/b.py": {}}}
    second = {"metrics": {"m": {"data": {"x": 3}}}, "deps": {"src/c.py": {}, "src/b.py": {}, "src/d.py": {}}}
    shown = [{"data": first}, {"error": {"msg": ""}, "experiments": [{"revs": [{"data": second}]}]}]
    columns = extension.collect_columns(shown)
    params = ["params:p:a%2Eb.c.d.e%2Ef", "params:p:long_name_of_a_number"]
    # It stops at the first dependency that it knows: src/d.py has no column.
    assert columns == ["Created", *params, "deps:src/a.py", "deps:src/b.py", "metrics:m:x", "deps:src/c.py"]
    deps = ["deps:src/a.py", "deps:src/b.py", "deps:src/c.py"]
    order = ["id", "branch", "commit", "Created", "metrics:m:x", *params, *deps]
    assert extension.order_columns(columns) == order
    assert extension.order_columns(columns, params[1:])[3:5] == [params[1], "Created"]
    # A name that the table shortens by joining its groups is not found again.
    assert extension.describe_experiment(first, order) == "e.f:-, ...ame_of_a_number:2, x:-"
    assert extension.describe_experiment(second, order).endswith("x:3")


@pytest.mark.parametrize(
    ("width", "title"), [(400, "plots/tiles/training/lid/loss.tsv"), (230, "…/training/lid/loss.tsv"), (60, "…s.tsv")]
)
def test_titles_keep_their_end(width, title):
    cut = extension.cut_title("plots/tiles/training/lid/loss.tsv", width)
    assert cut == title
    assert len(cut) <= width / 10


@pytest.mark.parametrize("count", [1, 3, 15])
@pytest.mark.parametrize("name", CURVES)
def test_an_enlarged_plot_can_be_read(count, name):
    spec = plot_pictures.fill_enlarged(plot_pictures.make_plots(count), name)
    picture = plot_pictures.draw([spec])
    scale = min(1, *(screen / size for screen, size in zip(SCREEN, picture.size, strict=True)))
    assert spec["spec"]["width"] * scale >= 90, "panels of a thumb's width"
    texts = _texts(spec)
    assert not [text for text in texts if "…" in text or "<" in text]
    experiments = len(plot_pictures.EXPERIMENTS)
    for category in plot_pictures.CATEGORIES[:count]:
        assert texts.count(category) == (experiments if name == "Scores" else 1)
    for experiment in plot_pictures.EXPERIMENTS:
        assert texts.count(experiment) == (count if name == "Scores" else 1)
    if name == "Scores":  # a category's experiments stand side by side
        panels = [text for text in texts if text in plot_pictures.CATEGORIES]
        assert panels == [c for c in plot_pictures.CATEGORIES[:count] for _ in range(experiments)]


@pytest.mark.parametrize("count", [1, 3, 15])
def test_training_curves_can_be_read(count):
    specs = plot_pictures.fill_training(plot_pictures.make_plots(count))
    assert len(specs) == count
    picture = plot_pictures.draw(specs)
    colors = {color for _, color in picture.getcolors(maxcolors=1 << 20)}
    for color in extension.COLORS[:3]:
        assert tuple(bytes.fromhex(color[1:])) in colors
    for category, spec in zip(plot_pictures.CATEGORIES, specs, strict=False):
        texts = _texts(spec)
        assert any(text.endswith(f"/{category}/loss.tsv") for text in texts)
        assert {"epoch", "loss", "20"} <= set(texts)


@pytest.mark.parametrize("name", plot_pictures.make_documented())
def test_pictures_of_the_docs_are_current(name):
    picture = Image.open(ROOT / f"docs/vscode/{name}.png")
    digest = plot_pictures.compute_digest(plot_pictures.make_documented()[name])
    assert picture.text[plot_pictures.DIGEST_KEY] == digest, "run `make plot-pictures`"


def _texts(spec):
    """The texts of a plot, in the order in which they are drawn."""
    svg = vl_convert.vegalite_to_svg(spec, vl_version=plot_pictures.VEGA_LITE, config=extension.VEGA_CONFIG)
    return [re.sub(r"&lt;", "<", text) for text in re.findall(r"<(?:text|tspan)[^>]*>([^<]+)</", svg)]
