"""Four page views of a holdout and three of the time before, small enough to be judged by hand.

The vocabulary holds a, b, c, d (ids 2 to 5); `new` came later. Letters are clicked where upper case, * is pinned.

    before the holdout: A b | a c (no click) | b NEW
    holdout 1: a* B c    2 (ordered at random): C* a d    3: NEW b    4: D a NEW
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.features.snapshot import MANIFEST, File, Manifest, sha256_of
from pagerec_dbx.pipelines.order import Cuts, OrderKey, micros_of
from pagerec_dbx.schemas import EXAMPLES, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.tables import Tables, spark_schema

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
IDS = {"a": 2, "b": 3, "c": 4, "d": 5}
ROW_COUNT = 6
BEFORE = {11: "A b", 12: "a c", 13: "b NEW"}
HOLDOUT = {1: "a* B c", 2: "C* a d", 3: "NEW b", 4: "D a NEW"}
VIEWERS = {1: "v1", 2: "v1", 3: "v2", 4: "v3"}
RANDOMIZED = {2}
NAME = "holdout-by-hand"

TRUTH = {  # page view: (click probabilities, utilities); the truth of page view 4 is lost
    1: ([0.2, 0.5, 0.3], [1.0, 3.0, 2.0]),
    2: ([0.6, 0.1, 0.3], [0.0, 2.0, 1.0]),
    3: ([0.5, 0.5], [0.0, 0.0]),
}


def menu_of(text: str) -> list[str]:
    return [row.strip("*").lower() for row in text.split()]


def clicked_of(text: str) -> list[int]:
    return [int(row.isupper() or row.strip("*").isupper()) for row in text.split()]


def pinned_of(text: str) -> list[int]:
    return [int(row.endswith("*")) for row in text.split()]


def served_at(page_view_id: int) -> dt.datetime:
    """Page views 11 to 13 on the first day, 1 to 4 on the second."""
    hours = page_view_id if page_view_id > 10 else 24 + page_view_id
    return START + dt.timedelta(hours=hours)


def key_of(page_view_id: int) -> OrderKey:
    return OrderKey(micros_of(served_at(page_view_id)), f"q{page_view_id}", page_view_id)


@dataclasses.dataclass(frozen=True)
class Pages:
    """The page views of a world, as text; those before the holdout have the ids 11 to 23, those in it 1 to 10."""

    before: Mapping[int, str]
    holdout: Mapping[int, str]
    viewers: Mapping[int, str]  # of the holdout


PAGES = Pages(BEFORE, HOLDOUT, VIEWERS)


def make_world(tables: Tables, pages: Pages = PAGES) -> Preparation:
    """Write the tables and the holdout's snapshot; the other snapshots are not needed here."""
    write_labelled(tables, pages)
    write_examples(tables, pages)
    write_snapshot(tables.home.snapshots / NAME, pages)
    return Preparation(
        preparation_id="by-hand",
        prepared_at=START,
        labelled_table="",
        labelled_version=tables.version(LABELLED_PAGE_VIEWS),
        examples_table="",
        examples_version=tables.version(EXAMPLES),
        vocabulary_version=1,
        title_count=2,
        row_count=ROW_COUNT,
        device_count=2,
        location_count=2,
        history_length=2,
        menu_length=3,
        cuts=Cuts(validation=key_of(12), holdout=key_of(1)),
        train_snapshot="",
        validation_snapshot="",
        holdout_snapshot=NAME,
        counts={},
    )


def write_labelled(tables: Tables, pages: Pages = PAGES) -> None:
    records = []
    for page_view_id, text in {**pages.before, **pages.holdout}.items():
        menu = [(row, None, place, False) for place, row in enumerate(menu_of(text))]
        values = {
            "page_view_id": page_view_id, "join_method": "keyed", "source": "service_logs", "user_hash": "v",
            "request_id": f"q{page_view_id}", "served_at": served_at(page_view_id),
            "day": served_at(page_view_id).date(), "randomized": False, "history": [], "menu": menu,
            "clicked": clicked_of(text),
        }  # fmt: skip
        records.append(tuple(values.get(name) for name in LABELLED_PAGE_VIEWS.column_names))
    frame = tables.spark.createDataFrame(records, spark_schema(LABELLED_PAGE_VIEWS))
    tables.replace(LABELLED_PAGE_VIEWS, frame)


