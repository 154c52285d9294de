"""Log folders as streams of lines, and the checkpoints that remember what was read.

The only place that chooses a source: locally Spark's file source, on Databricks Auto Loader.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from pagerec_dbx.errors import CheckpointError
from pagerec_dbx.pipelines.files import ENDINGS, LINE_END, LogFile, is_pattern, lines_of, path_of_line

_NAMES = "*{" + ",".join(ENDINGS) + "}"
_FILE_SOURCE = {
    "maxFileAge": "36500d",  # by default a file a week older than the newest is passed over in silence
}
AUTO_LOADER = {
    "cloudFiles.format": "text",
    "cloudFiles.includeExistingFiles": "true",
    "cloudFiles.allowOverwrites": "false",  # a file that changed is refused before the stream starts
}


def stream_source(on_databricks: bool) -> tuple[str, dict[str, str]]:
    """The format and the options by which the lines of a folder are read as a stream."""
    common = {"lineSep": LINE_END, "pathGlobFilter": _NAMES}
    return ("cloudFiles", AUTO_LOADER | common) if on_databricks else ("text", _FILE_SOURCE | common)


def can_stream(files: Sequence[LogFile]) -> bool:
    """False where a path looks like a pattern: Spark's file source then reads all files of the folder several times.

    Args:
        files: all files of a folder; of one that was not listed nothing is known, so it is not streamed.
    """
    return bool(files) and not any(is_pattern(file.path) for file in files)


def streamed_lines(spark: SparkSession, files: Sequence[LogFile], on_databricks: bool) -> DataFrame:
    """The lines of those of these files that the checkpoint of the stream does not hold, as `files.read_lines`.

    Args:
        files: of one folder. The folder's other files, such as one that cannot be decompressed, are not opened.
    """
    kind, options = stream_source(on_databricks)
    text = spark.readStream.format(kind).schema("value string").options(**options).load(str(files[0].folder))
    return lines_of(text.where(path_of_line().isin([file.path for file in files])))


def checkpoint_name(folder: Path) -> str:
    """The name of the checkpoint of a log folder, such as `service_logs-3f2a9c01`."""
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def checkpoint_id(checkpoint: Path) -> str | None:
    """The id by which Delta knows the stream of a checkpoint; None where there is no checkpoint."""
    file = checkpoint / "metadata"
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is malformed", got=str(error), fix=_REPAIR) from error


def is_sound(checkpoint: Path, wanted: str | None) -> bool:
    """Whether a checkpoint is the one that is wanted; where none is wanted any will do."""
    try:
        return wanted is None or checkpoint_id(checkpoint) == wanted
    except CheckpointError:
        return False


def require_checkpoint(checkpoint: Path, source: str, wanted: str | None) -> None:
    """Refuse to read a source whose checkpoint is not the one that read its files so far.

    Raises:
        CheckpointError: it is missing, or another one.
    """
    found = checkpoint_id(checkpoint)
    if wanted is not None and found != wanted:
        state = "missing" if found is None else "another one"
        raise CheckpointError(
            f"the checkpoint of {source} is {state} beside tables that hold its files",
            wanted=f"stream {wanted} in {checkpoint}",
            got=f"stream {found}" if found else "none",
            fix=_REPAIR,
        )


_REPAIR = "Restore it, or run `pagerec ingest --new-checkpoints`: files that the tables hold are not read again"


def drop_checkpoint(checkpoint: Path) -> None:
    """Forget what a stream has read; what it is to read is known from the tables."""
    shutil.rmtree(checkpoint, ignore_errors=True)
