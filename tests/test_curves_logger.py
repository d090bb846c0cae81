"""The logger of training curves: the steps it writes, and the mark that the VS Code extension watches."""

import json
import os

import pytest
from dvclive import Live

from viad.training.callbacks import CurvesLogger


@pytest.fixture
def logger(tmp_path, monkeypatch):
    """A logger in a DVC repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    with Live(dir="curves", dvcyaml=None, save_dvc_exp=False) as live:
        yield CurvesLogger(experiment=live)


def _written(tmp_path):
    return next(tmp_path.rglob("loss.tsv")).read_text().split()[2:]


def test_each_log_has_its_own_step(logger, tmp_path):
    for step in range(3):
        logger.log_metrics({"train_loss": 1.0 - step / 4}, step=step)
    assert _written(tmp_path) == ["0", "1.0", "1", "0.75", "2", "0.5"]


@pytest.mark.vscode
def test_in_an_experiment_each_log_is_marked_after_it_is_written(logger, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    mark = tmp_path / ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"
    for step in range(3):
        logger.log_metrics({"train_loss": 0.5}, step=step)
        assert json.loads(mark.read_text()) == {"pid": os.getpid(), "step": step}
        assert len(_written(tmp_path)) == 2 * (step + 1)


def test_without_an_experiment_nothing_is_marked(logger, tmp_path):
    logger.log_metrics({"train_loss": 0.5}, step=0)
    assert not list(tmp_path.rglob("DVCLIVE*"))
