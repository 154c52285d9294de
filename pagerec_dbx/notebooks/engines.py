"""What an engine says where a home, a model or a permission is missing, as an error that an analyst can act on."""

import re

from pagerec_dbx.errors import HomeError

# As Spark, Unity Catalog and MLflow name it; each begins or stands in brackets before its message.
_REFUSED = ("PERMISSION_DENIED", "INSUFFICIENT_PERMISSIONS", "UNAUTHORIZED_ACCESS", "UnauthorizedException")
_ABSENT = (
    "NO_SUCH_CATALOG_EXCEPTION", "CATALOG_DOES_NOT_EXIST", "CATALOG_NOT_FOUND", "SCHEMA_DOES_NOT_EXIST",
    "SCHEMA_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST",
)  # fmt: skip
_ENGINES = ("pyspark", "py4j", "mlflow", "grpc")  # packages that their errors come from


def told_by_engine(error: BaseException) -> HomeError | None:
    """The error to tell where an engine's says that something is missing or refused; None for any other error.

    Other errors of an engine, as of a column that does not exist, are faults of ours.
    """
    if isinstance(error, PermissionError):
        return _refused(f"{error.strerror} {error.filename or ''}")
    kinds = [kind.__module__.split(".")[0] for kind in type(error).__mro__]
    if not set(kinds) & set(_ENGINES):
        return None
    said = str(error)
    if _says(said, _REFUSED):
        return _refused(_telling_lines(said, _REFUSED))
    if _says(said, _ABSENT):
        return HomeError(
            "the home, or something in it, is not there",
            wanted="a schema and a registered model that exist",
            got=_telling_lines(said, _ABSENT),
            fix="Check the widgets `home` and `model`; docs/databricks.md says what each target has",
        )
    return None


def _refused(got: str) -> HomeError:
    return HomeError(
        "you may not use the home, or something in it",
        wanted="USE CATALOG, USE SCHEMA and SELECT on the tables, EXECUTE on the model, READ VOLUME on files",
        got=got,
        fix="Ask its owner for what is missing; docs/databricks.md says who needs what",
    )


def _says(text: str, codes: tuple[str, ...]) -> bool:
    return any(re.search(rf"\b{code}\b", text) for code in codes)


def _telling_lines(text: str, codes: tuple[str, ...]) -> str:
    """The first line with one of the codes and the one after it, without Java's trace."""
    lines = [line.strip() for line in text.splitlines()]
    first = next(place for place, line in enumerate(lines) if _says(line, codes))
    return " ".join(line for line in lines[first : first + 2] if not line.startswith(("at ", "JVM stack")))[:300]
