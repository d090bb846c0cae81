"""Published numbers: what the table may hold, which of ours stand beside them, and what is said of the protocols."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from made import BASELINE
from viad.documentation import published_values
from viad.documentation.published_values import (
    compare_with_published,
    format_published_page,
    format_published_rows,
    read_published,
)
from viad.errors import ConfigError
from viad.experiments.committed_results import load_committed_results

ROOT = Path(__file__).parents[1]
LINE = {
    "model": "patchcore", "dataset": "elpv", "category": "mono", "metric": "image_auroc", "value": 0.9, "labels": 0,
    "contamination": 0, "image_size": 224, "backbone": "wide_resnet50_2", "crop": 0.875, "selection": "test",
    "threshold": "", "split": "published", "seeds": 1, "source": "Nobody, nowhere, Table 1", "note": "",
}  # fmt: skip
RUN = {
    **BASELINE, "category": "mono", "model.name": "patchcore", "contamination.ratio": 0.0, "seed": 1,
    "training.selection": "last", "image_auroc": 0.8, "pixel_auroc": None, "aupro_30": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Writes lines like LINE into the table of published values, where it is read from."""

    def write(*lines):
        pd.DataFrame([LINE | line for line in lines]).to_csv(tmp_path / "published.csv", index=False)

    monkeypatch.setattr(published_values, "PUBLISHED_CSV", tmp_path / "published.csv")
    return write


def _runs(*changes):
    """Experiments as the frame of all experiments has them; named by what differs."""
    rows = []
    for change in changes:
        run = RUN | change
        same = {key: change[key] for key in sorted(change) if key not in ("category", "seed", "image_auroc")}
        rows.append(run | {"experiment": f"{same}-s{run['seed']}"})
    return pd.DataFrame(rows)


def _ours(*changes):
    beside = compare_with_published(_runs(*changes))
    assert len(beside) == 1
    return beside.iloc[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "patchcoal"}, r"line 3: model 'patchcoal' is not known. Choose one of .*padim"),
        ({"dataset": "elvp"}, r"line 3: dataset 'elvp' is not known"),
        ({"category": "tile"}, r"line 3: category 'tile' is not known. Choose one of mono, poly, mean\."),
        ({"metric": "accuracy"}, r"metric 'accuracy' is not known"),
        ({"value": 98.1}, r"line 3: value '98.1' is not 0 to 1. Correct it\."),
        ({"value": ""}, r"value '' is not 0 to 1"),
        ({"value": "high"}, r"value 'high' is not 0 to 1"),
        ({"labels": ""}, r"labels '' is not"),
        ({"crop": 224}, r"line 3: crop '224.0' is not 0.01 to 1. Leave it empty where it is unknown\."),
        ({"crop": 0}, r"crop '0.0' is not"),
        ({"contamination": 40}, r"contamination '40' is not"),
        ({"selection": "best"}, r"selection 'best' is not known. Choose one of last, test, validation, nothing\."),
        ({"threshold": "train"}, r"threshold 'train' is not known"),
        ({"source": ""}, r"line 3: no source. Name paper and table"),
    ],
)
def test_a_wrong_line_is_named(table, wrong, message):
    table({}, wrong)
    with pytest.raises(ConfigError, match=message):
        read_published()


def test_a_wrong_column_is_named(table):
    table({"vlaue": 1})
    with pytest.raises(ConfigError, match=r"missing or unknown columns: vlaue. Correct its first line\."):
        read_published()


def test_what_is_unknown_stays_unknown(table):
    table({"crop": "", "image_size": "", "seeds": "", "contamination": "", "backbone": "", "selection": ""})
    line = read_published().iloc[0]
    assert line[["crop", "image_size", "seeds", "contamination"]].isna().all()
    assert line["backbone"] == line["selection"] == line["note"] == ""


def test_ours_are_the_mean_over_seeds(table):
    table({})
    ours = _ours({"image_auroc": 0.80, "seed": 1}, {"image_auroc": 0.86, "seed": 2}, {"category": "poly", "seed": 3})
    assert ours["our value"] == pytest.approx(0.83)
    assert ours["our seeds"] == 2
    assert ours["difference"] == pytest.approx(-0.07)
    assert ours["our image_size"] == 256
    assert ours["our backbone.name"] == "efficientnet_lite0"
    assert ours["our preset"] == "small"


def test_a_mean_over_categories_needs_all_of_them(table):
    table({"category": "mean"})
    mono, poly = {"category": "mono", "image_auroc": 0.9}, {"category": "poly", "image_auroc": 0.7}
    assert _ours(mono, poly)["our value"] == pytest.approx(0.8)
    assert pd.isna(_ours(mono)["our value"])
    both = _ours(mono, poly, mono | {"seed": 2, "image_auroc": 0.1})  # seed 2 lacks a category
    assert (both["our value"], both["our seeds"]) == (pytest.approx(0.8), 1)


