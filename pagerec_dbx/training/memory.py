"""What a rank's memory does from epoch to epoch."""

import contextlib
import ctypes


def hand_back_freed_memory() -> None:
    """Have the C library hand all memory that was freed back to the system.

    By itself glibc keeps it in a heap for each thread; epochs come with new threads, and a rank's memory grew by some
    50 MB with each of them. Once an epoch it costs nothing to speak of. (Never keeping large blocks, by
    `M_MMAP_THRESHOLD`, holds memory down as well and made epochs a quarter longer.) Other C libraries have no such
    habit, and are left alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
