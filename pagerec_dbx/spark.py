"""The one place that makes a Spark session."""

import contextlib
import fcntl
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from pagerec_dbx.errors import PagerecError

# Java interprets methods of more than 8,000 bytes for ever unless told otherwise; Spark's generated ones are longer.
# Its default collector works beside the program, on processors that a laptop does not have to spare.
# Ten iterations of ALS make a lineage that needs more than the 1 MB of stack that a thread has by default.
_JAVA_OPTIONS = "-Xss4m -Dio.netty.tryReflectionSetAccessible=true -XX:-DontCompileHugeMethods -XX:+UseParallelGC"


def on_databricks() -> bool:
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def spark_session(master: str | None = None, log_file: Path | None = None, java_options: str = ""):
    """The runtime's session on Databricks; elsewhere a local one with Delta, its Java messages in a log file.

    Args:
        master: `local[2]` (default: all processors) or `local-cluster[2,1,2048]` for real executor processes.
        log_file: where the Java side writes what it would print on the terminal.
        java_options: added for driver and executors, e.g. `-XX:TieredStopAtLevel=1`.

    Raises:
        PagerecError: Java is missing or does not start.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None or on_databricks():
        session = active or SparkSession.builder.getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")  # days are UTC days
        return session
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = _local_builder(master or os.environ.get("PAGEREC_MASTER", f"local[{os.cpu_count()}]"), java_options)
    try:
        with one_start_at_a_time(), _output_to(log_file):
            session = builder.getOrCreate()
    except Exception as error:  # pyspark raises its own and py4j's errors here, with no common base
        raise PagerecError(
            "Spark did not start",
            wanted="Java 17 and, on the first run, access to a Maven repository for Delta's jars",
            got=f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}",
            fix=f"Run `pagerec doctor`{f' and read {log_file}' if log_file else ''}",
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    if threading.current_thread() is threading.main_thread():
        # PySpark's own handler asks Java to cancel, in the middle of whatever Java was asked: both end in traces.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger().addFilter(_is_news)
    return session


def _is_news(record: logging.LogRecord) -> bool:
    """That somebody pressed Ctrl-C while Java was asked is none: the command says that it was stopped."""
    return record.msg != "KeyboardInterrupt while sending command."


def _local_builder(master: str, java_options: str):
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    memory = max(1, min(4, psutil.virtual_memory().total // 2**30 // 4))
    parts = str(2 * (os.cpu_count() or 1))
    settings = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",  # 50 by default: a commit of 1,000 records took 18 s
        "spark.sql.codegen.cache.maxEntries": "1000",  # 100 by default: Delta's own were compiled anew each time
        "spark.sql.shuffle.partitions": parts,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.maxConcurrentOutputFileWriters": "16",  # else wide records are sorted before partitioned writes
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": parts,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": f"{memory}g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"{_JAVA_OPTIONS} {java_options}".strip(),
        "spark.executor.extraJavaOptions": f"{_JAVA_OPTIONS} {java_options}".strip(),
    }
    builder = SparkSession.builder.master(master).appName("pagerec")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return configure_spark_with_delta_pip(builder)


@contextlib.contextmanager
def one_start_at_a_time() -> Iterator[None]:
    """Sessions of one user start one after another.

    On the first run of a machine each fetches Delta's jars into the same folder: two at once leave half of a jar to one
    of them, and its Java ends.
    """
    lock = os.path.join(tempfile.gettempdir(), f"pagerec-spark-starts-{os.getuid()}")
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def _output_to(log_file: Path | None) -> Iterator[None]:
    """Start children with their output in a file: the Java process keeps it for its whole life."""
    if log_file is None:
        yield
        return
    log_file.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    target = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    kept = [(number, os.dup(number)) for number in (1, 2)]
    for number in (1, 2):
        os.dup2(target, number)
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(target)
