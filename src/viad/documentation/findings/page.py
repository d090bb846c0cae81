"""The page docs/findings.md, written from the committed experiments."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.comparison.writing import compare
from viad.documentation.findings.claims import CLAIMS, FIGURES, Tables
from viad.documentation.findings.evidence import HOLDS, NOT_SEEN, PARTLY, format_comparison, select_rows
from viad.experiments.tables import Experiments

FILE = Path("docs/findings.md")
HEAD = """# Findings

<!-- `viad docs` writes this page from the committed experiments. Do not edit it by hand. -->

The study behind this repository ([arXiv 2503.23451](https://arxiv.org/abs/2503.23451)) makes five claims. This page
tests them with our own studies (`viad study NAME`), on {data}, with {how}.
{unlike}A claim that is not confirmed here is not refuted, and a claim that is confirmed here is confirmed for these
data only.

Brackets hold 95 % intervals. The interval of a difference comes from a paired bootstrap over the test images that
both runs share; a difference is significant if its interval excludes 0. A claim is **{holds}** if at least half of the
differences support it significantly and none contradicts it, **{partly}** if some support it, and **{not_seen}** if
none does. (The claim that a higher resolution hurts *some* models needs only some.) A claim with two halves is
confirmed if both halves are. The page holds many intervals, and one in twenty excludes 0 by chance. The intervals
cover the choice of test images, not the choice of the training seed: most runs have one seed.
"""


def write_findings(experiments: Experiments) -> list[Path]:
    """Write docs/findings.md and its figures; return their paths."""
    tables = compare(experiments)
    answers = [(claim, *claim.answer(tables, experiments.scores)) for claim in CLAIMS]
    lines = [f"{number}. {claim.name}: {verdict}" for number, (claim, verdict, _) in enumerate(answers, 1)]
    parts = [_head(tables["experiments"]), *(f"{line}.\n" if line is lines[-1] else f"{line}." for line in lines)]
    for number, (claim, verdict, text) in enumerate(answers, 1):
        parts.append(f"## {number}. {claim.name}\n\n> {claim.says}\n\n**{verdict.capitalize()}.** {text}")
    parts.append(_supervision(tables))
    with replacing(FILE) as aside:
        aside.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return [FILE, *sorted(FIGURES.glob("*.svg"))]


DATA = {
    "elpv": "real solar cells (elpv)", "elpv_pooled": "",
    "mtd": "real magnetic tiles (mtd)", "mtd_exposures": "", "mtd_literature": "",
    "synthetic": "rendered parts (synthetic)",
}  # fmt: skip


def _head(table: pd.DataFrame) -> str:
    data = [text for name in sorted(set(table["dataset.name"])) if (text := DATA.get(name, name))]
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
    more, seen = select_rows(effects, axis="supervision"), select_rows(effects, axis="seen_defects")
    return (
        "## Supervision: a few labelled anomalies\n\n"
        "The paper also studies supervised training, but we had no access to its results. The table compares each "
        f"number of labelled anomalies with the smallest:\n\n{format_comparison('effects', more)}\n"
        "Labels of one defect type against labels of all types, ten labels each, over all test images and per defect "
        f"type:\n\n{format_comparison('effects', seen)}"
    )
