"""A process that ends when its parent has ended.

A killed parent cannot end its children. Without this module, a stage would keep running beside its next run, and worker
processes would wait forever.
"""

import os
import signal
import threading
import time

CHECK_INTERVAL = 0.5  # seconds


def end_with(parent: int) -> None:
    """Kill this process soon after its parent has ended, for whatever reason.

    Polling works on every system, and also for a parent that ended before the call. Linux can send a signal instead
    (PR_SET_PDEATHSIG), but it does so at the end of the thread that started this process.

    Args:
        parent: process id.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_INTERVAL)
    os.kill(os.getpid(), signal.SIGKILL)
