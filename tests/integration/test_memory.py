"""A rank's memory over epochs: what was freed goes back to the system."""

import gc
import subprocess
import sys
import weakref

import pytest

from pagerec_dbx.training.memory import freed_between_epochs

# Threads come and go, each with blocks of 8 MB of its own, as the readers of an epoch do.
PROGRAM = """
import sys, threading
import numpy as np, psutil
from pagerec_dbx.training.memory import freed_between_epochs, share_heaps
if sys.argv[1] == "handed back":
    share_heaps()
del_first = np.ones(30_000_000, np.uint8); del del_first  # the sign by which glibc begins to keep blocks
def read(kept):
    blocks = [np.ones(8_000_000, np.uint8) for _ in range(4)]
    kept.append(np.ones(300_000, np.uint8))  # what lies behind blocks of a heap holds them there
between = freed_between_epochs()
free = between.__enter__()
for epoch in range(8):
    kept = []
    threads = [threading.Thread(target=read, args=[kept]) for _ in range(4)]
    [one.start() for one in threads]; [one.join() for one in threads]
    del threads
    if sys.argv[1] == "handed back":
        free()
print(psutil.Process().memory_info().rss)
"""


def _held(way: str) -> int:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, way], stdout=subprocess.PIPE, text=True, check=True)
    return int(ran.stdout)


def test_what_was_in_use_is_set_aside_between_epochs_and_no_longer():
    class Holder:
        pass

    with pytest.raises(ValueError, match="ended"), freed_between_epochs() as free:
        free()
        assert gc.get_freeze_count() > 0
        circle = Holder()
        circle.own, gone = circle, weakref.ref(circle)
        del circle
        assert gone() is not None  # the control: the circle is there until it is looked for
        free()
        assert gone() is None
        raise ValueError("ended")
    assert gc.get_freeze_count() == 0
    gc.freeze()  # a process that does so itself has its objects left alone
    try:
        before = gc.get_freeze_count()
        with freed_between_epochs() as free:
            free()
        assert 0 < gc.get_freeze_count() <= before
    finally:
        gc.unfreeze()


def test_what_was_freed_goes_back_to_the_system():
    """Of both together; what shared heaps do beyond is for `benchmarks.memory`, here it differs from run to run."""
    kept, handed_back = _held("kept"), _held("handed back")
    assert handed_back < kept - 30e6  # the control: without it glibc keeps some of 128 MB
