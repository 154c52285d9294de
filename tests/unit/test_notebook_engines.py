"""Which errors of an engine a notebook tells as a sentence, and which it raises."""

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException

from pagerec_dbx.notebooks.desk import Desk
from pagerec_dbx.notebooks.engines import told_by_engine
from pagerec_dbx.notebooks.widgets import Widgets

TRACE = "\n\tat com.databricks.Any.call(Any.scala:1)\n\tat java.base/java.lang.Thread.run(Thread.java:1)"
MISSING = "the home, or something in it, is not there: wanted a schema and a registered model that exist, got "
REFUSED = "you may not use the home, or something in it: wanted USE CATALOG, "


@pytest.mark.parametrize(
    ("error", "first", "got"),
    [
        (
            AnalysisException("[NO_SUCH_CATALOG_EXCEPTION] Catalog 'mian' was not found." + TRACE),
            MISSING,
            "got [NO_SUCH_CATALOG_EXCEPTION] Catalog 'mian' was not found. Check the widgets `home` and `model`",
        ),
        (
            AnalysisException(
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have USE SCHEMA on x."
            ),
            REFUSED,
            "got [INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have USE SCHEMA on x. Ask its owner",
        ),
        (
            Py4JError(
                "An error occurred\n: com.databricks.UnauthorizedException: PERMISSION_DENIED: no SELECT" + TRACE
            ),
            REFUSED,
            "got : com.databricks.UnauthorizedException: PERMISSION_DENIED: no SELECT. Ask",
        ),
        (
            MlflowException("RESOURCE_DOES_NOT_EXIST: Registered model 'a.b.c' is not there", RESOURCE_DOES_NOT_EXIST),
            MISSING,
            "Registered model 'a.b.c' is not there",
        ),
        (MlflowException("PERMISSION_DENIED: needs EXECUTE", PERMISSION_DENIED), REFUSED, "needs EXECUTE"),
        (PermissionError(13, "Permission denied", "/Volumes/a/b/files"), REFUSED, "got Permission denied /Volumes/a/b"),
    ],
    ids=["catalog", "schema", "table", "model", "no execute", "volume"],
)
def test_what_is_missing_or_refused_is_a_sentence(error, first, got):
    shown: list = []

    def fail():
        raise error

    assert Desk(Widgets(), shown.append).attempt(fail) is None
    (sentence,) = shown
    assert sentence.startswith(first) and got in sentence and "\tat " not in sentence and "java.base" not in sentence


@pytest.mark.parametrize(
    "error",
    [
        AnalysisException("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `clickd` cannot be resolved."),
        MlflowException("INTERNAL_ERROR: try again", INTERNAL_ERROR),
        Py4JError("java.lang.NullPointerException"),
        KeyError("PERMISSION_DENIED"),  # says the word, and is ours
        FileNotFoundError(2, "No such file", "/Volumes/a/b/files"),
    ],
)
def test_any_other_error_is_raised(error):
    def fail():
        raise error

    with pytest.raises(type(error)):
        Desk(Widgets(), [].append).attempt(fail)
    assert told_by_engine(error) is None
