"""SQL that names records to be replaced."""

from collections.abc import Iterable


def sql_text(text: str) -> str:
    """A text as an SQL literal, quotes and backslashes escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def judged_records(holdout: str, versions: Iterable[str]) -> str:
    """The records of these versions, floors or baselines in `evaluations`, as SQL."""
    return f"holdout = {sql_text(holdout)} AND version IN ({', '.join(map(sql_text, versions))})"
