"""What a command, a job or a notebook works with: a home, its settings, its tables and its registry."""

import dataclasses
import datetime as dt
import functools

from pagerec_dbx.config import Settings
from pagerec_dbx.home import Home
from pagerec_dbx.progress import working
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.spark import spark_session
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class Workbench:
    """Engines start when they are first asked for, so that a small command stays quick."""

    home: Home
    settings: Settings
    given: frozenset[str] = frozenset()  # names of the settings that were asked for
    model: str | None = None  # registered, without its schema; `default_model` where it is not given

    @functools.cached_property
    def tables(self) -> Tables:
        with working("Spark starts"):
            return Tables(spark_session(log_file=self.home.logs / "spark.log"), self.home)

    @functools.cached_property
    def registry(self) -> Registry:
        return Registry(self.home, self.model)

    def now(self) -> dt.datetime:
        """The clock; everything below is handed the time."""
        return dt.datetime.now(dt.UTC)
