"""A simulated log, ingested and joined, and what two others say of it: the truth that the simulation kept aside, and a
plain reader of the raw lines with the joins' second implementation.
"""

import collections
import dataclasses
import datetime as dt
import functools
import gzip
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings, JoinSettings, SimulateSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS, CLICK_MATCHES, CLICKS, PAGE_VIEWS
from pagerec_dbx.stages.ingest import IngestResult, ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.stages.simulate import simulate
from pagerec_dbx.tables import Tables
from tests.simulation_worlds import read_line, time_of

NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
ANY_SHARE = IngestSettings(max_quarantined_share=1.0)
EPOCH, MICROSECOND = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(microseconds=1)
PAGE_LOGS, CLICK_LOGS = ("service_logs", "hashed_payloads"), ("click_logs", "page_events")


@dataclasses.dataclass(frozen=True)
class SimulatedHome:
    """A home that holds one simulated log, joined, and what the simulation counted of it."""

    tables: Tables
    logs: Path
    secret: bytes
    ingested: IngestResult
    truth: dict


def simulated_home(spark, folder: Path, page_views: int, days: int, settings: SimulateSettings) -> SimulatedHome:
    tables = Tables(spark, open_home(str(folder / "home")))
    key, _ = ensure_key(tables.home, derived_from_seed=5)
    simulate(spark, key, folder / "logs", page_views, days, settings)
    ingested = ingest(tables, folder / "logs", key, ANY_SHARE, NOW)
    join(tables, JoinSettings())
    truth = json.loads((folder / "logs" / "truth" / "faults.json").read_text())
    return SimulatedHome(tables, folder / "logs", key.read(), ingested, truth)


# --- what the product made of it --------------------------------------------------------------------------------------


def grouped(frame, *names) -> dict[tuple, int]:
    """The number of records by these columns."""
    return {tuple(row[:-1]): row[-1] for row in frame.groupBy(*names).count().collect()}


def matches_of(home: SimulatedHome) -> dict[int, tuple[int | None, str | None]]:
    """Every click's page view and the reason why it has none, by click id."""
    found = home.tables.read(CLICK_MATCHES).select("click_id", "page_view_id", "reason").collect()
    matches = {row.click_id: (row.page_view_id, row.reason) for row in found}
    assert len(matches) == len(found)
    return matches


def outcomes_of(home: SimulatedHome) -> dict[tuple, tuple]:
    """The reason, and the page view by source, request and time, of every click by what its line says."""
    clicks = home.tables.read(CLICKS).withColumn("at", F.unix_micros("clicked_at"))
    matches = home.tables.read(CLICK_MATCHES).select("click_id", "page_view_id", "reason")
    pages = home.tables.read(PAGE_VIEWS).select(
        "page_view_id", F.struct("source", "request_id", F.unix_micros("served_at").alias("at")).alias("page")
    )
    joined = clicks.join(matches, "click_id", how="left").join(pages, "page_view_id", how="left").collect()
    outcomes = {
        (row.source, row.user_hash, row.request_id, row["at"], row.row_id): (row.reason, row.page and tuple(row.page))
        for row in joined
    }
    assert len(outcomes) == len(joined)
    return outcomes


# --- what the simulation says -----------------------------------------------------------------------------------------


def counted(records: list[dict], *names: str) -> dict[tuple, int]:
    """The sum of `lines` by these names."""
    counts = collections.Counter()
    for record in records:
        counts[tuple(record[name] for name in names)] += record["lines"]
    return {key: count for key, count in counts.items() if count}


def kept_clicks(truth: dict) -> dict[tuple, int]:
    """How many clicks have which reason, by join: the repeats are gone, and a match has no reason."""
    matched = {"matched": None, "matched_other_page": None}
    kept = [record for record in truth["clicks"] if record["fate"] != "repeat"]
    reasons = [record | {"reason": matched.get(record["fate"], record["fate"])} for record in kept]
    return counted(reasons, "join_method", "reason")


