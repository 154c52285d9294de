"""Scoring page views in Spark, held against one page at a time in plain Python."""

import datetime as dt
import functools
import os
import sys
import uuid
from pathlib import Path

import pytest
from pyspark import cloudpickle
from pyspark.sql import functions as F

from pagerec_dbx.errors import MissingTableError, ScoresError, UsageError
from pagerec_dbx.schemas import PAGE_VIEWS, RANKED_MENUS
from pagerec_dbx.scoring.batch import PAGES_AT_ONCE
from pagerec_dbx.stages.rank import rank_page
from pagerec_dbx.stages.score import score
from pagerec_dbx.tables import spark_schema
from tests import stand_in_ranker
from tests.stand_in_ranker import StandInRanker, stand_in_score

# Workers have the package, but not necessarily the tests: what these define travels to them whole.
cloudpickle.register_pickle_by_value(stand_in_ranker)
cloudpickle.register_pickle_by_value(sys.modules[__name__])

UTC = dt.UTC
START = dt.datetime(2024, 1, 1, 22, 30, tzinfo=UTC)  # a Monday


def seen(title, seconds_before=None, served_at=START):
    """A title of a history; without `seconds_before` its time is unknown."""
    return (title, None if seconds_before is None else served_at - dt.timedelta(seconds=seconds_before))


def page_view(page_view_id, rows=("a", "b", "c"), pinned=(), history=(), served_at=START, **other):
    """A record of `page_views`; what does not matter is filled in."""
    menu = [(row, None, place, place in pinned) for place, row in enumerate(rows)]
    record = {
        "page_view_id": page_view_id, "source": "service", "request_id": None, "user_hash": "u", "served_at": served_at,
        "utc_offset_minutes": None, "randomized": False, "device": None, "location": None,
        "history": list(history), "menu": menu, "late_titles": 0, "records": 1, "day": served_at.date(), **other,
    }  # fmt: skip
    return tuple(record[name] for name in PAGE_VIEWS.column_names)


def write(tables, views):
    tables.replace(PAGE_VIEWS, tables.spark.createDataFrame(views, spark_schema(PAGE_VIEWS)))


def ranked(tables, version="7"):
    """page_view_id -> [(row, score)] of one version; fails where a page view has two records."""
    records = tables.read(RANKED_MENUS).where(F.col("version") == version).collect()
    assert len({record.page_view_id for record in records}) == len(records)
    return {record.page_view_id: [tuple(row) for row in record.ranked] for record in records}


def expected(rows, pinned, context, levels):
    """One page in plain Python: scores by the stand-in, pinned rows in place, ties in page order."""
    scores = [float(stand_in_score(row, context, levels)) for row in rows]
    movable = sorted((place for place in range(len(rows)) if place not in pinned), key=lambda place: -scores[place])
    shown = [place if place in pinned else None for place in range(len(rows))]
    remaining = iter(movable)
    shown = [next(remaining) if place is None else place for place in shown]
    return [(rows[place], scores[place]) for place in shown]


def load_stand_in():
    return StandInRanker()


def load_with_ties():
    return StandInRanker(levels=3)


def test_score_reads_each_page_as_the_reference_and_as_rank_do(tables):
    rows = [f"row{number}" for number in range(40)]
    history = [seen("t0", 9_000), seen("t1", 600.7), seen("t2"), seen("t3", 0.5), seen("now", 0), seen("later", -60)]
    known = {"utc_offset_minutes": 120, "device": "tv", "location": "DE"}
    write(tables, [
        page_view(1, rows, history=history, **known),
        page_view(2, rows, utc_offset_minutes=-1_380),
        page_view(3, rows, history=history[:1]),
        page_view(4, rows, pinned=(0, 7, 39), history=history, **known),
    ])  # fmt: skip
    score(tables, "7", load_with_ties)
    # Page 1: 22:30 UTC on Monday is Tuesday 00:30 there. What was watched at or after the page view is no history; of
    # the other four titles the last three count, in whole seconds; half a second is at least 1.
    first = ([("t1", 600), ("t2", 0), ("t3", 1)], 0, 1, "tv", "DE")
    second = ([], 23, 6, "", "")  # 23 hours earlier: Sunday 23:30
    third = ([("t0", 9_000)], 22, 0, "", "")
    result = ranked(tables)
    for number, context in enumerate([first, second, third], start=1):
        assert result[number] == expected(rows, (), context, 3)
    assert result[4] == expected(rows, (0, 7, 39), first, 3)
    assert [result[4][place][0] for place in (0, 7, 39)] == ["row0", "row7", "row39"]

    line = {
        "timestamp": START.isoformat(),
        "watch_history": [{"title_id": title, "watched_at": time and time.isoformat()} for title, time in history],
        "candidates": [{"row_id": row, "pinned": place in (0, 7, 39)} for place, row in enumerate(rows)],
        **known,
    }
    one = rank_page(load_with_ties(), line)
    assert [(row["row_id"], row["score"]) for row in one["ranked"]] == result[4]


