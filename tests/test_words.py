"""One word for one thing: README, docs, comments of conf/ and help do without words that a reader had to translate."""

import argparse
import re
from pathlib import Path

import pytest

from viad.cli import build_parser
from viad.config.composition import head_comment

ROOT = Path(__file__).parents[1]

# What to say, and the expressions that mean the same and are not said. A word that has a meaning of its own elsewhere
# (max pooling, a plain file, the authors' settings) is matched only in the company that makes it the wrong word.
WORDS = {
    "baseline": r"\b(?:plain|usual) (?:runs?|conditions?|values?|settings?|ones?|reading)\b|under the plain\b",
    "significant difference": r"\btold apart\b|\btells? \w+ apart\b|\bnot told\b|\btold from\b",
    "optimistic bias": r"\bpretend\w*",
    "preset": r"\bbudgets?\b|\beditions?\b",
    "caveats": r"\bmarks?\b",
    "labelled normal": r"\btold (?:normal|anomalous|to be)\b",
    "contamination": r"\bnobody noticed\b|\bunnoticed\b|\bnoisy (?:labels?|training|data|lists?)\b|\blabel noise\b"
    r"|\b(?:natural|same|under|to) noise\b",
    "anomaly reserve": r"\banomaly pools?\b|\bpool of anomalies\b|\bfrom the pool\b",
    "worker": r"\bpool of (?:clones|workers)\b|\bholders?\b|\ba clone has\b",
    "synthetic, rendered or sampled": r"\bdrawn\b",
    "production run": r"\b(?:a|per|each|every|operator's) shift of (?:work|parts)\b|\bparts (?:a|per) shift\b",
    "duplicate images": r"\bthere twice\b",
    "requires registration": r"\bcannot be had\b|\bwithout asking\b|\bstands? behind a\b",
    "resume": r"\bgo(?:es)? on\b|\bskips? what is there\b|\bthat exist, goes\b",
    "image-level, pixel-level": r"\bmetrics? of (?:images|pixels)\b|^#+ of (?:images|pixels)\b",
    "metrics at a threshold": r"\bmetrics? with a threshold\b|^#+ with a threshold\b",
    "hyperparameters, overrides": r"\bsettings other than\b",
    "recommendation": r"\b(?:what|which one|which detector) to take\b",
    "uncertainty": r"\bhow sure\b",
    "data leakage": r"\bhonest\b",
    "choose any file by its name": r"every file in `conf/` chosen",
    "in N comparisons the newer won none": r"\bare won by\b",
    "harder in themselves": r"\bto who knows\b",
    "not confirmed": r"\bis not seen\b|\bare not seen\b",
    "noise": r"\bwhat lies between\b",
    "complete block": r"\blacks no result\b",
    "repeated runs of the same detector": r"\bone and the same\b",
    "percentile": r"\bstay under\b",
    "so that it works": r"\bshall be able\b",
    "low-scoring": r"\bwhat scores\b",
    "the paired difference decides": r"\binside each other's\b",
    "left out": r"\bundefined is absent\b|\bis undefined \([^)]*\) is absent\b",
    "methodological problems": r"\bbad practice\b",
}
# Tables that other modules generate; their words follow with those modules.
PENDING = {
    "docs/findings.md": {"told apart", "pretended", "mark", "natural noise"},
    "docs/published.md": {"what lies between"},
}


def _texts():
    yield "README.md", (ROOT / "README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md")):
        yield f"docs/{path.name}", path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        yield str(path.relative_to(ROOT)), head_comment(path)
    parser = build_parser()
    yield "viad --help", parser.format_help()
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, command in commands.choices.items():
        yield f"viad {name} --help", command.format_help()


def _wrong(text):
    """What to say, by the wrong words of a text, wherever a line is broken."""
    text = re.sub(r"(?<!\n)\n(?![\n#|])[ \t]*", " ", text)
    return {
        match.group().lower(): say
        for say, pattern in WORDS.items()
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
    }


@pytest.mark.parametrize(("name", "text"), [pytest.param(name, text, id=name) for name, text in _texts()])
def test_words_have_one_meaning(name, text):
    wrong = {word: say for word, say in _wrong(text).items() if word not in PENDING.get(name, ())}
    assert not wrong, f"{name}: say the value in place of the key: {wrong}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A study that is stopped goes\non where it was.", {"goes on": "resume"}),
        ("## Of pixels\n\nAUROC", {"## of pixels": "image-level, pixel-level"}),
        ("not\n  told from chance", {"not told": "significant difference"}),
        ("Max pooling in a ThreadPool, known noise 4, a plain file, a remark.", {}),
    ],
)
def test_wrong_words_are_found_across_lines_and_right_ones_are_not(text, expected):
    assert _wrong(text) == expected


def test_help_is_in_the_imperative():
    parser = build_parser()
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, command in commands.choices.items():
        first = command.description.split()[0]
        assert re.fullmatch(r"(?!The$|An?$)[A-Z][a-z]*(?<!s)(?<!ing)", first), f"viad {name}: {command.description}"
