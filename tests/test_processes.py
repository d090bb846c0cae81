"""A stage ends with DVC, and the workers that it started end with it, however either of them ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from waiting import descendants, is_running, wait_until

ROOT = Path(__file__).parents[1]
COMMAND = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["raw"]["cmd"]
# Starts a stage as DVC does: through a shell, which here would stay as the stage's parent.
DVC = "import subprocess, sys; subprocess.run(['/bin/bash', '-c', sys.argv[1] + '\\ntrue'])"
SOURCE = {"seed": 1, "size": 1024, "train_normals": 2000, "test_normals": 1, "anomalies": 1}  # draws for minutes
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc"),
]


@pytest.fixture
def stage(tmp_path):
    """DVC, the stage and its workers, which draw images; process ids."""
    dataset = {"name": "synthetic", "code": "src/viad/datasets/synthetic", "categories": ["texture"], "source": SOURCE}
    params = {"dataset": dataset | {"options": {}}, "audit": {"verify": True}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for folder in ("src", "conf"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"DVC_STAGE": "raw", "PATH": path}
    # A shell lets what it starts in the background ignore this signal, and so would the stage.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-c", DVC, COMMAND], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as dvc:  # fmt: skip
        drawn = wait_until(lambda: list(tmp_path.rglob("*.png")), "workers draw images")
        started = descendants(dvc.pid)
        yield dvc.pid, *started
        for one in (dvc.pid, *started):
            if is_running(one):
                os.kill(one, signal.SIGKILL)
    signal.signal(signal.SIGINT, before)
    assert drawn
    assert len(started) >= 3, "the stage, a worker and multiprocessing's tracker"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_stage(stage, end):
    _, pid, *workers = stage
    os.kill(pid, end)
    wait_until(lambda: not any(map(is_running, [pid, *workers])), "the stage and its workers end")


def test_a_stage_and_its_workers_end_with_dvc(stage):
    dvc, *started = stage
    os.kill(dvc, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, started)), "the stage and its workers end")


def test_a_parent_that_ended_before_the_call_counts():
    code = f"import signal; from viad.processes.parent import end_with; end_with({os.getpid()} + 1); signal.pause()"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -signal.SIGKILL
