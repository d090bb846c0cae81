"""Stages started from a process that has the heavy packages imported: for studies and tests, which run many.

A stage spends ten seconds importing torch, lightning and anomalib. The server here imports them once and forks for each
stage. It imports none of the project's own code: each fork imports that of the clone that it works for, and reads,
writes and fails there as a process of its own would. What a user types starts stages without it.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

PRELOADED_PACKAGES = ("anomalib.models", "lightning", "matplotlib.pyplot", "pandas", "scipy.stats", "sklearn.metrics")
ORPHAN_SECONDS = 2.0  # seconds after which a server notices that nobody needs it any more

# Stands on the PATH as `python`: hands a stage to the server, and is Python itself for all else.
# The shell starts it, as a #! takes no path with blanks; for Python its two lines are a string.
CLIENT_SCRIPT = """#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, socket, sys
parent = os.getppid()
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    if sys.argv[1:2] != ["src/stage.py"]:
        raise OSError
    line.connect({address!r})
except OSError:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"
socket.send_fds(line, [asked[:1]], [0, 1, 2])
line.sendall(asked[1:])
line.settimeout(0.5)
while os.getppid() == parent:
    try:
        code = line.recv(16)
        sys.exit(int(code) if code else 1)
    except TimeoutError:
        pass
sys.exit(1)
"""


@contextlib.contextmanager
def start_stage_server(environment: Mapping[str, str], packages: Sequence[str] = PRELOADED_PACKAGES) -> Iterator[Path]:
    """Run a server; yields a folder with the `python` that uses it, to be put before others on the PATH.

    Args:
        environment: of the server. Only what is read when a package is imported, such as OMP_NUM_THREADS, comes from
            it; stages have their own.
        packages: to import.

    Raises:
        ImportError: a package that stages need cannot be imported.
    """
    with TemporaryDirectory(prefix="viad-") as folder:  # a socket's path has to be short
        address = str(Path(folder) / "socket")
        client = Path(folder) / "bin" / "python"
        client.parent.mkdir()
        client.write_text(CLIENT_SCRIPT.format(python=sys.executable, address=address), encoding="utf-8")
        client.chmod(0o755)
        # -P: the modules beside this one must not stand in for packages of the same name.
        command = [sys.executable, "-P", "-W", "ignore", __file__, address, *packages]
        with subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                if process.stdout is None or process.stdout.readline() != b"ready\n":
                    raise ImportError(f"one of {', '.join(packages)} cannot be imported. Run `make install`.")
                yield client.parent
            finally:
                process.kill()


def serve_stages(address: str, packages: Sequence[str]) -> None:
    """Import the packages, then fork for each that connects; it ends by a kill, or when who started it has ended."""
    parent = os.getppid()
    for name in packages:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that answer
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen()
    listening.settimeout(ORPHAN_SECONDS)
    print("ready", flush=True)
    while os.getppid() == parent:
        try:
            line, _ = listening.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listening.close()
            _answer_request(line)
            os._exit(0)
        line.close()


def _answer_request(line: socket.socket) -> None:
    """Run what is asked in a fork of this one; say its exit code, and kill it when nobody listens any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    first, streams, _, _ = socket.recv_fds(line, 1, 3)
    with line.makefile("rb") as asked:
        arguments, folder, environment = json.loads(first + asked.readline())
    worker = os.fork()
    if worker == 0:
        line.close()
        os._exit(_run_script(arguments, folder, environment, streams))
    for stream in streams:
        os.close(stream)
    while True:
        gone, _, _ = select.select([line], [], [], 0.02)
        if gone:
            os.kill(worker, signal.SIGKILL)
        done, status = os.waitpid(worker, 0 if gone else os.WNOHANG)
        if done:
            with contextlib.suppress(OSError):
                line.sendall(str(os.waitstatus_to_exitcode(status) & 255).encode())
            return


def _run_script(arguments: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[int]) -> int:
    """Run a script as `python` would in that folder; its exit code."""
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = arguments
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    code = 0
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve_stages(sys.argv[1], sys.argv[2:])