def write_examples(tables: Tables, pages: Pages = PAGES) -> None:
    records = []
    for page_view_id, text in pages.holdout.items():
        values = {
            "page_view_id": page_view_id, "request_id": f"q{page_view_id}", "user_hash": pages.viewers[page_view_id],
            "served_at": served_at(page_view_id), "day": served_at(page_view_id).date(),
            "randomized": page_view_id in RANDOMIZED, "history": [], "history_age": [], "menu": menu_of(text),
            "pinned": pinned_of(text), "clicked": clicked_of(text), "hour": 0, "weekday": 0,
        }  # fmt: skip
        records.append(tuple(values.get(name) for name in EXAMPLES.column_names))
    tables.replace(EXAMPLES, tables.spark.createDataFrame(records, spark_schema(EXAMPLES)))


def padded(values: list[int], length: int = 3) -> list[int]:
    return values + [0] * (length - len(values))


def write_snapshot(folder, pages: Pages = PAGES) -> None:
    """One Parquet file with two page views in each row group."""
    folder.mkdir(parents=True)
    records = [
        {
            "history": [0, 0], "history_age": [0, 0], "menu": padded([IDS.get(row, 1) for row in menu_of(text)]),
            "pinned": padded(pinned_of(text)), "clicked": padded(clicked_of(text)), "clicked_row": 0, "hour": 0,
            "weekday": 0, "device": 0, "location": 0, "page_view_id": number, "day": 19_724,
            "user_hash": pages.viewers[number], "randomized": int(number in RANDOMIZED),
        }
        for number, text in pages.holdout.items()
    ]  # fmt: skip
    int32, int8 = pa.list_(pa.int32()), pa.list_(pa.int8())
    kinds = {"history": int32, "history_age": int32, "menu": int32, "pinned": int8, "clicked": int8}
    kinds |= {"page_view_id": pa.int64(), "user_hash": pa.string(), "randomized": pa.int8()}
    schema = pa.schema([(name, kinds.get(name, pa.int32())) for name in records[0]])
    pq.write_table(pa.Table.from_pylist(records, schema), folder / "part.parquet", row_group_size=2)
    file = File("part.parquet", (folder / "part.parquet").stat().st_size, sha256_of(folder / "part.parquet"))
    manifest = Manifest(
        name=folder.name, split="holdout", table="examples", table_version=0, vocabulary_version=1, title_count=2,
        row_count=ROW_COUNT, device_count=2, location_count=2, history_length=2, menu_length=3,
        records=len(records), row_groups=(2,) * (len(records) // 2), files=(file,),
        packed=False, schema={}, first=key_of(1), last=key_of(max(pages.holdout)), created_at=START.isoformat(),
        left_out={},
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def write_page_view(tables: Tables, number: int, served: dt.datetime) -> None:
    """The only page view of the home: how old a holdout is counts to the newest one."""
    values = {
        "page_view_id": number, "source": "service_logs", "request_id": f"q{number}", "user_hash": "v5",
        "served_at": served, "randomized": False, "history": [], "menu": [("a", None, 0, False)], "late_titles": 0,
        "records": 1, "day": served.date(),
    }  # fmt: skip
    record = tuple(values.get(name) for name in PAGE_VIEWS.column_names)
    tables.replace(PAGE_VIEWS, tables.spark.createDataFrame([record], spark_schema(PAGE_VIEWS)))


def write_truth(tables: Tables, folder) -> None:
    """LOGS/truth as the simulation leaves it."""
    records = [
        (f"q{number}", VIEWERS[number], served_at(number), menu_of(HOLDOUT[number]), *TRUTH[number]) for number in TRUTH
    ]
    kinds = "request_id string, user_hash string, served_at timestamp, row_ids array<string>, "
    kinds += "click_probabilities array<double>, utilities array<double>"
    tables.spark.createDataFrame(records, kinds).write.parquet(str(folder / "page_views"))


def ranker_by_id(known: int, nan_on: int | None = None):
    """A loader whose ranker scores a row by its id and knows ids below `known`; workers get the class with it."""

    class ById:
        def menu_scores(self, record):
            ids = record["menu"]
            scores = np.where(ids == 0, -np.inf, np.where(ids < known, ids, 1)).astype(np.float32)
            return scores if nan_on is None else np.where(ids == nan_on, np.nan, scores)

        def vocabulary_scores(self, record):
            return np.tile(np.arange(known, dtype=np.float32), (len(record["menu"]), 1))

    return ById
