"""docs/findings.md, made from the experiments by one command."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.comparison.writing import compare
from viad.documentation.findings.claims import CLAIMS, FIGURES, Tables
from viad.documentation.findings.evidence import HOLDS, NOT_SEEN, PARTLY, of, shown
from viad.experiments.tables import Experiments

FILE = Path("docs/findings.md")
HEAD = """# Findings

<!-- `viad docs` writes this page from the committed experiments. Do not edit it by hand. -->

The study that this repository makes rerunnable ([arXiv 2503.23451](https://arxiv.org/abs/2503.23451)) makes five
claims. Here is what our studies (`viad study NAME`) show of each: on {data},
with {how}. {unlike}A claim that is not seen here is not refuted, and one that holds here holds on these data.

Numbers in brackets are 95 % intervals: of a difference, from a paired bootstrap over the same test images for both
sides; a difference whose interval holds 0 is not told from chance. A claim **{holds}** where at least half of the
differences say so and none says the contrary, **{partly}** where some do, and **{not_seen}** where none does. (That a
higher resolution hurts *some* models needs no more than some.) A claim with two halves holds where both do. Many
intervals are looked at, and one in twenty leaves out 0 by chance alone. They are intervals of the test images: most
runs have one training seed, and what another would change is not in them.
"""


def write_findings(experiments: Experiments) -> list[Path]:
    """Write docs/findings.md and its figures; return their paths."""
    tables = compare(experiments)
    answers = [(claim, *claim.answer(tables, experiments.scores)) for claim in CLAIMS]
    lines = [f"{number}. {claim.name}: {verdict}" for number, (claim, verdict, _) in enumerate(answers, 1)]
    parts = [_head(tables["experiments"]), *(f"{line}.\n" if line is lines[-1] else f"{line}." for line in lines)]
    for number, (claim, verdict, text) in enumerate(answers, 1):
        parts.append(f"## {number}. {claim.name}\n\n> {claim.says}\n\n**It {verdict}.** {text}")
    parts.append(_supervision(tables))
    with replacing(FILE) as aside:
        aside.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return [FILE, *sorted(FIGURES.glob("*.svg"))]


DATA = {
    "elpv": "real solar cells (elpv)", "elpv_pooled": "",
    "mtd": "real magnetic tiles (mtd)", "mtd_exposures": "", "mtd_literature": "",
    "synthetic": "drawn parts (synthetic)",
}  # fmt: skip


def _head(table: pd.DataFrame) -> str:
    data = [said for name in sorted(set(table["dataset.name"])) if (said := DATA.get(name, name))]
    presets = sorted({f"the preset {preset}" for preset in table["preset"]})
    backbones = sorted(set(table["backbone.name"]))
    unlike = "They are not the paper's experiments: other data, fewer detectors, shorter training. "
    how = f"{_listed(presets)} and {_listed(backbones)} as backbone"
    return HEAD.format(
        data=_listed(data), how=how, unlike="" if "the preset paper" in presets else unlike,
        holds=HOLDS, partly=PARTLY, not_seen=NOT_SEEN,
    )  # fmt: skip


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1] if words else "nothing yet"


def _supervision(tables: Tables) -> str:
    effects = tables["effects"]
    more, seen = of(effects, axis="supervision"), of(effects, axis="seen_defects")
    return (
        "## Also: a few labelled anomalies\n\n"
        "The paper looks at supervised training too, but what it found we could not read. Here, more labels against "
        f"the fewest:\n\n{shown('effects', more)}\n"
        "And labels of one kind of defect against labels of all kinds, ten each, over all test images and with each "
        f"kind of defect by itself:\n\n{shown('effects', seen)}"
    )
