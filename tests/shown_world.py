"""Page views of some viewers with the times of their clicks, and in plain Python what each viewer was shown before."""

import datetime as dt

from pyspark.sql import DataFrame

from pagerec_dbx.pipelines.order import OrderKey, micros_of
from pagerec_dbx.pipelines.shown import PAGES
from tests.page_views import MONDAY, page_view

Places = list[tuple[str, int, int, int]]  # row, position, clicked, age in seconds


def shown(number: int, seconds: float, rows, *clicks, **given) -> dict:
    """A page view of viewer v; `clicks` are (row, seconds after Monday midnight), in no order."""
    times = [(MONDAY + dt.timedelta(seconds=moment), rows.index(row), row) for row, moment in clicks]
    first = min(times, default=(None, None, None))
    labels = [int(row in {row for row, _ in clicks}) for row in rows]
    named = {"user_hash": "v", "clicked_row_id": first[2], "clicked_at": first[0], "clicks": times}
    return page_view(number, seconds, rows=list(rows), labels=labels, **(named | given))


def clicks_of(spark, views) -> DataFrame:
    """What of `click_matches` is read, and one record of a click that has no page view."""
    found = [(view["page_view_id"], row, moment) for view in views for moment, _, row in view["clicks"]]
    found.append((None, "a", MONDAY))
    return spark.createDataFrame(found, "page_view_id bigint, row_id string, clicked_at timestamp")


def shown_before(views, length: int) -> dict[int, Places]:
    """For each page view the rows of the ten before it, the latest first; a loop over all of them for each."""

    def rank(view):
        return OrderKey(micros_of(view["served_at"]), view["request_id"], view["page_view_id"]).rank

    def places(page, view):
        clicked = {row for moment, _, row in page["clicks"] if moment < view["served_at"]}
        age = max(1, (view["served_at"] - page["served_at"]) // dt.timedelta(seconds=1))
        return [(row[0], place + 1, int(row[0] in clicked), age) for place, row in enumerate(page["menu"])]

    found = {}
    for view in views:
        own = [page for page in views if page["user_hash"] == view["user_hash"] and rank(page) < rank(view)]
        latest = sorted(own, key=rank, reverse=True)[:PAGES]
        found[view["page_view_id"]] = [place for page in latest for place in places(page, view)][:length]
    return found