def true_outcomes(home: SimulatedHome) -> dict[tuple, tuple]:
    """The fate of every click that is no repeat, and the page view that it was drawn on, in the keys of outcomes_of."""
    told = ["log", "user_hash", "request_id", "clicked_ms", "row_id", "fate"]
    of_page = ["page_source", "page_request_id", "served_at"]
    lines = pq.read_table(home.logs / "truth" / "clicks", columns=[*told, *of_page])
    served = lines["served_at"].cast(pa.timestamp("us")).cast(pa.int64())
    lines = lines.drop_columns("served_at").append_column("served_micros", served).to_pylist()
    kept = [line for line in lines if line["fate"] != "repeat"]
    outcomes = {
        (line["log"], line["user_hash"], line["request_id"], line["clicked_ms"] * 1_000, line["row_id"]): (
            line["fate"],
            (line["page_source"], line["page_request_id"], line["served_micros"]),
        )
        for line in kept
    }
    assert len(outcomes) == len(kept)
    return outcomes


def unexplained(found: dict[tuple, tuple], truth: dict[tuple, tuple]) -> list[tuple]:
    """Clicks that only one side knows, or of which the simulation says another reason or another page view."""

    def explained(click: tuple) -> bool:
        if click not in found or click not in truth:
            return False
        (reason, page), (fate, own_page) = found[click], truth[click]
        if fate == "matched":
            return reason is None and page == own_page
        if fate == "matched_other_page":
            return reason is None and page is not None and page != own_page
        return reason == fate and page is None

    return [click for click in found.keys() | truth.keys() if not explained(click)]


# --- what a plain reader finds ----------------------------------------------------------------------------------------


def oracle_records(home: SimulatedHome) -> tuple[list[dict], list[dict]]:
    """Every good line of a page view and of a click for the oracle; the ids alone are those of bronze."""
    hashed = functools.cache(lambda user: hmac.digest(home.secret, user.encode(), "sha256").hex())
    row_ids = functools.cache(str)  # one text for the many times that a row is offered
    page_ids, click_ids = _page_ids(home.tables), _click_ids(home.tables)

    def common(log: str, line: dict) -> dict:
        user = hashed(line["user_id"]) if line.get("user_id") is not None else line["user_hash"]
        micros = (time_of(line) - EPOCH) // MICROSECOND
        return {"source": log, "user": user, "request": line.get("request_id"), "time": micros}

    def page(log: str, line: dict) -> dict:
        told, record = line.get("payload", line), common(log, line)
        offered = sorted(told["candidates"], key=lambda row: row["position"])
        said = {name: told.get(name) for name in ("device", "location", "utc_offset_minutes")}
        said |= {"randomized": bool(told.get("randomized")), "history": ()}  # repeats have equal histories here
        record |= said | {"menu": tuple(row_ids(row["row_id"]) for row in offered)}
        return record | {"id": page_ids[(*_common_values(record), ",".join(record["menu"]))]}

    def click(log: str, line: dict) -> dict:
        record = common(log, line) | {"row": row_ids(line["row_click" if log == "click_logs" else "row_id"])}
        return record | {"id": click_ids[(*_common_values(record), record["row"])]}

    pages = [page(log, line) for log in PAGE_LOGS for line in _good_lines(home.logs / log)]
    events = ((log, line) for log in CLICK_LOGS for line in _good_lines(home.logs / log))
    return pages, [click(log, line) for log, line in events if line.get("event", "row_click") == "row_click"]


def _common_values(record: dict) -> tuple:
    return tuple(record[name] for name in ("source", "user", "request", "time"))


def _good_lines(folder: Path) -> Iterator[dict]:
    """One line after the other: all at once are larger than the memory."""
    for file in sorted(folder.iterdir()):
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            yield from filter(None, (read_line(line.rstrip(b"\n")) for line in lines))


def _page_ids(tables: Tables) -> dict[tuple, int]:
    menu = F.concat_ws(",", F.col("menu")["row_id"])
    good = tables.read(BRONZE_PAGE_VIEWS).where("NOT refused")
    return _ids(good, F.unix_micros("served_at"), menu, "page_view_id")


def _click_ids(tables: Tables) -> dict[tuple, int]:
    good = tables.read(BRONZE_EVENTS).where("NOT refused AND event = 'row_click'")
    return _ids(good, F.unix_micros("happened_at"), "row_id", "click_id")


def _ids(good, *columns) -> dict[tuple, int]:
    """The id, which stands last, by the source, user, request and the columns before it."""
    found = good.select("source", "user_hash", "request_id", *columns).distinct().collect()
    ids = {tuple(row[:-1]): row[-1] for row in found}
    assert len(ids) == len(found) == len(set(ids.values()))
    return ids
