"""What a rank's memory does from epoch to epoch."""

import contextlib
import ctypes

_MMAP_THRESHOLD = -3  # of glibc's mallopt
_LARGE = 1 << 20  # bytes


def hand_back_large_blocks() -> None:
    """Have the C library hand blocks of a megabyte and more back to the system as soon as they are freed.

    By itself glibc takes the first large block that is freed as a sign to keep such blocks, in a heap for each thread;
    epochs come with new threads, and a rank's memory grew by some 50 MB with each of them. Other C libraries have no
    such habit, and are left alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