def test_labels_distinguish(table):
    table({"labels": 10})
    assert pd.isna(_ours({}, {"supervision.anomalies": 1}, {"supervision.anomalies": "all"})["our value"])
    assert _ours({}, {"supervision.anomalies": "10", "image_auroc": 0.7})["our value"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "other",
    [
        {"shift.name": "brightness"},
        {"contamination.ratio": 0.2},
        {"center_crop": 0.875},
        {"supervision.defects": "crack"},
        {"color": "gray3"},
        {"epochs": 3},
        {"precision": "bfloat16"},
        {"supervision.masks": False},
        {"contamination.source": "natural"},
        {"overrides": "model.small.args.k=1"},
        {"model.name": "padim"},
        {"dataset.name": "elpv_pooled"},
        {"image_auroc": None},
    ],
)
def test_other_conditions_do_not_stand_beside(table, other):
    table({})
    assert pd.isna(_ours({"color": "rgb"} | other)["our value"])


def test_contamination_is_compared_with_contamination(table):
    table({"contamination": 0.091})  # a paper's 10 % of the normals
    ours = _ours({}, {"contamination.ratio": 0.1, "image_auroc": 0.7})
    assert ours["our value"] == pytest.approx(0.7)
    assert "9.1% contamination" in ours["protocol differences"]
    assert "10.0% contamination" in ours["protocol differences"]
    table({"contamination": ""})  # some, nobody knows how much
    assert pd.isna(_ours({}, {"contamination.ratio": 0.1})["our value"])


def test_differences_in_words(table):
    table({})
    assert _ours({})["protocol differences"] == (
        "published: centre crop 0.875, best epoch on test, 224 px, wide_resnet50_2, split: published; "
        "ours: no crop, last epoch, 256 px, efficientnet_lite0, preset small, split: study"
    )
    table({"crop": "", "selection": "", "image_size": "", "backbone": "none", "split": ""})
    assert _ours({})["protocol differences"] == (
        "published: crop not stated, epoch not stated, size not stated, split: not stated; "
        "ours: no crop, last epoch, 256 px, preset small, split: study"
    )


def test_like_protocols_are_called_alike(table):
    table({"crop": 1, "selection": "last"})
    same = {"image_size": 224, "backbone.name": "wide_resnet50_2", "protocol": "official", "preset": "paper"}
    assert _ours(same)["protocol differences"] == ""
    page = format_published_page(_runs(same))
    assert "| patchcore | mono | AUROC | 0 | 0.900 | 0.800 | 1 | -0.100 | alike | Nobody" in page
    assert "The protocols differ" not in page
    assert "further published" not in page


def test_of_several_settings_the_closest_stands_beside(table):
    table({})
    far = {"image_auroc": 0.5}
    near = {"image_size": 224, "backbone.name": "wide_resnet50_2", "preset": "paper", "image_auroc": 0.7}
    ours = _ours(far, far | {"seed": 2}, near)
    assert (ours["our value"], ours["our seeds"]) == (pytest.approx(0.7), 1)


def test_the_page_shows_what_was_run_here_and_counts_the_rest(table):
    table({}, {"model": "padim"}, {"model": "padim", "metric": "pixel_auroc"}, {"model": "cflow"})
    page = format_published_page(_runs({}))
    assert "The protocols differ in 1 of 1" in page
    assert [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")][2:] == ["| patchcore"]
    assert page.endswith(
        "\n3 further published values for 2 models are in [published.csv](published.csv); none was run here.\n"
    )


def test_the_report_lists_what_was_not_run_after_what_was(table):
    table({"model": "padim", "note": "a remark"}, {})
    rows = format_published_rows(_runs({}))
    assert rows["model"].tolist() == ["patchcore", "padim"]
    assert rows["ours"].tolist() == ["0.800", ""]
    assert rows["protocols"][1].startswith("published: centre crop 0.875, best epoch on test, 224 px")
    assert rows["source"][1] == "Nobody, nowhere, Table 1; a remark"


def test_without_experiments_there_is_still_a_page(table):
    table({})
    assert "1 further published values for 1 models" in format_published_page(_runs({}).iloc[:0])


def test_every_published_value_is_of_something_that_exists():
    for line in read_published().to_dict("records"):  # which checks the same, from the other side
        assert (ROOT / f"conf/model/{line['model']}.yaml").is_file()
        dataset = yaml.safe_load((ROOT / f"conf/dataset/{line['dataset']}.yaml").read_text(encoding="utf-8"))
        assert line["category"] in [*dataset["categories"], "mean"]


def test_no_published_value_stands_twice():
    table = read_published()
    assert not table.drop(columns="value").duplicated().any()


def test_the_page_is_up_to_date(monkeypatch):
    monkeypatch.chdir(ROOT)
    experiments = load_committed_results().table
    page = (ROOT / "docs/published.md").read_text(encoding="utf-8")
    assert page == format_published_page(experiments), "write docs/published.md anew"
