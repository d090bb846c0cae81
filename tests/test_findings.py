"""Findings and curves: verdicts follow from the differences, and what was not run is said so."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import Made
from viad.comparison.comparison_files import TABLE_TITLES, add_caveats
from viad.comparison.condition_axes import AXES
from viad.comparison.condition_curves import build_curves
from viad.documentation.paper_claims.claims import CLAIMS
from viad.documentation.paper_claims.curve_figures import plot_curves
from viad.documentation.paper_claims.evidence import (
    CONFIRMED,
    NOT_CONFIRMED,
    NOT_TESTED,
    PARTLY_CONFIRMED,
    Count,
    count_differences,
    judge_claim,
)
from viad.documentation.paper_claims.findings_page import FINDINGS_PAGE, write_findings
from viad.documentation.paper_claims.publication_year import find_publication_year
from viad.experiments import committed_results
from viad.experiments.experiment_tables import Experiments
from viad.plots.critical_difference import draw_diagram, format_diagram_svg
from viad.report.cards import read_dataset_cards, read_model_cards
from viad.studies.plans import list_states, list_studies, read_question, read_shown_tables

ROOT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _all_conditions():
    """One detector whose AUROC falls under noise and shift, and rises with size and validation."""
    made = Made()
    made.add("patchcore", skill=2)
    made.add("inreach", skill=1, training__learning_type="unsupervised")
    made.add("patchcore", skill=0.5, contamination__ratio=0.2)
    made.add("inreach", skill=0.2, contamination__ratio=0.2, training__learning_type="unsupervised")
    made.add("patchcore", skill=0.5, shift__name="noise", shift__severity=4)
    made.add("patchcore", skill=4, image_size=512)
    made.add("patchcore", skill=4, validation__name="normal")
    return made


def _verdicts():
    lines = FINDINGS_PAGE.read_text().split("\n## ")[0].splitlines()
    found = [re.fullmatch(r"\d\. (.*): (.*)\.", line) for line in lines]
    return dict(one.groups() for one in found if one)


def test_every_claim_has_a_verdict_that_follows_from_the_differences(here):
    write_findings(_all_conditions().experiments())
    assert _verdicts() == {
        "Newer is not better": PARTLY_CONFIRMED,  # the bad habits were not run
        "Input size": NOT_TESTED,  # no kinds of defect that are called small, large or logical
        "Contamination": CONFIRMED,
        "Distribution shift": PARTLY_CONFIRMED,  # nor was a natural shift
        "Early stopping": CONFIRMED,
    }
    text = (here / "docs/findings.md").read_text()
    for claim in CLAIMS:
        assert f"> {claim.says}" in text
    assert re.search(r"patchcore \| [^|]*→[^|]*\| -0\.\d{3} \[-0\.\d{3}, -0\.\d{3}\] \| yes", text)
    for figure in re.findall(r"\((findings/\w+\.svg)\)", text):
        assert (here / "docs" / figure).is_file()


def _with_exposures(by, anyway):
    """A shift that hurts, and tiles that score higher by so much under an unseen exposure, or to any detector."""
    made = Made()
    made.add("padim", skill=2)
    made.add("padim", skill=0.5, shift__name="noise", shift__severity=4)
    for dataset, rise in (("mtd_exposures", by), ("mtd", anyway)):
        name = made.add("padim", skill=2, categories=("tile",), dataset__name=dataset)
        tested = made.scores[dataset, "tile"]
        tested["domain"] = np.where(np.arange(len(tested)) % 2, "exp1", "exp4")
        tested.loc[tested["domain"] == "exp4", name] += rise
    return made


@pytest.mark.parametrize(
    ("rise", "anyway", "expected"),
    [(3, 0, CONFIRMED), (3, 3, PARTLY_CONFIRMED), (0, 0, PARTLY_CONFIRMED), (0, 3, PARTLY_CONFIRMED)],
)
def test_a_natural_shift_counts_if_it_is_one_to_who_has_not_seen_it(here, rise, anyway, expected):
    write_findings(_with_exposures(rise, anyway).experiments())
    assert _verdicts()["Distribution shift"] == expected
    text = (here / "docs/findings.md").read_text()
    ((some, every, difference),) = re.findall(r"\| padim \| ([\d.]+) \| ([\d.]+) \| ([+-][\d.]+) \[", text)
    assert (float(some) > 0.8, float(every) > 0.8) == (rise > 0, anyway > 0)
    assert float(difference) == pytest.approx(float(some) - float(every), abs=0.002)


def test_false_alarms_under_a_shift_stand_beside_those_without_it_and_all_else_equal(here):
    made = Made()
    made.add("padim", skill=2, false_positive_rate=0.03)
    made.add("padim", skill=2, false_positive_rate=0.9, contamination__ratio=0.2)
    made.add("padim", skill=2, false_positive_rate=0.5, shift__name="noise", shift__severity=4)
    write_findings(made.experiments())
    assert "| elpv | mono | padim | noise | 0.030 | 0.500 |" in (here / "docs/findings.md").read_text()


@pytest.mark.usefixtures("here")
def test_habits_that_pretend_nothing_are_half_of_the_first_claim():
    for skill, expected in ((4, CONFIRMED), (1.9, PARTLY_CONFIRMED)):
        made = Made()
        made.add("patchcore", skill=2)
        made.add("inreach", skill=1)
        made.add("patchcore", skill=skill, center_crop=0.875)
        write_findings(made.experiments())
        assert _verdicts()["Newer is not better"] == expected


@pytest.mark.usefixtures("here")
def test_the_contrary_is_said_where_it_is_seen():
    made = Made()
    made.add("patchcore", skill=0.5)
    made.add("patchcore", skill=3, contamination__ratio=0.2)
    made.add("patchcore", skill=3, shift__name="noise", shift__severity=4)
    write_findings(made.experiments())
    assert _verdicts()["Distribution shift"] == NOT_CONFIRMED
    assert _verdicts()["Contamination"] == NOT_CONFIRMED


@pytest.mark.usefixtures("here")
def test_without_experiments_nothing_is_claimed():
    write_findings(Experiments())
    assert set(_verdicts().values()) == {NOT_TESTED}
    assert "nan" not in FINDINGS_PAGE.read_text()


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((2, 0, 4), CONFIRMED),
        ((1, 0, 4), PARTLY_CONFIRMED),
        ((3, 1, 4), PARTLY_CONFIRMED),
        ((0, 1, 4), NOT_CONFIRMED),
        ((0, 0, 0), NOT_TESTED),
    ],
)
def test_verdicts(numbers, expected):
    assert judge_claim(*numbers) == expected


def test_differences_are_counted_by_where_their_interval_lies():
    found = count_differences(pd.DataFrame({"low": [0.1, -0.2, -0.3, 0], "high": [0.2, 0.1, -0.1, 0.3]}))
    assert found == Count(above=1, below=1, neither=2)


def test_years_are_those_of_the_papers(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (find_publication_year("padim"), find_publication_year("msflow"), find_publication_year("nosuch")) == (
        2021,
        2024,
        None,
    )


def _curves(made, axis):
    experiments = made.experiments()
    return build_curves(add_caveats(experiments), experiments.scores, axis)


def test_a_curve_has_its_values_in_order_and_the_plain_run_as_its_start():
    drawn = _curves(_all_conditions(), "shift")
    assert [one["title"] for one in drawn] == ["elpv mono, noise, 256 px", "elpv poly, noise, 256 px"]
    (line,) = drawn[0]["lines"]
    assert (line["name"], line["x"]) == ("patchcore", [0.0, 4.0])
    assert line["y"][0] > line["y"][1]
    assert all(low < value < high for low, value, high in zip(line["low"], line["y"], line["high"], strict=True))


def test_the_input_size_has_a_curve_for_each_kind_of_defect():
    titles = [one["title"] for one in _curves(_all_conditions(), "input_size")]
    assert "elpv mono: crack defects" in titles
    assert len(titles) == 6


def test_conditions_in_words_make_a_curve_without_numbers():
    drawn = _curves(_all_conditions(), "validation")
    assert drawn[0]["categorical"]
    assert drawn[0]["lines"][0]["x"] == ["none", "normal"]


def test_the_same_curves_are_the_same_picture(tmp_path):
    drawn = _curves(_all_conditions(), "contamination")
    for name in "ab":
        plot_curves(drawn, tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("places", "difference", "bars"),
    [
        ([1.0, 1.5, 3.0], 0.9, [(1.0, 1.5)]),
        ([1.0, 1.5, 2.2, 3.0], 1.3, [(1.0, 2.2), (2.2, 3.0)]),
        ([1.0, 1.5, 3.0], 5.0, [(1.0, 3.0)]),
        ([1.0, 2.0, 3.0], 0.5, []),
    ],
)
def test_the_diagram_joins_ranks_within_the_critical_difference(places, difference, bars):
    ranks = pd.DataFrame({"detector": list("abcd")[: len(places)], "rank": places, "critical_difference": difference})
    axis = draw_diagram(ranks).axes[0]
    *drawn, scale = [tuple(line.get_xdata()) for line in axis.lines if line.get_linewidth() == 2.5]
    assert drawn == bars
    assert scale == (1.0, 1.0 + difference)
    texts = {text.get_text().strip() for text in axis.texts}
    assert texts >= {"a  1.00", f"critical difference {difference:.2f}"}


def test_the_diagram_is_the_same_text_for_the_same_ranks_and_takes_the_colour_of_its_page():
    ranks = pd.DataFrame({"detector": ["a", "b", "c"], "rank": [1.0, 1.5, 3.0], "critical_difference": 0.9})
    svg = format_diagram_svg(ranks)
    assert svg == format_diagram_svg(ranks)
    assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) == {"none", "currentColor"}
    assert format_diagram_svg(ranks.head(0)) is None


def test_every_study_says_what_is_shown_of_it_and_what_it_asks(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in list_studies():
        assert set(read_shown_tables(name)) <= {*AXES, *TABLE_TITLES}
        assert read_question(name).split("?")[0]


def test_every_dataset_and_model_has_a_card(monkeypatch):
    monkeypatch.chdir(ROOT)
    for group, cards in (("dataset", read_dataset_cards()), ("model", read_model_cards())):
        assert {card["name"] for card in cards} == {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert all(card["words"] and len(card["facts"]) >= 2 for card in cards)


def test_states_tell_done_failed_and_missing(here):
    (here / "studies/color").mkdir(parents=True)
    status = "experiment,result,seconds,reason,log\na,failed,1,no memory,x.log\nb,failed,1,old,y.log\n"
    (here / "studies/color/status.csv").write_text(status)
    found = {one["experiment"]: one for one in list_states("color", ["a", "b", "c"], {"b"})}
    assert [found[name]["state"] for name in "abc"] == ["failed", "done", "missing"]
    assert found["a"]["reason"] == "no memory"
    assert found["b"]["reason"] == ""


def test_the_docs_are_made_from_what_is_kept(monkeypatch, tmp_path):
    """docs/findings.md is what the kept experiments give: whoever changes one makes the other anew."""
    for name in ("conf", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    write_findings(committed_results.load_committed_results())
    assert FINDINGS_PAGE.read_text() == (ROOT / FINDINGS_PAGE).read_text(), "run `viad docs`"


def test_the_presets_epochs_stand_among_the_other_numbers():
    made = Made()
    made.add("simplenet", skill=1)
    for number in (2, 24):
        made.add("simplenet", skill=2, epochs=number, training__epochs=number)
    drawn = _curves(made, "epochs")
    assert drawn[0]["lines"][0]["x"] == [2.0, 4.0, 24.0]
    assert not drawn[0]["categorical"]