def load_and_leave_a_mark(folder):
    Path(folder, f"{os.getpid()} {uuid.uuid4()}").touch()
    return StandInRanker()


def test_score_takes_more_page_views_than_a_batch_and_menus_of_500(tables, tmp_path):
    count = 2 * PAGES_AT_ONCE + 100
    rows = [f"row{number}" for number in range(500)]
    menu = F.transform(F.sequence(F.lit(0), F.col("id").cast("int") % 3), _menu_row)
    one = tables.spark.createDataFrame([page_view(0, rows)], spark_schema(PAGE_VIEWS))
    ids = tables.spark.range(1, count, numPartitions=1)
    many = ids.crossJoin(one.drop("page_view_id", "menu")).select(
        F.col("id").alias("page_view_id"), "*", menu.alias("menu")
    )
    tables.replace(PAGE_VIEWS, many.drop("id").unionByName(one))

    marks = tmp_path / "loads"
    marks.mkdir()
    assert score(tables, "7", functools.partial(load_and_leave_a_mark, str(marks))).page_views == count
    processes = [mark.name.split()[0] for mark in marks.iterdir()]
    assert len(processes) == len(set(processes)) > 0  # each worker process loads once, however many batches it ranks

    result, context = ranked(tables), ([], 22, 0, "", "")
    assert result[0] == expected(rows, (), context, 1_000_003)
    by_size = [expected([f"row{n}" for n in range(size)], (), context, 1_000_003) for size in (1, 2, 3)]
    assert all(result[number] == by_size[number % 3] for number in range(1, count))


def _menu_row(number):
    return F.struct(
        F.concat(F.lit("row"), number).alias("row_id"), F.lit(None).cast("string").alias("row_title"),
        number.alias("position"), F.lit(False).alias("pinned"),
    )  # fmt: skip


HOURS = [START + dt.timedelta(hours=number) for number in range(4)]  # 22:30, 23:30, 0:30, 1:30


def test_score_replaces_its_own_range_only(tables):
    write(tables, [page_view(number, served_at=moment) for number, moment in enumerate(HOURS)])
    assert score(tables, "7", load_stand_in).page_views == 4
    assert score(tables, "it's 8", load_stand_in).page_views == 4
    before, other = ranked(tables), ranked(tables, "it's 8")

    # From 23:30 inclusive to 1:30 exclusive, over midnight: pages 1 and 2 are scored again, with other scores.
    result = score(tables, "7", load_with_ties, HOURS[1], HOURS[3])
    assert result.page_views == 2
    after = ranked(tables)
    assert [number for number in range(4) if before[number] != after[number]] == [1, 2]
    assert ranked(tables, "it's 8") == other

    # Dates begin at midnight; times without an offset are UTC, those with one are where they say.
    assert score(tables, "7", load_stand_in, dt.date(2024, 1, 2)).page_views == 2
    assert score(tables, "7", load_stand_in, None, dt.datetime(2024, 1, 1, 23, 30)).page_views == 1
    east = dt.timezone(dt.timedelta(hours=2))
    assert score(tables, "7", load_stand_in, dt.datetime(2024, 1, 2, 3, 30, tzinfo=east)).page_views == 1

    write(tables, [page_view(0)])  # the page views of a range are gone: so are their rankings
    assert score(tables, "7", load_stand_in, HOURS[1], HOURS[3]).page_views == 0
    assert sorted(ranked(tables)) == [0, 3]


def test_score_says_what_it_lacks(tables):
    with pytest.raises(UsageError, match="the time range is empty: wanted --from before --to"):
        score(tables, "7", load_stand_in, HOURS[1], HOURS[1])
    with pytest.raises(MissingTableError, match="`page_views` does not exist"):
        score(tables, "7", load_stand_in)


class Foreign(StandInRanker):
    """Answers with the rows of another page."""

    def rank(self, pages):
        answer = super().rank(pages)
        answer["row_id"][answer["row_id"] == "b"] = "x"
        return answer


def test_score_writes_nothing_of_a_faulty_model_and_of_no_page_views(tables):
    write(tables, [page_view(4_711)])
    with pytest.raises(ScoresError, match="other rows than it was given on page view 4711"):
        score(tables, "7", Foreign)
    assert ranked(tables) == {}
    write(tables, [])
    assert score(tables, "7", load_stand_in).page_views == 0
    assert ranked(tables) == {}
