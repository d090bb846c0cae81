"""The page docs/findings.md, written from the committed experiments."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.comparison.comparison_files import compare_experiments
from viad.documentation.paper_claims.claims import CLAIMS, FIGURES_FOLDER, Tables
from viad.documentation.paper_claims.evidence import (
    CONFIRMED,
    NOT_CONFIRMED,
    PARTLY_CONFIRMED,
    format_comparison,
    select_rows,
)
from viad.experiments.experiment_tables import Experiments

FINDINGS_PAGE = Path("docs/findings.md")
FINDINGS_HEAD = """# Findings

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
    tables = compare_experiments(experiments)
    answers = [(claim, *claim.answer(tables, experiments.scores)) for claim in CLAIMS]
    lines = [f"{number}. {claim.name}: {verdict}" for number, (claim, verdict, _) in enumerate(answers, 1)]
    parts = [
        _format_head(tables["experiments"]),
        *(f"{line}.\n" if line is lines[-1] else f"{line}." for line in lines),
    ]
    for number, (claim, verdict, text) in enumerate(answers, 1):
        parts.append(f"## {number}. {claim.name}\n\n> {claim.says}\n\n**{verdict.capitalize()}.** {text}")
    parts.append(_format_supervision(tables))
    with replacing(FINDINGS_PAGE) as aside:
        aside.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return [FINDINGS_PAGE, *sorted(FIGURES_FOLDER.glob("*.svg"))]


DATASET_PHRASES = {
    "elpv": "real solar cells (elpv)", "elpv_pooled": "",
    "mtd": "real magnetic tiles (mtd)", "mtd_exposures": "", "mtd_literature": "",
    "synthetic": "rendered parts (synthetic)",
}  # fmt: skip


def _format_head(table: pd.DataFrame) -> str:
    data = [text for name in sorted(set(table["dataset.name"])) if (text := DATASET_PHRASES.get(name, name))]
    presets = sorted({f"the preset {preset}" for preset in table["preset"]})
    backbones = sorted(set(table["backbone.name"]))
    unlike = "They are not the paper's experiments: other data, fewer detectors, shorter training. "
    how = f"{_join_words(presets)} and {_join_words(backbones)} as backbone"
    return FINDINGS_HEAD.format(
        data=_join_words(data), how=how, unlike="" if "the preset paper" in presets else unlike,
        holds=CONFIRMED, partly=PARTLY_CONFIRMED, not_seen=NOT_CONFIRMED,
    )  # fmt: skip


def _join_words(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1] if words else "nothing yet"


def _format_supervision(tables: Tables) -> str:
    effects = tables["effects"]
    more, seen = select_rows(effects, axis="supervision"), select_rows(effects, axis="seen_defects")
    return (
        "## Supervision: a few labelled anomalies\n\n"
        "The paper also studies supervised training, but we had no access to its results. The table compares each "
        f"number of labelled anomalies with the smallest:\n\n{format_comparison('effects', more)}\n"
        "Labels of one defect type against labels of all types, ten labels each, over all test images and per defect "
        f"type:\n\n{format_comparison('effects', seen)}"
    )
