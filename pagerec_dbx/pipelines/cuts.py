"""Where training ends and where the holdout begins: found by counting, without sorting or collecting the page views."""

import dataclasses
import itertools
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import PrepareSettings, parse_time
from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.pipelines.order import Cuts, OrderKey, micros_of
from pagerec_dbx.tables import union_all

TRAIN, VALIDATION, HOLDOUT = SPLITS = ("train", "validation", "holdout")

_HOUR = 3_600  # seconds


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many page views each hour has, and how many lie before the timestamps that settings name."""

    by_hour: tuple[tuple[int, int], ...]  # (hours since 1970-01-01 UTC, page views), in order of time
    before_validation: int | None  # None: the cut is a fraction
    before_holdout: int | None

    @property
    def total(self) -> int:
        return sum(count for _, count in self.by_hour)


def find_cuts(labelled: DataFrame, settings: PrepareSettings) -> Cuts:
    """The first page view of the validation part and of the holdout, by timestamps or by fractions of all page views.

    Three small jobs: page views per hour, per second of the two hours in question, and the order within those seconds.

    Raises:
        NoExamplesError: no page views, or a part that would be empty.
    """
    keys = labelled.select("served_at", "request_id", "page_view_id")
    counts = count_page_views(keys, settings)
    validation, holdout = cut_positions(counts, settings)
    return Cuts(*_keys_at(keys, counts.by_hour, [validation, holdout]))


def count_page_views(keys: DataFrame, settings: PrepareSettings) -> Counts:
    """Page views per hour and before each named timestamp, in one job."""
    hour = F.floor(F.unix_seconds("served_at") / _HOUR)
    records = (
        keys.groupBy(hour.alias("hour"))
        .agg(
            F.count("*").alias("page_views"),
            _count_before("validation_from", settings.validation_from).alias("before_validation"),
            _count_before("holdout_from", settings.holdout_from).alias("before_holdout"),
        )
        .orderBy("hour")
        .collect()  # one record an hour that has page views
    )
    return Counts(
        tuple((record["hour"], record["page_views"]) for record in records),
        None if settings.validation_from is None else sum(record["before_validation"] for record in records),
        None if settings.holdout_from is None else sum(record["before_holdout"] for record in records),
    )


def _count_before(name: str, text: str | None) -> Column:
    if text is None:
        return F.lit(None).cast("bigint")
    return F.count(F.when(F.unix_micros("served_at") < micros_of(parse_time(name, text)), True))


def cut_positions(counts: Counts, settings: PrepareSettings) -> tuple[int, int]:
    """The 0-based places, in the order of page views, at which the validation part and the holdout begin.

    A fraction gives the later part round(n x fraction) page views (a half goes to the even number, as Python rounds),
    first the holdout of all, then the validation part of what lies before it. A timestamp takes precedence; page views
    of its own instant go to the later part.

    Raises:
        NoExamplesError: a part would be empty.
    """
    total = counts.total
    if total == 0:
        raise NoExamplesError("there are no labelled page views", fix="Ingest logs and run `pagerec join`")
    holdout = counts.before_holdout
    if holdout is None:
        holdout = total - round(total * settings.holdout_fraction)
    validation = counts.before_validation
    if validation is None:
        validation = holdout - round(holdout * settings.validation_fraction)
    for part, size in ((HOLDOUT, total - holdout), (VALIDATION, holdout - validation), (TRAIN, validation)):
        if size <= 0:
            raise NoExamplesError(
                f"the {part} part is empty",
                wanted="each of train, validation and holdout with a page view",
                got=f"{total:,} page views, validation from number {validation:,}, holdout from number {holdout:,}",
                fix="Change holdout_from and validation_from, or holdout_fraction and validation_fraction",
            )
    return validation, holdout


def _keys_at(keys: DataFrame, by_hour: Sequence[tuple[int, int]], positions: Sequence[int]) -> list[OrderKey]:
    """The order keys at 0-based places: the hour is known, then the second is counted out, then sorted within."""
    hours = [locate(by_hour, position) for position in positions]
    second = F.unix_seconds("served_at")
    near = keys.where(F.floor(second / _HOUR).isin(sorted({hour for hour, _ in hours})))
    by_second = [tuple(record) for record in near.groupBy(second).count().orderBy(second).collect()]
    found = []
    for number, (hour, within_hour) in enumerate(hours):
        in_hour = [(second_, count) for second_, count in by_second if second_ // _HOUR == hour]
        at, within_second = locate(in_hour, within_hour)
        one = near.where(second == at).orderBy(*order_columns()).offset(within_second).limit(1)
        found.append(one.select(F.lit(number).alias("number"), F.unix_micros("served_at"), *_IDS))
    records = sorted(tuple(record) for record in union_all(found).collect())
    return [OrderKey(*record[1:]) for record in records]


_IDS = ("request_id", "page_view_id")


def locate(counts: Sequence[tuple[int, int]], position: int) -> tuple[int, int]:
    """Which of the ordered (bucket, count) holds a 0-based place, and how far within it the place lies."""
    ends = list(itertools.accumulate(count for _, count in counts))
    number = next(number for number, end in enumerate(ends) if position < end)
    return counts[number][0], position - (ends[number] - counts[number][1])


def order_columns() -> list[Column]:
    """The order of page views, as sort columns: no request_id comes first within an instant."""
    return [F.col("served_at").asc(), F.col("request_id").asc_nulls_first(), F.col("page_view_id").asc()]


def at_or_after(key: OrderKey) -> Column:
    """True for page views at or after a place in the order."""
    micros, name = F.unix_micros("served_at"), F.col("request_id")
    if key.request_id is None:
        name_after, name_same = name.isNotNull(), name.isNull()
    else:
        name_after, name_same = F.coalesce(name > key.request_id, F.lit(False)), name.eqNullSafe(key.request_id)
    id_reached = F.col("page_view_id") >= key.page_view_id
    return (micros > key.served_micros) | ((micros == key.served_micros) & (name_after | (name_same & id_reached)))


def with_split(page_views: DataFrame, cuts: Cuts) -> DataFrame:
    """The same records with the part that each belongs to: `train`, `validation` or `holdout`."""
    split = F.when(at_or_after(cuts.holdout), HOLDOUT).when(at_or_after(cuts.validation), VALIDATION)
    return page_views.withColumn("split", split.otherwise(TRAIN))


def keep_split(page_views: DataFrame, cuts: Cuts, split: str) -> DataFrame:
    """The records of one part; whole days that lie outside it are not read."""
    day, validation, holdout = (F.col("day"), *(F.lit(key.served_at.date()) for key in (cuts.validation, cuts.holdout)))
    days = {
        TRAIN: day <= validation,
        VALIDATION: (day >= validation) & (day <= holdout),
        HOLDOUT: day >= holdout,
    }
    return with_split(page_views.where(days[split]), cuts).where(F.col("split") == split)
