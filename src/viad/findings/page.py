"""docs/findings.md, made from the experiments by one command."""

from pathlib import Path

from viad.atomic import replacing
from viad.comparison.writing import compare
from viad.experiments import Experiments
from viad.findings.claims import CLAIMS, Tables
from viad.findings.evidence import HOLDS, NOT_SEEN, PARTLY, of, shown

FILE = Path("docs/findings.md")
HEAD = f"""# Findings

<!-- Written by `viad findings` from the experiments; not by hand. -->

The study that this repository makes rerunnable ([arXiv 2503.23451](https://arxiv.org/abs/2503.23451)) makes five
claims. Here is what our small studies (`viad study NAME`) show of each: on real solar cells (elpv), real magnetic tiles
(mtd) and drawn parts (synthetic), with the small budget and a small backbone. They are not the paper's experiments:
other data, fewer detectors, shorter training. So a claim that is not seen here is not refuted, and one that holds here
holds on these data.

Numbers in brackets are 95 % intervals: of a difference, from a paired bootstrap over the same test images for both
sides; a difference whose interval holds 0 is not told from chance. A claim **{HOLDS}** where at least half of the
differences say so and none says the contrary, **{PARTLY}** where some do, and **{NOT_SEEN}** where none does. (That a
higher resolution hurts *some* models needs no more than some.) A claim with two halves holds where both do. Many
intervals are looked at, and one in twenty leaves out 0 by chance alone. They are intervals of the test images: most
runs have one training seed, and what another would change is not in them.
"""


def write_findings(experiments: Experiments) -> str:
    """Write docs/findings.md and its figures; a line a claim for the reader of the command."""
    tables = compare(experiments)
    answers = [(claim, *claim.answer(tables, experiments.scores)) for claim in CLAIMS]
    lines = [f"{number}. {claim.name}: {verdict}" for number, (claim, verdict, _) in enumerate(answers, 1)]
    parts = [HEAD, *(f"{line}.\n" if line is lines[-1] else f"{line}." for line in lines)]
    for number, (claim, verdict, text) in enumerate(answers, 1):
        parts.append(f"## {number}. {claim.name}\n\n> {claim.says}\n\n**It {verdict}.** {text}")
    parts.append(_supervision(tables))
    with replacing(FILE) as aside:
        aside.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return "\n".join(lines)


def _supervision(tables: Tables) -> str:
    effects = tables["effects"]
    more, seen = of(effects, axis="supervision"), of(effects, axis="seen_defects")
    return (
        "## Also: a few labelled anomalies\n\n"
        "The paper looks at supervised training too, but what it found we could not read. Here, more labels against "
        f"the fewest:\n\n{shown('effects', more)}\n"
        f"And labels of one kind of defect against labels of all kinds, ten each:\n\n{shown('effects', seen)}"
    )
