"""What a model knows of rows and titles beside page views, from the tables of a home."""

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.views import clicks_of, page_views_of
from pagerec_dbx.errors import MissingTableError, SettingError
from pagerec_dbx.features import vocabulary
from pagerec_dbx.features.attributes import Kind, described, fields_of
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.features.row_counts import count_rows
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.names import MOMENTS
from pagerec_dbx.pipelines.cuts import TRAIN, at_or_after, keep_split
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import CLICK_MATCHES, EXAMPLES, LABELLED_PAGE_VIEWS, ROWS, TITLES, VOCABULARIES, Table
from pagerec_dbx.tables import Tables


def leave_knowledge(tables: Tables, preparation: Preparation, config: ModelConfig, file: Path) -> None:
    """Write what a model of this configuration reads, once a run, where its ranks find it; nothing if it reads none.

    Raises:
        MissingTableError: see `require_known`.
    """
    if not config.needs_knowledge or file.exists():
        return
    # TensorFlow takes seconds to import.
    from pagerec_dbx.models.catalogue import Knowledge

    with watch_spark(tables.spark, "what is known of rows"):
        arrays = _of_attributes(tables, preparation, config) | _of_counts(tables, preparation, config)
    Knowledge(**arrays).save(file)


def require_known(tables: Tables, config: ModelConfig) -> None:
    """Refuse a model that reads attributes which nobody has logged, before anything is trained.

    Raises:
        MissingTableError: attributes are wanted and no line of them was ingested.
        SettingError: a field is asked for that no line has.
    """
    asked = ((ROWS, config.row_attributes), (TITLES, config.title_attributes))
    read = [_attributes(tables, table) for table, most in asked if most]
    if read and config.attribute_fields:
        require_fields(config.attribute_fields, set().union(*map(fields_of, read)))


def require_fields(asked: Sequence[str], known: Collection[str]) -> None:
    """Refuse the first field that is asked for and that nothing has.

    Raises:
        SettingError: there is one.
    """
    for field in asked:
        if field not in known:
            close = difflib.get_close_matches(field, known, n=1)
            raise SettingError(
                f"setting `attribute_fields` names `{field}`, which no row or title has",
                wanted="some of " + ", ".join(sorted(known)),
                fix=f"Write {close[0]}, perhaps" if close else "Leave it out",
            )


def _of_attributes(tables: Tables, preparation: Preparation, config: ModelConfig) -> dict[str, np.ndarray]:
    asked = {
        "row_tokens": (ROWS, "row_id", vocabulary.ROWS, config.row_count, config.row_attributes),
        "title_tokens": (TITLES, "title_id", vocabulary.TITLES, config.title_count, config.title_attributes),
    }
    kinds = {
        name: Kind(_attributes(tables, table), key, _ids(tables, preparation, kind), count, most)
        for name, (table, key, kind, count, most) in asked.items()
        if most
    }
    found: list[np.ndarray] = []
    token_fields = np.zeros(config.attribute_tokens, np.int32)
    if kinds:
        found, token_fields = described(list(kinds.values()), config.attribute_tokens, config.attribute_fields)
    nothing = {name: np.zeros((count, 0), np.int32) for name, (_, _, _, count, _) in asked.items()}
    # Only a model that knows rows by attributes asks which of them it cannot know by their own weights.
    nothing["is_new"] = _is_new(tables, preparation, config) if config.row_attributes else np.zeros(0, np.int32)
    return nothing | dict(zip(kinds, found, strict=True)) | {"token_fields": token_fields}


def _attributes(tables: Tables, table: Table) -> DataFrame:
    found = tables.read_or_empty(table)
    if found.isEmpty():
        raise MissingTableError(
            f"the table `{table.name}` has no attributes",
            wanted=f"lines of {table.name}/, see docs/data-formats.md",
            fix=f"Run `pagerec ingest` on logs that have them, or train with {table.name[:-1]}_attributes=0"
            + (" viewer_taste=false" if table is ROWS else ""),
        )
    return found


def _ids(tables: Tables, preparation: Preparation, kind: str) -> DataFrame:
    of_kind = (F.col("version") == preparation.vocabulary_version) & (F.col("kind") == kind)
    return tables.read(VOCABULARIES).where(of_kind).select("id", "token")


def _is_new(tables: Tables, preparation: Preparation, config: ModelConfig) -> np.ndarray:
    """[rows] 1 where no record of training offers the row."""
    training = keep_split(tables.read(EXAMPLES, preparation.examples_version), preparation.cuts, TRAIN)
    offered = training.select(F.explode(F.slice("menu", 1, preparation.menu_length)).alias("token")).distinct()
    seen = offered.join(F.broadcast(_ids(tables, preparation, vocabulary.ROWS)), "token").select("id").toPandas()
    is_new = np.ones(config.row_count, np.int32)
    is_new[[vocabulary.PADDING, vocabulary.UNKNOWN, *seen["id"]]] = 0
    return is_new


def _of_counts(tables: Tables, preparation: Preparation, config: ModelConfig) -> dict[str, np.ndarray]:
    if not config.row_rates:
        nothing = dict.fromkeys(("clicks", "impressions"), np.zeros((0, 0)))
        return {"moments": np.zeros(0, np.int32), "common_rate": np.zeros(0), **nothing}
    labelled = tables.read(LABELLED_PAGE_VIEWS, preparation.labelled_version)
    before = labelled.where(~at_or_after(preparation.cuts.holdout))
    # A page view from before the holdout may be clicked after it has begun: nobody knew of that.
    holdout = preparation.cuts.holdout.served_micros
    in_time = F.col("clicked_micros") < holdout
    clicks = clicks_of(before, tables.read_or_empty(CLICK_MATCHES)).where(in_time)
    ids = _ids(tables, preparation, vocabulary.ROWS)
    counts = count_rows(page_views_of(before), clicks, ids, config.row_count, MOMENTS, holdout)
    asked = {"mean_places": counts.mean_places, "hours_since": counts.hours_since} if config.row_counts else {}
    return {
        "moments": counts.moments, "common_rate": counts.common_rate, "clicks": counts.clicks,
        "impressions": counts.impressions, **asked,
    }  # fmt: skip
