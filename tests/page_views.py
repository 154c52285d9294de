"""Builders of labelled page views and of snapshots: name what matters, the rest is filled."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pagerec_dbx.features.encoding import Lengths, packing_of
from pagerec_dbx.features.packing import IDS, RECORDS, block, pack
from pagerec_dbx.features.packing import ROWS as PACKED_ROWS
from pagerec_dbx.features.snapshot import MANIFEST, File, Manifest, Snapshot, open_snapshot, sha256_of
from pagerec_dbx.features.vocabulary import ROWS, TITLES
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS
from pagerec_dbx.tables import spark_schema

MONDAY = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)  # a Monday, midnight


def page_view(number: int, seconds: float = 0.0, **given) -> dict:
    """One labelled page view, served `seconds` after Monday midnight: rows a, b, c, the first one clicked.

    Args:
        given: columns to set. Also `titles`, a history as [(title_id, seconds before the page view or None)], and
            `rows` and `labels`, a menu and its clicks.
    """
    served_at = MONDAY + dt.timedelta(seconds=seconds)
    rows, labels = given.pop("rows", ["a", "b", "c"]), given.pop("labels", [1, 0, 0])
    titles = given.pop("titles", [])
    pinned = given.pop("pinned", [])
    values = {
        "page_view_id": number,
        "join_method": "keyed",
        "source": "service_logs",
        "request_id": f"r{number:06d}",
        "user_hash": f"{number % 7:064x}",
        "served_at": served_at,
        "day": served_at.date(),
        "utc_offset_minutes": None,
        "randomized": False,
        "device": "tv",
        "location": "NO",
        "history": [(title, None if age is None else served_at - dt.timedelta(seconds=age)) for title, age in titles],
        "menu": [(row, None, place, place in pinned) for place, row in enumerate(rows)],
        "clicked": labels,
        "clicked_row_id": None,
        "clicked_at": None,
    }
    return values | given


def labelled_page_views(spark, page_views: Sequence[dict]):
    """The page views as a frame in the schema of `labelled_page_views`."""
    names = LABELLED_PAGE_VIEWS.column_names
    records = [tuple(page_view[name] for name in names) for page_view in page_views]
    return spark.createDataFrame(records, spark_schema(LABELLED_PAGE_VIEWS))


def block_table(blocks: Sequence[Mapping[str, object]]) -> pa.Table:
    """Blocks as a table that can be written as one Parquet file."""
    kinds = {RECORDS: pa.int32(), IDS: pa.binary(), PACKED_ROWS: pa.binary()}
    return pa.table({name: pa.array([one[name] for one in blocks], kind) for name, kind in kinds.items()})


def write_snapshot(folder: Path, groups: Sequence[int], history_length: int = 3, menu_length: int = 4) -> Snapshot:
    """A training snapshot without Spark: one file a row group; page_view_id counts 0, 1, 2, ... through the groups.

    A record's lists hold its page_view_id + 2, so that a reader that mixes fields up is found out.
    """
    folder.mkdir(parents=True)
    ends = np.cumsum([0, *groups])
    packing = packing_of(
        Lengths(history_length, menu_length), {TITLES: 100_000, ROWS: 100_000}
    )  # ids as wide as may be
    files = []
    for number, (first, last) in enumerate(zip(ends, ends[1:], strict=False)):
        ids = np.arange(first, last)
        name = f"row_group={number}/part.parquet"
        (folder / name).parent.mkdir()
        rows = pack(packing, _records(ids, history_length, menu_length))
        halves = np.array_split(np.arange(len(ids)), 2) if len(ids) > 1 else [np.arange(len(ids))]  # blocks of a group
        table = block_table([block(ids[half], rows[half].tobytes()) for half in halves])
        pq.write_table(table, folder / name, compression="none")
        files.append(File(name, (folder / name).stat().st_size, sha256_of(folder / name)))
    key = OrderKey(0, None, 0)
    manifest = Manifest(
        name=folder.name, split="train", table="examples", table_version=0, vocabulary_version=1,
        title_count=int(ends[-1]) + 2, row_count=int(ends[-1]) + 2, device_count=3, location_count=3,
        history_length=history_length, menu_length=menu_length, records=int(ends[-1]), row_groups=tuple(groups),
        files=tuple(files), packed=True, schema=packing.as_schema(), first=key, last=key,
        created_at="2024-01-01T00:00:00+00:00", left_out={},
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return open_snapshot(folder)


def _records(ids: np.ndarray, history_length: int, menu_length: int) -> dict[str, np.ndarray]:
    def lists(length: int, values: np.ndarray) -> np.ndarray:
        return np.repeat(values[:, None], length, axis=1)

    return {
        "history": lists(history_length, ids + 2),
        "history_age": lists(history_length, ids + 2),
        "menu": lists(menu_length, ids + 2),
        "pinned": lists(menu_length, ids % 2),
        "clicked": lists(menu_length, ids % 2),
        "clicked_row": ids + 2,
        **{name: ids % 2 for name in ("hour", "weekday", "device", "location", "randomized", "served_at", "day")},
    }


def change_manifest(folder: Path, **changes) -> None:
    """Overwrite values of a snapshot's manifest."""
    values = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(values | changes))
