"""What all tests share: one hypothesis profile, and throw-away clones for the real dvc commands."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from composed import default_params_text
from served_commands import SERVER_VARIABLE, ask_for_commands, serve_commands_when_asked
from viad.processes.startup import keep_freed_memory

if "PYTEST_XDIST_WORKER" in os.environ:  # tests share the cores: a thread each, also for the commands they run
    os.environ["OMP_NUM_THREADS"] = "1"

keep_freed_memory()  # as a stage does

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
RUN = ("dvc.lock", "metrics/", "params.yaml", "plots/")  # what a run in the workspace leaves there

# The same examples every time, and no deadline on shared machines.
settings.register_profile("viad", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("viad")


def pytest_configure(config):
    """Let all workers share a server of commands, which starts when a test asks for it."""
    if SERVER_VARIABLE in os.environ:  # set by the test run that started this process
        return
    ends = contextlib.ExitStack()
    config.add_cleanup(ends.close)
    folder = ends.enter_context(TemporaryDirectory(prefix="viad-"))
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    if config.option.numprocesses:
        environment["OMP_NUM_THREADS"] = "1"
    ends.enter_context(serve_commands_when_asked(Path(folder), environment))
    os.environ[SERVER_VARIABLE] = folder
    ends.callback(os.environ.pop, SERVER_VARIABLE)


def pytest_collection_modifyitems(items):
    """Long files first: workers take whole files, and the last ones should be short."""
    count = Counter(item.path for item in items)
    first = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("pipeline", "long")}
    items.sort(key=lambda item: (*(item.path not in paths for paths in first.values()), -count[item.path]))


@pytest.fixture(autouse=True)
def _denormal_numbers():
    """Give them back: choosing a CPU switches them off for the whole process, and hypothesis refuses to work so."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


class Project:
    """A folder with the working tree's files and a git and DVC state of its own."""

    def __init__(self, folder, commands):
        self.folder, self.commands, self.stages = folder, commands, str(commands.with_name("bin"))
        path = os.pathsep.join([self.stages, str(BIN), os.environ["PATH"]])
        self.env = os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"}
        self.env["VIAD_CHECKPOINTS"] = str(folder.with_name(f"{folder.name}-checkpoints"))
        self.env["DVC_SITE_CACHE_DIR"] = str(folder.with_name(f"{folder.name}-dvc"))
        self.env |= {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def clone_working_tree(self):
        """Commit the working tree's files and the default params; nothing was run yet."""
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for file in files:
            if (ROOT / file).is_file() and not file.startswith(RUN):
                (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, self.folder / file)
        (self.folder / "params.yaml").write_text(default_params_text())
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "start")

    def run(self, *command, check=True):
        """Run a command there; its output, or an assertion with it. The server's commands come before others."""
        done = self._run(command)
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output[-4000:]
        return output

    def stdout(self, *command):
        done = self._run(command)
        done.check_returncode()
        return done.stdout

    def _run(self, command):
        env = self.env | {"PATH": f"{self.commands}{os.pathsep}{self.env['PATH']}"}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Make a project, each call another one: a clone of the working tree, or a copy of it after `prepare(clone)`.

    Each preparation runs once in a test run, whatever the number of its workers, and in a copy of what another left if
    it says so: `prepare.after = other`.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    commands = ask_for_commands()

    def make(prepare=None):
        project = Project(tmp_path_factory.mktemp("project"), commands)
        if prepare is None:
            project.clone_working_tree()
            return project
        prepared = shared / f"prepared-{prepare.__name__}"
        with _locked(prepared.with_suffix(".lock")):
            if not prepared.exists():
                clone = make(getattr(prepare, "after", None))
                prepare(clone)
                shutil.rmtree(clone.folder / ".dvc/tmp", ignore_errors=True)  # DVC's notes on files by their inodes
                clone.folder.rename(prepared)
        shutil.copytree(prepared, project.folder, copy_function=_copy, symlinks=True, dirs_exist_ok=True)
        return project

    return make


@contextlib.contextmanager
def _locked(path):
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy(file, target):
    """Copy a file; git and DVC write nothing to a file in their stores again, so that there a hard link is enough."""
    is_stored = any(store in file for store in ("/.git/objects/", "/.dvc/cache/"))
    (os.link if is_stored else shutil.copy2)(file, target)
