"""A server that starts stages with the heavy packages already imported, for studies and tests, which run many stages.

A stage spends ten seconds importing torch, lightning and anomalib. The server imports them once and forks for each
stage. It does not import the project's own code: each fork imports the code of its clone, and reads, writes and fails
like a separate process. Commands that a user types do not use the server.
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
ORPHAN_SECONDS = 2.0  # interval at which the server checks that its parent process is alive

# The `python` on the PATH: it sends stages to the server and runs Python for everything else.
# A shell starts it, because a #! line takes no path with blanks; Python reads its first two lines as a string.
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
    """Start a server; yield the folder of a `python` that uses it, to be put first on the PATH.

    Args:
        environment: of the server. Only variables that a package reads on import, such as OMP_NUM_THREADS, come from
            it; each stage has its own environment.
        packages: to import.

    Raises:
        ImportError: one of the packages cannot be imported.
    """
    with TemporaryDirectory(prefix="viad-") as folder:  # a socket's path has to be short
        address = str(Path(folder) / "socket")
        client = Path(folder) / "bin" / "python"
        client.parent.mkdir()
        client.write_text(CLIENT_SCRIPT.format(python=sys.executable, address=address), encoding="utf-8")
        client.chmod(0o755)
        # -P: modules in this folder must not shadow packages of the same name.
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
    """Import the packages, then fork for each connection, until the server is killed or its parent has ended."""
    parent = os.getppid()
    for name in packages:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that answer are not waited for
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
    """Run the requested stage in another fork and send its exit code; kill it when the client has disconnected."""
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
    """Run a script as `python` would in that folder; return its exit code."""
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
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve_stages(sys.argv[1], sys.argv[2:])
