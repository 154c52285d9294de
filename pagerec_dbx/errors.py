"""Errors that a user can act on: each says what happened, what was wanted, what came, and the next step."""

import errno
import re


class PagerecError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what happened, a sentence without its full stop.
        wanted: what would have been right.
        got: what came instead.
        fix: what to do now, an imperative sentence without its full stop.
    """

    exit_code = 1

    def __init__(self, what: str, *, wanted: str = "", got: str = "", fix: str = ""):
        self.what, self.wanted, self.got, self.fix = what, wanted, got, fix
        super().__init__(what, wanted, got, fix)

    def __str__(self) -> str:
        compared = ", ".join(f"{word} {text}" for word, text in (("wanted", self.wanted), ("got", self.got)) if text)
        first = f"{self.what}: {compared}" if compared else self.what
        sentences = [first, self.fix] if self.fix else [first]
        return " ".join(" ".join(f"{sentence.rstrip('.')}." for sentence in sentences).split())

    def __reduce__(self):
        # Horovod and Spark send errors between processes.
        return (_rebuild, (type(self), self.what, self.wanted, self.got, self.fix))


def _rebuild(kind: type[PagerecError], what: str, wanted: str, got: str, fix: str) -> PagerecError:
    return kind(what, wanted=wanted, got=got, fix=fix)


class UsageError(PagerecError):
    """The command was called wrongly; exit code 2."""

    exit_code = 2


class SettingError(UsageError):
    """A setting that does not exist, or a value that it does not take."""


class UnknownModelError(UsageError):
    """A model name that no model file registers."""


class UnknownBaselineError(UsageError):
    """A baseline that no file makes."""


class HomeError(PagerecError):
    """A home that is missing, locked, or written by another version of the package."""


class LockedHomeError(HomeError):
    """Another command is writing to this home."""


class ConcurrentWriteError(PagerecError):
    """Somebody else wrote to a table between our reading and our writing it."""


class SchemaError(PagerecError):
    """Records that do not have the columns or types their table promises."""


class GrainError(PagerecError):
    """Several records where the grain allows one."""


class MissingTableError(PagerecError):
    """A table that an earlier stage has not made yet."""


class UnfinishedTableError(PagerecError):
    """A table that a stage began to rewrite and did not finish."""


class LogsError(PagerecError):
    """A logs folder that cannot be read, or that changed after it was read."""


class QuarantineError(PagerecError):
    """Too large a share of the lines was refused."""


class KeyFileError(PagerecError):
    """The hashing key is missing or malformed."""


class NoExamplesError(PagerecError):
    """Nothing to learn from or to judge on."""


class LeakageError(PagerecError):
    """An example that knows of its own future, or training that overlaps the holdout."""


class SnapshotError(PagerecError):
    """A snapshot that is missing, incomplete or too small for the ranks."""


class OverlapError(PagerecError):
    """A holdout that contains page views the model was trained on."""


class KerasError(PagerecError):
    """Keras 3 where the Keras 2 code base is needed."""


# Of a snapshot that is damaged or gone; its name is made of what it holds, so the same settings make the same one.
PREPARE_AGAIN = "Run `pagerec prepare` with the settings it had: the same tables give it again; else train anew"
GO_ON = "go on with --resume"  # the end of the advice for one training that was stopped


class TrainingError(PagerecError):
    """Training that could not go on."""


class LossError(TrainingError):
    """A loss that is no number, which would come again: such a training cannot go on."""


class DeadRankError(TrainingError):
    """A rank ended before its training did."""


class ScoresError(PagerecError):
    """Scores that cannot be ranked."""


class ComparisonError(PagerecError):
    """Results that were not measured on the same page views, or not at all."""


class LegacyFileError(PagerecError):
    """A legacy results file that is missing or malformed."""


class UnknownVersionError(PagerecError):
    """A model version that the registry does not hold."""


class RoleError(UsageError):
    """A version that may not play the part that it was named for."""


class RegistryError(PagerecError):
    """A model that cannot be registered, loaded or promoted."""


class PageError(PagerecError):
    """A page handed to `rank` that cannot be ranked."""


class EventsError(PagerecError):
    """An events file that cannot be imported."""


class CheckpointError(LogsError):
    """A stream's checkpoint that does not belong to the tables."""


class IdsFileError(PagerecError):
    """A file of user ids that cannot be read or says nothing."""


class ForgetError(PagerecError):
    """A viewer who cannot be forgotten, or of whom something is left."""


class RekeyError(PagerecError):
    """A home that cannot be moved to another hashing key, or is being moved."""


class HealthError(PagerecError):
    """A measure of the joins is past its limit."""


class DiskFullError(PagerecError):
    """No room for what was to be written."""


def with_advice_to_repeat(error: TrainingError) -> TrainingError:
    """The same error where --resume takes nothing: of several seeds, or a search, the same command is run again."""
    again = "run the same command again"
    fix = re.sub(f"{GO_ON}.*", again, error.fix)  # with the run that it may name
    got = error.got.replace(GO_ON, again)  # where a rank's own error is told
    return type(error)(error.what, wanted=error.wanted, got=got, fix=fix)


def in_one_line(error: BaseException) -> str:
    """`Type: its first sentence`; TensorFlow's texts begin with headlines and traces, which are left out."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_HEADLINES)]
    if not telling:
        return type(error).__name__
    said = re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", telling[0])  # TensorFlow's names of its functions and operations
    return f"{type(error).__name__}: {said}"[:500]


_HEADLINES = ("Graph execution error", "Detected at node", 'File "', "[[", "<stack traces", "2 root error")


def full_disk(error: BaseException) -> DiskFullError | None:
    """The error to tell where this one, or one behind it, says that a disk is full; None where none does.

    Java's come as texts: Spark hands its traces over in the message.
    """
    seen: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        seen.append(behind)
        behind = behind.__cause__ or behind.__context__
    full = (errno.ENOSPC, errno.EDQUOT)
    said = ("No space left on device", "Disk quota exceeded", "database or disk is full")  # the last one is SQLite's
    for one in seen:
        if (isinstance(one, OSError) and one.errno in full) or any(text in str(one) for text in said):
            where = getattr(one, "filename", None)
            return DiskFullError(
                "the disk is full",
                got=f"no room for {where}" if where else "",
                fix="Free some space, in the home and in Spark's own folder (SPARK_LOCAL_DIRS or the temporary one), "
                "and run the same command again: what was written before is untouched",
            )
    return None
