"""What a rank's memory does from epoch to epoch."""

import contextlib
import ctypes
import os

_ARENA_MAX = -8  # of glibc's mallopt


def share_heaps() -> None:
    """Have threads share heaps, one for each processor, before they allocate.

    By itself glibc makes up to eight for each processor and keeps in each what was freed; epochs come with new threads,
    and a rank's memory grew by some 20 MB with each of them. Other C libraries have no such habit, and are left alone.
    (Never keeping blocks of a megabyte, by `M_MMAP_THRESHOLD`, holds memory down as well, but makes epochs dearer.)
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, os.cpu_count() or 1)


def hand_back_freed_memory() -> None:
    """Have the C library hand all that was freed back to the system, once an epoch."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
