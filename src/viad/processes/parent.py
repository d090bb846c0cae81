"""A process that ends when its parent has ended.

A parent that is killed cannot end its children. Without this, a stage goes on beside the next run of it, and the
workers of a pool wait for ever.
"""

import os
import signal
import threading
import time

CHECK_INTERVAL = 0.5  # seconds


def end_with(parent: int) -> None:
    """Kill this process soon after its parent has ended, however that ended.

    Asking for the parent works on every system and for a parent that ended before the call. Linux can send a signal
    instead (PR_SET_PDEATHSIG), but at the end of the thread that started this process.

    Args:
        parent: process id.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_INTERVAL)
    os.kill(os.getpid(), signal.SIGKILL)
