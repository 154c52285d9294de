"""SQL that names records to be replaced."""


def sql_text(text: str) -> str:
    """A text as an SQL literal, quotes and backslashes escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
