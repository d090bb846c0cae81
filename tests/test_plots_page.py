"""The page of `dvc plots show`: it has its scripts inside, and draws without a network."""

import re
import runpy
from pathlib import Path

import pytest

from test_report_page import driver  # noqa: F401  the fixture
from tiny_runs import run_tiny_experiment

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / ".dvc/plots/page.html"


def test_the_template_says_what_it_holds_and_is_what_the_package_gives():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    assert [text.count(place) for place in ("{plot_divs}", "{refresh_tag}", "{scripts}")] == [1, 1, 0]
    assert "BSD 3-Clause" in text
    pytest.importorskip("vl_convert")
    script = runpy.run_path(str(TEMPLATE.with_name("write_page.py")))
    if script["describe_versions"]() in text:  # another version of the package: `make plots-page` takes it
        assert script["format_page"]() == text, "run `make plots-page`"


def test_the_template_has_the_vega_lite_of_the_plots():
    (major,) = set(re.findall(r"Vega-Lite (\d+)\.\d+ and", TEMPLATE.read_text(encoding="utf-8")))
    for path in TEMPLATE.parent.glob("*.json"):
        assert f"schema/vega-lite/v{major}.json" in path.read_text(encoding="utf-8"), path.name


@pytest.mark.pipeline
@pytest.mark.browser
def test_the_page_draws_all_plots_without_a_network(new_project, driver):  # noqa: F811
    project = new_project(run_tiny_experiment)
    project.run("dvc", "plots", "show", "-o", "dvc_plots")
    page = project.folder / "dvc_plots"
    html = (page / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]*https?:", html)
    specs = html.count("vegaEmbed('#")
    assert specs >= 3
    driver.browser.execute_cdp_cmd("Network.enable", {})
    driver.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    driver.open(page)
    driver.until(f"document.querySelectorAll('.vega-embed svg.marks').length === {specs}")
    drawn = driver.js("""
        return [...document.querySelectorAll('svg.marks')].map(chart => [
            chart.clientWidth, chart.querySelectorAll('.mark-text text').length,
            [...chart.querySelectorAll('.mark-line path, .mark-rect path, .mark-area path')]
                .filter(mark => mark.getBBox().width > 10).length,
        ]);
    """)
    for width, labels, marks in drawn:
        assert width > 100
        assert labels > 5
        assert marks
    assert driver.js("return [...document.images].every(image => image.naturalWidth > 0)")
    assert not [entry for entry in driver.browser.get_log("browser") if entry["level"] == "SEVERE"]
