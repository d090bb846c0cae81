"""Tables of docs/models.md: what is in them, and what is not compared."""

from pathlib import Path

import pandas as pd
import pytest

from made import BASELINE
from viad.documentation.model_tables import format_contamination, format_models, format_supervision

ROOT = Path(__file__).parents[1]


def _row(model, category="mono", auroc=0.9, **changes):
    conditions = BASELINE | {"model.name": model} | changes
    metrics = {
        f"{metric}{end}": auroc + shift
        for metric in ("image_auroc", "pg2", "pb2")
        for end, shift in (("", 0), ("_low", -0.05), ("_high", 0.05))
    }
    cost = {"training.train_seconds": 12.4, "latency_p50_ms": 20.6, "peak_memory_megabytes": 999.9}
    return {"experiment": f"{model}{category}{changes}", "category": category, **conditions, **metrics, **cost}


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _line(table, start):
    return next(line for line in table.splitlines() if line.startswith(start))


def test_every_model_has_a_row_and_only_baseline_runs_count():
    table = format_models(
        pd.DataFrame(
            [
                _row("patchcore", auroc=0.95),
                _row("patchcore", "poly", auroc=0.8),
                _row("patchcore", auroc=0.1, image_size=512),
                _row("padim", auroc=0.2, **{"contamination.ratio": 0.2}),
            ]
        )
    )
    names = {path.stem for path in (ROOT / "conf/model").glob("*.yaml")} - {"external"}
    assert {line.split("|")[1].strip() for line in table.splitlines()[2:]} == names
    line = _line(table, "| patchcore ")
    assert "0.950 [0.900, 1.000]" in line
    assert "0.800 [0.750, 0.850]" in line
    assert line.endswith("| 12 | 21 | 1000 |")
    assert "not run" in _line(table, "| padim ")


def test_supervised_models_are_shown_with_ten_labels():
    table = format_models(pd.DataFrame([_row("devnet", **{"supervision.anomalies": 10}), _row("patchcore")]))
    assert "0.900" in _line(table, "| devnet ")


def test_contamination_shows_what_is_lost():
    rows = [_row("patchcore", auroc=0.95), _row("patchcore", auroc=0.80, **{"contamination.ratio": 0.2})]
    again = rows[1] | {"experiment": "the same with budget=small, not auto"}
    table = format_contamination(pd.DataFrame([*rows, again, _row("padim")]))
    assert table.splitlines()[2:] == ["| elpv | mono | patchcore | 20% | 1 | 0.950 | 0.800 | 0.150 |"]
    other = [row | {"seed": 1954, "image_auroc": row["image_auroc"] - 0.1} for row in rows]
    clean_only = rows[0] | {"seed": 1087, "image_auroc": 0.1}
    table = format_contamination(pd.DataFrame([*rows, *other, clean_only]))
    assert table.splitlines()[2:] == ["| elpv | mono | patchcore | 20% | 2 | 0.900 | 0.750 | 0.150 |"]


def test_supervision_averages_over_seeds():
    pooled = {"dataset.name": "elpv_pooled", "supervision.anomalies": 10}
    rows = [_row("dra", "cells", auroc=0.8 + 0.01 * seed, seed=seed, **pooled) for seed in range(3)]
    rows.append(_row("dra", "cells", auroc=0.1, **pooled | {"supervision.defects": "mono"}))  # another question
    assert format_supervision(pd.DataFrame(rows)).splitlines()[2:] == ["| dra | 10 | 3 | 0.810 (0.800 to 0.820) |"]


def test_without_experiments_the_tables_are_empty():
    empty = pd.DataFrame(columns=list(_row("x")))
    assert len(format_contamination(empty).splitlines()) == len(format_supervision(empty).splitlines()) == 2
    assert "not run" in format_models(empty)
