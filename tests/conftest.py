"""What all tests share: one hypothesis profile, and throw-away clones for the real dvc commands."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from composed import default_params_text
from viad.processes.startup import keep_freed_memory
from viad.studies.stage_server import start_stage_server

if "PYTEST_XDIST_WORKER" in os.environ:  # tests share the cores: a thread each, also for the commands they run
    os.environ["OMP_NUM_THREADS"] = "1"

keep_freed_memory()  # as a stage does

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
RUN = ("dvc.lock", "metrics/", "params.yaml", "plots/")  # what a run in the workspace leaves there

# The same examples every time, and no deadline on shared machines.
settings.register_profile("viad", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("viad")


def pytest_collection_modifyitems(items):
    """Long files first: workers take whole files, and the last ones should be short."""
    count = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("pipeline")}
    items.sort(key=lambda item: (item.path not in slow, -count[item.path]))


@pytest.fixture(autouse=True)
def _denormal_numbers():
    """Give them back: choosing a CPU switches them off for the whole process, and hypothesis refuses to work so."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


class Project:
    """A clone of the working tree with a git and DVC state of its own, in which nothing was run yet."""

    def __init__(self, folder, python):
        self.folder = folder
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for file in files:
            if (ROOT / file).is_file() and not file.startswith(RUN):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file)
        (folder / "params.yaml").write_text(default_params_text())
        path = os.pathsep.join([str(python), str(BIN), os.environ["PATH"]])
        self.env = os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"}
        self.env["VIAD_CHECKPOINTS"] = str(folder.with_name(f"{folder.name}-checkpoints"))
        self.env |= {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "start")

    def run(self, *command, check=True):
        """Run a command there; its output, or an assertion with it."""
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output[-4000:]
        return output

    def stdout(self, *command):
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Make a clone of the working tree; each call another one."""
    with start_stage_server(os.environ | {"HF_HUB_OFFLINE": "1"}) as python:
        yield lambda: Project(tmp_path_factory.mktemp("project"), python)
