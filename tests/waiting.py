"""Waiting for a condition, with a deadline, and counting writes: how long something takes is no test's business."""

import contextlib
import ctypes
import os
import struct
import threading
import time
from pathlib import Path


def wait_until(condition, what, seconds=120):
    """Wait for `condition()` and return what is true about it; after the deadline the test fails, naming `what`."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s: {what}"
        pause.wait(0.02)
    return value


def is_running(pid):
    """Whether a process works: not ended, nor ended and only its parent does not know yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def descendants(pid):
    """The processes that a process started, and those that they started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [one for child in map(int, children) for one in (child, *descendants(child))]


def processes_in(folder):
    """Other processes that work in a folder or below, whatever their command line says."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at = (process / "cwd").readlink()
        except OSError:  # gone, or not ours
            continue
        if at.is_relative_to(folder) and is_running(process.name) and process.name != str(os.getpid()):
            found.append(int(process.name))
    return found


@contextlib.contextmanager
def count_writes(folder):
    """Count how often each file of a folder is written and closed, as the kernel reports it: none is missed.

    Yields a function that returns the counts by name so far.
    """
    libc, counts = ctypes.CDLL(None, use_errno=True), {}
    written, opened = 0x8, 0x20  # both, as the kernel joins equal events that follow one another
    queue = libc.inotify_init1(os.O_NONBLOCK)
    assert queue >= 0, os.strerror(ctypes.get_errno())

    def read():
        with contextlib.suppress(BlockingIOError):
            while events := os.read(queue, 1 << 16):
                while events:
                    _, kind, _, length = struct.unpack("iIII", events[:16])
                    name = events[16 : 16 + length].rstrip(b"\0").decode()
                    counts[name] = counts.get(name, 0) + (kind == written)
                    events = events[16 + length :]
        return counts

    try:
        assert libc.inotify_add_watch(queue, os.fsencode(folder), written | opened) >= 0, os.strerror(
            ctypes.get_errno()
        )
        yield read
    finally:
        os.close(queue)
