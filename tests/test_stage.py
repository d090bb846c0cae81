"""The runner of stages: errors that a user can mend come without a traceback."""

import errno
import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from viad.processes.startup import import_quickly

ROOT = Path(__file__).parents[1]


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "src")
    import stage

    return stage


def _with_stage(monkeypatch, runner, failure):
    def main(*_):
        raise failure

    monkeypatch.setattr(runner, "import_quickly", lambda _: SimpleNamespace(main=main))
    monkeypatch.setattr(sys, "argv", ["stage.py", "resize", "--category", "mono"])


def test_a_full_disk_is_said_in_words(monkeypatch, runner, capsys):
    _with_stage(monkeypatch, runner, OSError(errno.ENOSPC, "No space left on device", "data/resized/x.png"))
    assert runner.main() == 1
    message = capsys.readouterr().err
    assert "data/resized/x.png" in message
    assert "dvc gc" in message


def test_an_error_of_ours_is_one_line(monkeypatch, runner, capsys):
    from viad.errors import DataError

    _with_stage(monkeypatch, runner, DataError("x.png is missing. Restore it."))
    assert runner.main() == 1
    assert capsys.readouterr().err == "error: resize mono: x.png is missing. Restore it.\n"


def test_other_errors_keep_their_traceback(monkeypatch, runner):
    _with_stage(monkeypatch, runner, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output"):
        runner.main()


def test_importing_quickly_leaves_the_collector_on():
    assert import_quickly("wave").__name__ == "wave"
    assert gc.isenabled()
    with pytest.raises(ImportError):
        import_quickly("viad.nothing_of_this_name")
    assert gc.isenabled()


@pytest.mark.skipif(sys.platform != "linux", reason="pages are counted on Linux")
def test_a_block_that_was_freed_is_used_again():
    code = (
        "import resource, sys; from viad.processes.startup import keep_freed_memory; {}\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "bytearray(64 << 20); before = faults(); bytearray(64 << 20); print(faults() - before)"
    )
    fresh, kept = (
        int(subprocess.check_output([sys.executable, "-c", code.format(call)]))
        for call in ("pass", "keep_freed_memory()")
    )
    assert kept < fresh / 10


def test_outside_the_repository_it_says_where_it_looked(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "src/stage.py", "summarize"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def run_stage(monkeypatch, runner, tmp_path):
    """Run a stage that does nothing in a folder with a pipeline of two metrics files; their texts afterwards."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("metrics: [metrics/summary.json, metrics/other.json, metrics/absent.json]")
    Path("metrics").mkdir()
    monkeypatch.setattr(runner, "import_quickly", lambda _: SimpleNamespace(main=lambda *_: None))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)

    def run(name):
        for file in ("summary", "other"):
            Path(f"metrics/{file}.json").write_text('{"image_auroc": 0.9}')
        monkeypatch.setattr(sys, "argv", ["stage.py", name])
        assert runner.main() == 0
        return {path.name: path.read_text() for path in Path("metrics").iterdir()}

    return run


def test_a_stage_of_an_experiment_blanks_the_metrics_of_the_run_before(run_stage, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    assert run_stage("train") == {"summary.json": "{}\n", "other.json": "{}\n"}


def test_metrics_stay_without_an_experiment_and_for_the_stage_that_writes_them(run_stage, monkeypatch):
    assert set(run_stage("train").values()) == {'{"image_auroc": 0.9}'}
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    assert set(run_stage("summarize").values()) == {'{"image_auroc": 0.9}'}
