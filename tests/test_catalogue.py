"""metrics/catalogue.py: a metric costs its function and its entry, and then stands everywhere."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import many_experiments
from composed import default_params, default_params_text
from viad.comparison.comparison_files import compare_experiments, write_comparison
from viad.documentation.generated_parts import BEGIN_MARKER, END_MARKER
from viad.documentation.metric_tables import format_metrics
from viad.experiments import committed_results
from viad.metrics import catalogue, image
from viad.metrics.catalogue import CATALOGUE, Metric, measured_metrics, metrics_shown
from viad.metrics.measurement import FUNCTION_MODULES, find_function, measure_image_level
from viad.report.contents import collect_contents
from viad.report.page import write_page
from viad.stages import summarize

ROOT = Path(__file__).parents[1]
TOY = Metric("toy", "Toy", "image", "the highest score, as a toy", digits=2)


def highest_score(scores, _labels):
    return float(scores.max())


@pytest.fixture
def _toy(monkeypatch):
    monkeypatch.setattr(image, "toy", highest_score, raising=False)
    monkeypatch.setattr(catalogue, "CATALOGUE", (*CATALOGUE, TOY))


@pytest.mark.parametrize("metric", measured_metrics(), ids=lambda metric: metric.key)
def test_every_measured_metric_has_a_function_with_a_docstring(metric):
    assert find_function(metric.level, metric.key).__doc__


def test_keys_and_labels_name_one_metric_each():
    assert len({metric.key for metric in CATALOGUE}) == len({metric.label for metric in CATALOGUE}) == len(CATALOGUE)


def test_levels_have_a_module_and_only_image_level_metrics_an_interval():
    assert {metric.level for metric in CATALOGUE} == {*FUNCTION_MODULES, "cost", "training"}
    assert {metric.level for metric in CATALOGUE if metric.interval} == {"image"}


def test_aupimo_is_shown_wherever_aupro_is():
    shown = {metric.key: metric.shown for metric in CATALOGUE}
    assert set(shown["aupimo"]) >= set(shown["aupro_30"])


def test_the_page_of_metrics_is_up_to_date():
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    parts = [part.split(END_MARKER)[0].lstrip("\n") for part in page.split(BEGIN_MARKER)[1:]]
    assert parts == format_metrics(), "run `viad docs`"


@pytest.mark.usefixtures("_toy")
def test_a_new_metric_stands_in_the_page_of_metrics():
    assert "| `toy` | Toy | the highest score, as a toy | higher |  |" in format_metrics()[0]


@pytest.mark.usefixtures("_toy")
def test_a_new_metric_stands_in_the_summary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = default_params()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    dataset, highest = params["dataset"]["name"], []
    for number, category in enumerate(params["dataset"]["categories"]):
        tested = many_experiments.scores(20, 20, 1, np.random.default_rng(number))
        scores, labels, defects = (tested[column].to_numpy() for column in ("score", "label", "defect"))
        highest.append(scores.max())
        quality = measure_image_level(scores, labels, defects, 5, np.random.default_rng(0))
        files = {"": quality, "training/": {"train_seconds": 1.0, "selection": "last"}, "cost/": {"parameters": 3}}
        for folder, content in files.items():
            path = tmp_path / f"metrics/{dataset}/{folder}{category}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        picture = tmp_path / f"plots/{dataset}/{category}/heatmaps.jpg"
        picture.parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(picture)
    summarize.main()
    summary = json.loads((tmp_path / "metrics/summary.json").read_text())
    assert summary["toy"] == pytest.approx(np.mean(highest), abs=1e-6)


@pytest.fixture
def repository(tmp_path):
    from dvc.repo import Repo

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "docs").mkdir()
    shutil.copyfile(ROOT / "docs/published.csv", tmp_path / "docs/published.csv")
    (tmp_path / "params.yaml").write_text(default_params_text())
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path)).close()
    return tmp_path


@pytest.mark.usefixtures("_toy")
def test_a_new_metric_stands_in_comparison_page_and_kept_results(repository, monkeypatch):
    monkeypatch.chdir(repository)
    many_experiments.write(repository, 3, default_params())
    experiments = committed_results.load_all_results()
    highest = experiments.table["toy"]
    assert highest.notna().all()
    text = write_comparison(compare_experiments(experiments), repository / "comparison")
    assert "| Toy |" in text
    assert "toy" in (repository / "comparison/means.csv").read_text().splitlines()[0].split(",")
    page = collect_contents(experiments, [], repository / "pictures")
    column = next(one for one in page["columns"] if one["field"] == "toy")
    assert (column["title"], column["hint"], column["digits"]) == ("Toy", "the highest score, as a toy", 2)
    assert sorted(row["toy"] for row in page["experiments"]) == pytest.approx(sorted(highest))
    write_page(page, repository / "report")
    assert '"field":"toy"' in (repository / "report/data.js").read_text()
    committed_results.collect_results()
    assert committed_results.load_committed_results().table["toy"].tolist() == pytest.approx(highest.tolist(), rel=1e-5)


def test_every_place_shows_something():
    for place in ("results", "compare", "page", "models", "datasets", "recommendation"):
        assert metrics_shown(place), place
