"""A failure at every write point of `prepare`, then the command again: what an undisturbed run leaves.

Three runs: the first of a home; one after a day has come, which also removes snapshots that are too old; and one that
finds snapshots damaged, half-written and half-removed.
"""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features import publishing, vocabulary
from pagerec_dbx.features.leases import MANIFEST
from pagerec_dbx.features.packing import block, block_ids, block_rows, packing_from_schema
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot, sha256_of
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import EXAMPLES, LABELLED_PAGE_VIEWS
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.tables import Tables
from tests.crashes import Image, Point, imaging, leave_home, places, stopped_at
from tests.page_views import block_table, change_manifest, labelled_page_views, page_view
from tests.prepared_content import prepared_content

pytestmark = pytest.mark.slow

SETTINGS = PrepareSettings(holdout_fraction=0.25, validation_fraction=0.3, history_length=2, menu_length=4)
NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=40)  # snapshots are kept for 30
A_DAY = 86_400
REMOVING = ((shutil, "rmtree"), (Path, "rename"))
FUNCTIONS = ((publishing, "_write_files"), *REMOVING)
HALF_REMOVED = "train-v0-0123456789abcdef"
WRITTEN = {
    "first": {
        "create": {"vocabularies", "examples", "preparations"},
        "append": {"vocabularies", "preparations"},
        "note": {"day-ledger.json", MANIFEST},
        "replace": {"examples"},
        "call": {"_write_files"},
    },
    "later": {
        "append": {"vocabularies", "preparations"},
        "note": {"day-ledger.json", MANIFEST},
        "replace_where": {"examples"},
        "call": {"_write_files", "rename", "rmtree"},
    },
    "damaged": {
        "append": {"preparations"},
        "note": {MANIFEST},
        "call": {"_write_files", "rename", "rmtree"},
    },
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One undisturbed run of `prepare`."""

    points: list[Point]
    images: list[Image]
    wanted: dict[str, list[str]]
    home: Path  # afterwards
    now: dt.datetime


@pytest.fixture(scope="module")
def runs(spark, tmp_path_factory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("prepare-crashes")
    tables = Tables(spark, open_home(str(folder / "first")))
    _label(tables, range(200), 0)
    first = _recorded(tables, NOW)
    tables = _copied(spark, first.home, folder / "later")
    _label(tables, range(200, 240), A_DAY)
    later = _recorded(tables, LATER)
    tables = _copied(spark, later.home, folder / "damaged")
    _damage(tables)
    return {"first": first, "later": later, "damaged": _recorded(tables, LATER)}


def _label(tables: Tables, numbers: range, seconds: int) -> None:
    """One page view a minute of one day; every fifth has no click. From 110 on another row is offered."""
    views = [
        page_view(
            number,
            seconds + 60 * number,
            titles=[(f"t{number % 4}", 90), (f"t{number % 3}", 30)],
            rows=["a", "b", f"r{number % 5}", "early" if number < 110 else "late"],
            labels=[0, 0, 0, 0] if number % 5 == 0 else [1, 0, 0, 0],
        )
        for number in numbers
    ]
    tables.append(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, views))
    Ledger(tables.home).written(LABELLED_PAGE_VIEWS, {views[0]["day"]: "a join"})


def _recorded(tables: Tables, now: dt.datetime) -> Run:
    folder = tables.home.folder
    with imaging(folder, folder.with_name(f"{folder.name}-images"), FUNCTIONS) as recorded:
        prepare(tables, SETTINGS, now)
    return Run(recorded.points, recorded.images, prepared_content(tables), folder, now)


def _copied(spark, home: Path, folder: Path) -> Tables:
    shutil.copytree(home, folder)
    return Tables(spark, Home(str(folder)))


def _damage(tables: Tables) -> None:
    """Cut a file of the training snapshot, leave half of the validation's and an old one half-removed."""
    newest = latest_preparation(tables)
    train, validation = (newest.folder(tables.home, split) for split in ("train", "validation"))
    path = open_snapshot(train).paths[5]
    path.write_bytes(path.read_bytes()[:-1])
    old = tables.home.snapshots / HALF_REMOVED
    shutil.copytree(validation, old)
    (old / MANIFEST).rename(old / "manifest.removed")
    (validation / MANIFEST).unlink()
    for folder in (old, validation):
        for part in sorted(folder.glob("row_group=*"))[::2]:
            shutil.rmtree(part)


def _require_equal(tables: Tables, wanted: dict[str, list[str]], moment: str = "") -> None:
    got = prepared_content(tables)
    for name, records in wanted.items():
        assert got[name] == records, (name, moment)
    assert None not in {record.made_from for record in Ledger(tables.home).revisions(EXAMPLES).values()}, moment


@pytest.mark.parametrize("name", WRITTEN)
def test_a_run_that_is_killed_once_at_any_point_ends_like_an_undisturbed_one(spark, runs, name):
    """Before and after every write the home is kept as a kill would leave it, and prepared again an hour later."""
    run = runs[name]
    assert places(run.points) == WRITTEN[name]
    print(f"{len(run.points)} points of `prepare` ({name}), {len(run.images)} images")
    for image in run.images:
        killed = Tables(spark, Home(str(image.folder)))
        prepare(killed, SETTINGS, run.now + dt.timedelta(hours=1))
        _require_equal(killed, run.wanted, image.moment)
        leave_home(spark, image.folder)


def test_the_three_runs_differ_in_what_they_have_to_do(runs):
    first, later, damaged = runs.values()
    assert first.wanted["snapshots"] == later.wanted["snapshots"] == ["holdout", "train", "validation"]
    for name in ("vocabularies", "examples"):
        assert first.wanted[name] != later.wanted[name]
    assert damaged.wanted == later.wanted  # mended


def test_a_run_that_raises_at_its_writes_again_and_again_ends_like_an_undisturbed_one(spark, runs, tmp_path):
    """One home, stopped at one point after the other by an exception: no handler may tidy up what was written."""
    tables = Tables(spark, open_home(str(tmp_path / "home")))
    _label(tables, range(200), 0)
    run_it = lambda: prepare(tables, SETTINGS, NOW)  # noqa: E731
    chosen = (Point("replace", "examples", 1), Point("call", "_write_files", 2), Point("note", MANIFEST, 2))
    for number, point in enumerate(chosen):
        assert stopped_at(point, number % 2 == 0, run_it, FUNCTIONS), point
    run_it()
    _require_equal(tables, runs["first"].wanted)


# --- negative controls ------------------------------------------------------------------------------------------------


def _append_examples(patch) -> None:
    real = Tables.replace

    def replace(self, table, frame):
        return self.append(table, frame) if table is EXAMPLES else real(self, table, frame)

    patch.setattr(Tables, "replace", replace)


def _forget_versions(patch) -> None:
    nothing = {kind: () for kind in vocabulary.KINDS}
    patch.setattr(vocabulary, "_lineage", lambda tables: (nothing, {}))


@pytest.mark.parametrize(
    ("break_it", "point", "noticed"),
    [
        # `prepare` itself sees that the row groups have other sizes than it counted.
        (_append_examples, Point("append", "examples", 1), "was not written as one row group a file"),
        (_forget_versions, Point("append", "vocabularies", 1), "'vocabularies'"),
    ],
)
def test_a_write_that_is_not_idempotent_is_noticed(spark, runs, tmp_path, monkeypatch, break_it, point, noticed):
    """Examples that are added where they should be replaced; a vocabulary that is stored whether it is there or not."""
    tables = Tables(spark, open_home(str(tmp_path / "home")))
    _label(tables, range(200), 0)
    break_it(monkeypatch)
    assert stopped_at(point, True, lambda: prepare(tables, SETTINGS, NOW))
    with pytest.raises((AssertionError, SnapshotError), match=noticed):
        prepare(tables, SETTINGS, NOW)
        _require_equal(tables, runs["first"].wanted)


def test_records_of_a_snapshot_in_another_order_are_noticed(spark, runs, tmp_path):
    tables = _copied(spark, runs["first"].home, tmp_path / "home")
    snapshot = open_snapshot(latest_preparation(tables).folder(tables.home, "train"))
    packing = packing_from_schema(snapshot.manifest.schema)
    blocks = pq.ParquetFile(snapshot.paths[0]).read().to_pylist()
    turned = [
        block(block_ids(one["page_view_id"])[::-1], block_rows(one["rows"], packing.words)[::-1].tobytes())
        for one in blocks[::-1]
    ]
    pq.write_table(block_table(turned), snapshot.paths[0])
    files = [
        {"name": file.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for file, path in zip(snapshot.manifest.files, snapshot.paths, strict=True)
    ]
    change_manifest(snapshot.folder, files=files)
    with pytest.raises(AssertionError, match="snapshot of train"):
        _require_equal(tables, runs["first"].wanted)


def test_a_snapshot_that_is_left_behind_is_noticed(spark, runs, tmp_path):
    tables = _copied(spark, runs["later"].home, tmp_path / "home")
    (tables.home.snapshots / HALF_REMOVED).mkdir()
    with pytest.raises(AssertionError, match="snapshots"):
        _require_equal(tables, runs["later"].wanted)
