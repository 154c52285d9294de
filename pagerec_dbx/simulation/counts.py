"""How many of each fault the logs hold, counted once they are planned."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.simulation.faults import SPOILINGS, with_out_of_order


def counted_lines(places: DataFrame) -> list[dict]:
    """Lines by log, kind and fault; a handful of records.

    Args:
        places: one record per line, as `with_places`; what it tells is not looked at.
    """
    by = ["log", "kind", "spoiling", "late", "out_of_order"]
    counted = with_out_of_order(places).groupBy(*by).agg(F.count(F.lit(1)).alias("lines"))
    return [record.asDict() for record in counted.orderBy(*by).collect()]


def counted_clicks(clicks: DataFrame) -> list[dict]:
    """Click lines by kind, fate, join method and the log of their page view; a handful of records."""
    by = ["kind", "fate", "join_method", "page_source"]
    counted = clicks.groupBy(*by).agg(F.count(F.lit(1)).alias("lines")).orderBy(*by)
    return [record.asDict() for record in counted.collect()]


def counted_pages(pages: DataFrame) -> dict[str, int]:
    """Page views, viewers, pairs of page views that are open together, page views ordered at random."""
    record = pages.agg(
        F.count(F.lit(1)).alias("page_views"),
        F.count_distinct("viewer").alias("viewers"),
        F.count_if("is_second").alias("two_pages_in_window"),
        F.count_if("randomized").alias("randomized"),
    ).first()
    return record.asDict()


def faults(pages: dict[str, int], lines: list[dict], clicks: list[dict]) -> dict[str, int]:
    """The number of each fault."""
    good = [record for record in lines if record["spoiling"] is None]
    spoiled = [record for record in lines if record["spoiling"] is not None]
    group = {one.kind: one.group for one in SPOILINGS}
    without_id = [one for one in clicks if one["page_source"] == "service_logs" and one["join_method"] == "windowed"]
    return {
        "repeated_pages": _sum(good, kind="repeated_page"),
        "two_pages_in_window": pages["two_pages_in_window"],
        "double_clicks": _sum(clicks, kind="double"),
        "clicks_recorded_twice": _sum(clicks, kind="recorded_twice"),
        "clicks_past_window": _sum(clicks, kind="past_window"),
        "clicks_without_request_id": sum(one["lines"] for one in without_id),
        "clicks_without_page": _sum(clicks, kind="without_page"),
        "clicks_on_rows_not_offered": _sum(clicks, kind="not_offered"),
        "clicks_before_page": _sum(clicks, kind="before_page"),
        "clicks_of_other_viewers": _sum(clicks, kind="other_viewer"),
        "late_lines": _sum(good, late=True),
        "out_of_order_lines": _sum(good, out_of_order=True),
        "broken_lines": sum(one["lines"] for one in spoiled if group[one["spoiling"]] == "broken"),
        "hostile_lines": sum(one["lines"] for one in spoiled if group[one["spoiling"]] == "hostile"),
    }


def refusals(lines: list[dict]) -> list[dict]:
    """Lines that ingestion must refuse, by log and kind, with the reason that it gives."""
    found: dict[tuple[str, str], int] = {}
    for record in lines:
        if record["spoiling"] is not None:
            key = (record["log"], record["spoiling"])
            found[key] = found.get(key, 0) + record["lines"]
    how = {one.kind: one for one in SPOILINGS}
    return [
        {"log": log, "kind": kind, "group": how[kind].group, "reason": how[kind].reason, "lines": count}
        for (log, kind), count in sorted(found.items())
    ]


def lines_by_log(lines: list[dict]) -> dict[str, int]:
    """All lines of each log, spoiled ones included."""
    return {log: _sum(lines, log=log) for log in sorted({record["log"] for record in lines})}


def _sum(records: list[dict], **wanted: object) -> int:
    return sum(one["lines"] for one in records if all(one[name] == value for name, value in wanted.items()))
