"""A server that has the heavy packages imported and forks for every stage that a test runs.

A stage spends ten seconds importing torch, lightning and anomalib, and the tests start hundreds of stages. The server
imports none of the project's own code: each fork imports that of the clone it works for, and reads, writes and fails
there as a process of its own would. `make run` and whatever a user types start stages without it.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

PACKAGES = (
    "anomalib.models",
    "lightning",
    "matplotlib.pyplot",
    "pandas",
    "scipy.stats",
    "sklearn.metrics",
    "torchvision",
)

# Stands on the PATH as `python`: hands a stage to the server, and is any other Python itself.
CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["src/stage.py"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({address!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"
socket.send_fds(line, [asked[:1]], [0, 1, 2])
line.sendall(asked[1:])
code = line.recv(16)
sys.exit(int(code) if code else 1)
"""


@contextlib.contextmanager
def server(folder: Path):
    """Run a server; yields the folder that goes before others on the PATH."""
    address = str(folder / "socket")
    shim = folder / "bin" / "python"
    shim.parent.mkdir(parents=True)
    shim.write_text(CLIENT.format(python=sys.executable, address=address))
    shim.chmod(0o755)
    process = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield shim.parent
    finally:
        process.kill()
        process.wait()


def serve(address):
    """Import, then fork for each that connects."""
    for name in PACKAGES:
        __import__(name)
    assert not [name for name in sys.modules if name.partition(".")[0] == "viad"]
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that answer
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(16)
    print("ready", flush=True)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(line)
            os._exit(0)
        line.close()


def _answer(line):
    """Run what is asked in a fork of this fork; say its exit code, and kill it when nobody listens any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    first, streams, _, _ = socket.recv_fds(line, 1, 3)
    with line.makefile("rb") as asked:
        arguments, folder, environment = json.loads(first + asked.readline())
    worker = os.fork()
    if worker == 0:
        line.close()
        os._exit(_run(arguments, folder, environment, streams))
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


def _run(arguments, folder, environment, streams):
    import runpy

    os.setsid()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).resolve().parent)
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
    serve(sys.argv[1])
