"""What code inside Spark's worker processes needs: a thing loaded once a process, and errors that stay themselves."""

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from py4j.protocol import Py4JJavaError
from pyspark import cloudpickle
from pyspark.errors import PySparkException

from pagerec_dbx import errors

T = TypeVar("T")

_loaded: dict[str, Any] = {}  # of this process: the thing in use, by its key; loaders of all types share it


@dataclasses.dataclass(frozen=True)
class OnceAProcess(Generic[T]):
    """A picklable loader whose result a worker process keeps until another one is asked for."""

    load: Callable[[], T]
    key: str

    def __call__(self) -> T:
        if self.key not in _loaded:
            _loaded.clear()
            _loaded[self.key] = self.load()
        return _loaded[self.key]


def once_a_process(load: Callable[[], T]) -> OnceAProcess[T]:
    """Loaders that pickle to the same bytes share one result."""
    return OnceAProcess(load, hashlib.sha256(cloudpickle.dumps(load)).hexdigest())


@contextlib.contextmanager
def worker_errors() -> Iterator[None]:
    """Around an action: an error of ours that a worker process raised is raised as itself, without Spark's wrapping."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        ours = re.search(r"pagerec_dbx\.errors\.(\w+): (.+)", str(error))
        if ours is None:
            raise
        raise getattr(errors, ours[1])(ours[2].strip()) from error
