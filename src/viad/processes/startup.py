"""Settings of a process that make it start and compute faster. They change no result."""

import ctypes
import gc
import importlib
from types import ModuleType

# Parameters of glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK, MOST_KEPT = 1 << 30, (1 << 31) - 1  # bytes


def keep_freed_memory() -> None:
    """Let the process reuse freed memory instead of returning it to the system; without glibc, nothing happens.

    A network frees and allocates megabytes at every layer. By default these are new pages each time, and filling them
    took more than half of a forward pass on the virtual machines that we measured.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(TRIM_THRESHOLD, MOST_KEPT)


def import_quickly(name: str) -> ModuleType:
    """Import a module without garbage collection, which takes a third of the time of importing torch, also at exit.

    Raises:
        ImportError: there is no such module.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
