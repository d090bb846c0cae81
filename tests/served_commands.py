"""Commands that start with the heavy packages imported: `pytest`, `viad`, `dvc` and Python code, for clones.

By themselves they import for one to ten seconds. Here each is a fork of one stage server for all workers of a test run.
The package and the tests are imported anew, from the clone. Without the server these are the ordinary commands.
"""

import contextlib
import os
import sys
import threading
from pathlib import Path

from viad.studies.stage_server import PRELOADED_PACKAGES, start_stage_server
from waiting import wait_until

BIN = Path(sys.executable).parent
SERVER_VARIABLE = "VIAD_TEST_SERVER"  # the folder of a test run's server; a test run inside it shares the server
CODE = "python-code"  # `python -c`; `python` itself is the stage server's
NAMES = ("pytest", "viad", "dvc", CODE)
PACKAGES = (
    *PRELOADED_PACKAGES, "dvc.cachemgr", "dvc.cli.parser", "dvc.data_cloud", "dvc.repo.artifacts", "dvc.repo.datasets",
    "dvc.repo.experiments.executor.local", "dvc.repo.experiments.ls", "dvc.repo.experiments.queue.celery",
    "dvc.repo.experiments.queue.tempdir", "dvc.repo.experiments.queue.workspace", "dvc.repo.experiments.run",
    "dvc.repo.experiments.show", "dvc.repo.index", "dvc.repo.plots", "dvc.repo.reproduce", "dvc.repo.stage",
    "dvc.utils.hydra", "dvc.utils.strictyaml", "dulwich.porcelain", "hydra.main", "pygit2", "pytest", "ruamel.yaml",
    "scikit_posthocs",
)  # fmt: skip

# Runs in a fork of the server, with a command and its arguments; does what Python does when it starts and ends.
STARTER = f"""
import atexit, os, runpy, sys, threading
sys.argv[:] = sys.argv[1:]
paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
sys.path[:1] = [os.path.dirname(sys.argv[0]), *filter(None, paths)]
try:
    if os.path.basename(sys.argv[0]) == {CODE!r}:
        sys.path[0], code = "", sys.argv.pop(1)
        exec(compile(code, "<string>", "exec"), globals())
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    threading._shutdown()
    atexit._run_exitfuncs()
"""
CLIENT = """#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    line.connect({address!r})
except OSError:
    os.execv({ordinary!r}[0], {ordinary!r} + sys.argv[1:])
command = [{starter!r}, {command!r}, *sys.argv[1:]]
asked = json.dumps([command, os.getcwd(), dict(os.environ)]).encode() + b"\\n"
socket.send_fds(line, [asked[:1]], [0, 1, 2])
line.sendall(asked[1:])
code = line.recv(16)
sys.exit(int(code) if code else 1)
"""


@contextlib.contextmanager
def serve_commands(environment):
    """Start a stage server; yield the folder of its commands, for the PATH. The stages' `python` is in `bin` beside."""
    with start_stage_server(environment, PACKAGES) as stages:
        folder = stages.with_name("commands")
        folder.mkdir()
        starter = folder / "start.py"
        starter.write_text(STARTER)
        for name in NAMES:
            ordinary = [sys.executable, "-c"] if name == CODE else [os.fspath(BIN / name)]
            text = CLIENT.format(
                python=sys.executable, address=os.fspath(stages.with_name("socket")), starter=os.fspath(starter),
                ordinary=ordinary, command=ordinary[0] if name != CODE else CODE,
            )  # fmt: skip
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        yield folder


@contextlib.contextmanager
def serve_commands_when_asked(folder, environment):
    """Start a server at the first `ask_for_commands`, from whichever process, and end it with this context."""
    ended = threading.Event()

    def serve():
        while not (folder / "asked").exists():
            if ended.wait(0.05):
                return
        with serve_commands(environment) as commands:
            (folder / "new").symlink_to(commands)
            (folder / "new").rename(folder / "commands")
            ended.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def ask_for_commands():
    """The folder of this test run's commands, once its server is ready."""
    folder = Path(os.environ[SERVER_VARIABLE])
    (folder / "asked").touch()
    wait_until((folder / "commands").exists, "the server of commands starts")
    return (folder / "commands").resolve()
