"""What a rank's memory does from epoch to epoch."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Callable, Iterator

_ARENA_MAX = -8  # of glibc's mallopt


def share_heaps() -> None:
    """Have threads share heaps, one for each processor, before they allocate.

    By itself glibc makes up to eight for each processor and keeps in each what was freed; epochs come with new threads,
    and a rank's memory grew by some 20 MB with each of them. Other C libraries have no such habit, and are left alone.
    (Never keeping blocks of a megabyte, by `M_MMAP_THRESHOLD`, holds memory down as well, but makes epochs dearer.)
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, os.cpu_count() or 1)


@contextlib.contextmanager
def freed_between_epochs() -> Iterator[Callable[[], None]]:
    """Gives what is to be called before each epoch, while no stream is open: it frees what the one before has left, and
    has the C library hand it back to the system.

    TensorFlow's datasets and what feeds them hold each other, and with them a pool of records and the batches made of
    it, until Python looks for such circles, which by itself it does every few epochs. A look at all objects of
    TensorFlow takes a fifth of a second: those still in use are set aside until the end, so that the next look sees
    but what is new; unless the process has set some aside itself.
    """
    sets_aside = gc.get_freeze_count() == 0

    def free() -> None:
        gc.collect()
        if sets_aside:
            gc.freeze()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    try:
        yield free
    finally:
        if sets_aside:
            gc.unfreeze()
