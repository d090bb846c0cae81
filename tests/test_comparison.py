"""Comparisons: what is set beside what, effects of conditions, caveats, recommendations, and how they are written."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import BASELINE as BASELINE_ROW
from made import Made
from viad.comparison import comparison_tables as tables
from viad.comparison.caveats import CAVEATS, find_caveats
from viad.comparison.comparison_files import compare_experiments, format_readable, write_comparison
from viad.comparison.condition_axes import AXES, BASELINE, describe_conditions, prepare_experiments, sort_axis_values
from viad.errors import DataError
from viad.experiments.conditions import format_baselines
from viad.experiments.experiment_tables import Experiments, list_table_columns

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_conditions_in_words():
    baseline = format_baselines()
    assert describe_conditions(baseline) == describe_conditions({}) == BASELINE == "baseline"
    shifted = baseline | {"shift.name": "brightness", "shift.severity": "3", "contamination.ratio": "0.2"}
    assert describe_conditions(shifted) == "brightness 3, contamination 0.2"
    assert describe_conditions(baseline | {"center_crop": "0.875", "epochs": "3"}) == "centre crop 0.875, 3 epochs"


def test_values_of_an_axis_are_ordered_by_size_with_words_after_them():
    assert sort_axis_values(["all", "10", "2", "0.5"]) == ["0.5", "2", "10", "all"]
    assert sort_axis_values(["same", "none", ""]) == ["none", "same", ""]


def test_every_axis_is_a_column_of_the_prepared_table():
    table = prepare_experiments(
        pd.DataFrame([BASELINE_ROW | {"model.name": "a", "experiment": "a", "category": "c"}]).reindex(
            columns=list_table_columns()
        )
    )
    assert {axis.column for axis in AXES.values()} <= set(table.columns)
    assert table["condition"].tolist() == [BASELINE]


def test_numbers_from_a_table_with_gaps_and_from_params_are_the_same_condition():
    rows = [
        BASELINE_ROW | {"image_size": size, "contamination.ratio": ratio} for size, ratio in ((256, 0), (256.0, 0.0))
    ]
    table = prepare_experiments(pd.DataFrame(rows).astype(object).reindex(columns=list_table_columns()))
    assert table["image_size"].tolist() == ["256", "256"]
    assert table["contamination.ratio"].tolist() == ["0", "0"]


def test_means_have_the_spread_of_categories_and_that_of_seeds():
    made = Made()
    for seed in (1, 2):
        made.add("padim", skill=1, seed=seed)
    table = pd.DataFrame(made.rows)
    table["image_auroc"] = [0.8, 0.6, 0.9, 0.7]  # mono, poly under seed 1; then under seed 2
    row = tables.average_runs(prepare_experiments(table.reindex(columns=list_table_columns()))).iloc[0]
    assert row["image_auroc"] == pytest.approx(0.75)
    assert row["image_auroc_categories"] == pytest.approx(np.std([0.85, 0.65], ddof=1))
    assert row["image_auroc_seeds"] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert (row["categories"], row["seeds"]) == (2, 2)


def test_only_equal_conditions_are_compared_and_the_better_comes_first():
    made = Made()
    made.add("padim", skill=2)
    made.add("stfpm", skill=0.3)
    made.add("dfm", skill=3, contamination__ratio=0.2)
    apart = made.compared()["differences"]
    assert apart[["better", "worse"]].to_numpy().tolist() == [["padim", "stfpm"]]
    row = apart.iloc[0]
    assert row["significant"]
    assert row["low"] < row["difference"] < row["high"]
    values = [r["image_auroc"] for r in made.rows]
    assert row["difference"] == pytest.approx(np.mean(values[:2]) - np.mean(values[2:4]))


def test_experiments_without_scores_have_no_difference_but_a_mean():
    made = Made()
    made.add("padim", skill=2)
    name = made.add("stfpm", skill=1)
    for table in made.scores.values():
        del table[name]
    compared = made.compared()
    assert compared["differences"].empty
    assert set(compared["means"]["detector"]) == {"padim", "stfpm"}
    assert "without image scores for a test: stfpm" in compared["recommendations"]["words"].iloc[0]


@pytest.mark.parametrize(
    ("axis", "changes", "baseline", "value"),
    [
        ("input_size", {"image_size": 512}, "256", "512"),
        ("contamination", {"contamination__ratio": 0.2}, "0", "0.2"),
        ("shift", {"shift__name": "noise", "shift__severity": 4}, "0", "4"),
        ("validation", {"validation__name": "normal"}, "none", "normal"),
        ("epochs", {"epochs": 24}, "", "24"),
        ("crop", {"center_crop": 0.875}, "1", "0.875"),
        ("overrides", {"overrides": "model.small.args.k=1"}, "", "model.small.args.k=1"),
        ("aspect", {"aspect": "pad"}, "squash", "pad"),
        ("protocol", {"protocol": "official"}, "study", "official"),
        ("precision", {"precision": "bfloat16"}, "float32", "bfloat16"),
        ("excluded", {"audit__exclude": "duplicates"}, "none", "duplicates"),
        ("masks", {"supervision__masks": False}, "True", "False"),
        ("color", {"color": "gray1"}, "rgb", "gray1"),
    ],
)
def test_an_effect_is_the_change_from_the_baseline_with_all_else_held(axis, changes, baseline, value):
    made = Made()
    made.add("padim", skill=2)
    made.add("padim", skill=0.5, **changes)
    made.add("dfm", skill=0.1, **changes)  # has no baseline
    effects = made.compared()["effects"]
    found = effects[(effects["axis"] == axis) & (effects["defect"] == "")]
    assert found[["detector", "baseline", "value"]].to_numpy().tolist() == [["padim", baseline, value]]
    values = [row["image_auroc"] for row in made.rows]
    assert found["difference"].iloc[0] == pytest.approx(np.mean(values[2:4]) - np.mean(values[:2]))
    assert set(effects["axis"]) == {axis}


def test_the_input_size_is_compared_by_kind_of_defect_too():
    made = Made()
    made.add("padim", skill=1)
    made.add("padim", skill=2, image_size=512)
    effects = made.compared()["effects"]
    assert sorted(effects["defect"]) == ["", "break", "crack"]


def test_labels_are_compared_with_the_fewest():
    made = Made()
    for labels, skill in ((1, 0.5), (10, 1.5), ("all", 2)):
        made.add("devnet", skill=skill, supervision__anomalies=labels, training__learning_type="supervised")
    effects = made.compared()["effects"]
    assert effects[["baseline", "value"]].to_numpy().tolist() == [["1", "10"], ["1", "all"]]
    assert set(effects["detector"]) == {"devnet"}


def test_the_best_epoch_on_test_is_played_afterwards_by_category():
    made = Made()
    made.add("simplenet", skill=1)
    made.add("simplenet", skill=3, epochs=2, training__epochs=2)
    made.add("simplenet", skill=0.2, epochs=8, training__epochs=8)
    row = made.compared()["best_on_test"].iloc[0]
    assert row["epochs"] == "2, 4, 8"
    assert row["chosen"] == "mono 2, poly 2"
    values = [r["image_auroc"] for r in made.rows]
    assert row["difference"] == pytest.approx(np.mean(values[2:4]) - np.mean(values[4:6]))  # against the longest run
    assert row["difference"] > 0


def test_epochs_that_validation_chose_are_no_choice_on_test():
    made = Made()
    for number in (2, 3, 4):
        made.add("simplenet", skill=2, epochs=number, training__epochs=number, training__selection="validation")
    assert made.compared()["best_on_test"].empty


def test_each_category_and_seed_has_a_choice_of_its_own():
    made = Made()
    for seed, number in ((1, 2), (1, 4), (2, 8)):  # no seed had three
        made.add("simplenet", skill=2, seed=seed, epochs=number, training__epochs=number)
    assert made.compared()["best_on_test"].empty


def test_domains_are_measured_by_themselves():
    made = Made()
    made.add("padim", skill=2, categories=("mono",))
    made.scores["elpv", "mono"]["domain"] = np.where(np.arange(120) % 2, "exp1", "exp4")
    made.rows[0]["by_domain"] = json.dumps({"exp1": {"image_auroc": 0.9, "false_positive_rate": 0.1}, "exp4": {}})
    found = made.compared()["domains"]
    assert found["domain"].tolist() == ["exp1", "exp4"]
    assert found["low"].notna().all()
    assert found["false_positive_rate"].tolist()[0] == 0.1


def test_speed_decides_between_detectors_without_a_significant_difference():
    made = Made()
    made.add("padim", skill=2.4, latency_p50_ms=10.0)
    made.add("dfm", skill=2.1, latency_p50_ms=80.0)
    made.add("stfpm", skill=0.1)
    words = made.compared()["recommendations"]["words"].iloc[0]
    assert "No significant difference on these images" in words
    assert "Significantly lower: stfpm" in words
    assert "Take padim: no significant difference from the best, and faster, 10 ms per image against 80" in words


def test_times_that_differ_by_little_do_not_decide():
    made = Made()
    made.add("padim", skill=2.4, latency_p50_ms=45.0)
    made.add("dfm", skill=2.1, latency_p50_ms=80.0)
    words = made.compared()["recommendations"]["words"].iloc[0]
    assert "Take dfm: none of these is clearly faster, 80 ms per image" in words


def test_ranks_need_three_detectors_on_two_sets_and_take_the_complete_part():
    made = Made()
    for model, skill in (("padim", 2), ("dfm", 1)):
        made.add(model, skill=skill)
    assert made.compared()["ranks"].empty
    made.add("stfpm", skill=0.1)
    made.add("msflow", skill=3, categories=("mono",))
    ranks = made.compared()["ranks"]
    assert ranks["detector"].tolist() == ["padim", "dfm", "stfpm"]
    assert ranks["test_sets"].iloc[0] == "elpv mono, elpv poly"


def test_ranks_count_images_once_that_two_datasets_cut_differently():
    made = Made()
    for model, skill in (("padim", 2), ("dfm", 1), ("stfpm", 0.1)):
        for name in ("elpv", "elpv_pooled"):
            made.add(model, skill=skill, dataset__name=name, dataset__code="src/viad/datasets/elpv.py")
    made.add("msflow", skill=3, dataset__name="elpv", dataset__code="src/viad/datasets/elpv.py")
    assert made.compared()["ranks"]["test_sets"].iloc[0] == "elpv mono, elpv poly"


def _caveats(**changes):
    row = BASELINE_ROW | {"model.name": "a", "experiment": "a-s3341", "category": "c"}
    row |= {key.replace("__", "."): value for key, value in changes.items()}
    return find_caveats(prepare_experiments(pd.DataFrame([row]).reindex(columns=list_table_columns())))[0]


@pytest.mark.parametrize(
    ("changes", "caveat"),
    [
        ({"center_crop": 0.875}, "centre_crop"),
        ({"practice__center_crop": 0.875}, "centre_crop"),
        ({"practice__selection": "test"}, "selected_on_test"),
        ({"practice__selection": "test"}, "best_epoch"),
        ({"practice__threshold": "test"}, "test_threshold"),
        ({"audit__duplicate": 3}, "leaking_dataset"),
        ({"audit__leak": 1, "audit__duplicate": 0}, "leaking_dataset"),
        ({"false_positive_rate": None}, "no_threshold"),
    ],
)
def test_bad_practice_has_its_caveat_and_only_that(changes, caveat):
    assert _caveats() == ["one_seed"]
    assert caveat in _caveats(**changes)
    assert caveat in CAVEATS


@pytest.mark.parametrize(
    ("masks", "pixel_auroc", "flagged"), [("boxes", 0.9, True), ("yes", 0.9, False), ("boxes", None, False)]
)
def test_pixel_metrics_against_boxes_are_flagged(tmp_path, monkeypatch, masks, pixel_auroc, flagged):
    (tmp_path / "conf/dataset").mkdir(parents=True)
    (tmp_path / "conf/dataset/weld.yaml").write_text(f"facts: {{masks: {masks}}}\n")
    monkeypatch.chdir(tmp_path)
    assert ("box_masks" in _caveats(dataset__name="weld", pixel_auroc=pixel_auroc)) == flagged


def test_excluded_duplicates_leak_no_more():
    assert "leaking_dataset" not in _caveats(audit__duplicate=3, audit__exclude="duplicates")


def test_unequal_conditions_and_several_seeds_are_seen():
    made = Made()
    for seed in (1, 2):
        made.add("padim", skill=1, seed=seed)
        made.add("dfm", skill=1, seed=seed)
    made.add("msflow", skill=1, preset="paper")
    found = prepare_experiments(made.experiments().table)
    given = dict(zip(found["model.name"], find_caveats(found), strict=True))
    assert given["padim"] == []
    assert given["msflow"] == ["one_seed", "unequal"]


def test_all_forms_are_written_and_none_is_left_half_written(tmp_path):
    made = Made()
    made.add("padim", skill=2)
    made.add("dfm_100%", skill=1)
    compared = made.compared()
    text = write_comparison(compared, tmp_path / "out")
    assert text == (tmp_path / "out/comparison.md").read_text()
    assert "| elpv, 256 px | padim |" in text
    records = json.loads((tmp_path / "out/comparison.json").read_text())
    assert records["means"][0]["detector"] in ("padim", "dfm_100%")
    assert len(pd.read_csv(tmp_path / "out/differences.csv")) == 1
    assert r"dfm\_100\%" in (tmp_path / "out/means.tex").read_text()
    names = {path.stem for path in (tmp_path / "out").glob("*.csv")}
    assert names == set(compared)


def test_nothing_to_compare_is_said_so(tmp_path):
    text = write_comparison(compare_experiments(Experiments()), tmp_path / "out")
    assert text.count("Nothing to compare.") == 7


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(DataError, match="exists and is not a comparison"):
            write_comparison(compare_experiments(Experiments()), out)
    assert (tmp_path / "mine.txt").read_text() == "kept"
    for _ in range(2):  # but an earlier comparison is
        write_comparison(compare_experiments(Experiments()), tmp_path / "out")


def test_another_backbone_or_preset_is_in_the_title():
    made = Made()
    for changes in ({}, {"backbone__name": "resnet18"}, {"preset": "paper"}):
        made.add("padim", skill=2, **changes)
        made.add("dfm", skill=1, **changes)
    titles = format_readable("pareto", made.compared()["pareto"])["where"]
    assert set(titles) == {"elpv, 256 px", "elpv, 256 px, resnet18", "elpv, 256 px, preset paper"}


def test_seeds_are_paired_within_each_category():
    made = Made()
    made.add("padim", skill=2, seed=1)
    made.add("dfm", skill=1, seed=1, categories=("poly",))
    made.add("dfm", skill=1, seed=3, categories=("mono",))
    assert made.compared()["differences"].empty


def test_a_detector_that_ran_on_some_categories_only_is_not_ranked_with_the_others():
    made = Made()
    made.add("padim", skill=3, categories=("mono",))
    made.add("dfm", skill=2)
    made.add("stfpm", skill=1)
    compared = made.compared()
    assert compared["differences"][["better", "worse"]].to_numpy().tolist() == [["dfm", "stfpm"]]
    assert compared["recommendations"]["words"].iloc[0].startswith("dfm has the highest AUROC")


def test_noise_from_either_source_is_compared_with_the_clean_run():
    made = Made()
    made.add("padim", skill=2)
    made.add("padim", skill=1, contamination__ratio=0.2)
    made.add("padim", skill=1.5, contamination__ratio=0.2, contamination__source="natural")
    effects = made.compared()["effects"]
    assert effects["contamination.source"].tolist() == ["natural", "reserve"]
    assert (effects["difference"] < 0).all()


def test_a_test_set_of_one_class_has_no_auroc_and_stops_nothing():
    made = Made()
    for number in (2, 4, 8):
        made.add("padim", skill=2, epochs=number, training__epochs=number)
    for row in made.rows:
        row |= {"image_auroc": None, "image_auroc_low": None, "image_auroc_high": None}
    for table in made.scores.values():
        table["label"] = 0
    compared = made.compared()
    assert compared["best_on_test"].empty
    assert compared["effects"].empty


def test_a_latency_that_was_not_measured_is_not_the_quickest():
    made = Made()
    made.add("external", skill=2.4, latency_p50_ms=None)
    made.add("dfm", skill=2.1)
    words = made.compared()["recommendations"]["words"].iloc[0]
    assert "nan" not in words
    assert "Take dfm" in words


def test_baseline_runs_are_of_one_backbone_and_budget():
    made = Made()
    made.add("padim", skill=2)
    made.add("dfm", skill=1)
    made.add("padim", skill=9, backbone__name="wide_resnet50_2")
    runs = tables.select_baseline_runs(prepare_experiments(made.experiments().table))
    assert set(runs["backbone.name"]) == {"efficientnet_lite0"}


def test_a_kind_of_defect_is_compared_in_the_categories_that_have_it():
    made = Made()
    made.add("padim", skill=1)
    made.add("padim", skill=2, image_size=512)
    for name, table in made.scores.items():
        if name[1] == "poly":
            table["defect"] = table["defect"].replace("crack", "break")
    effects = made.compared()["effects"].set_index("defect")
    assert effects.loc["crack", "categories"] == "mono"
    assert effects.loc["break", "categories"] == "mono+poly"
