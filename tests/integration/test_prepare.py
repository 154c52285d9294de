"""The stage `prepare` and the snapshots it publishes, on Delta tables."""

import dataclasses
import datetime as dt
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.errors import MissingTableError, NoExamplesError, SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import MANIFEST, open_snapshot, read_batches
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.features.vocabulary import load_vocabulary, read_vocabulary
from pagerec_dbx.home import open_home
from pagerec_dbx.pipelines.cuts import SPLITS
from pagerec_dbx.schemas import CLICK_MATCHES, EXAMPLES, LABELLED_PAGE_VIEWS, SHOWN
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.tables import Tables
from tests.page_views import labelled_page_views, page_view

NOW = dt.datetime(2024, 2, 1, 12, tzinfo=dt.timezone.utc)
SETTINGS = PrepareSettings(
    holdout_fraction=0.25, validation_fraction=0.3, history_length=2, menu_length=4, max_titles=5
)


def world(numbers) -> list[dict]:
    """One page view a minute. Every fifth has no click; every seventh has its click in the fifth row, past M = 4."""
    return [
        page_view(
            number,
            60 * number,
            titles=[(f"t{number % 4}", 90), (f"t{number % 3}", 30)],
            rows=["a", "b", "c", f"r{number % 5}", "late" if number < 150 else "later"],
            labels=[0] * 5 if number % 5 == 0 else [0, 0, 0, 0, 1] if number % 7 == 0 else [1, 0, 0, 0, 0],
            randomized=number % 2 == 0,
        )
        for number in numbers
    ]


# 200 page views: the holdout is the last 50 (150 to 199), validation round(150 x .3) = 45 before it (105 to 149).
PARTS = {"train": range(105), "validation": range(105, 150), "holdout": range(150, 200)}


def clicked(numbers, past_menu=False) -> list[int]:
    return [number for number in numbers if number % 5 and (past_menu or number % 7)]


@pytest.fixture(scope="module")
def prepared(spark, tmp_path_factory):
    """A home after one `prepare`, and its result. Tests that write take a copy."""
    tables = Tables(spark, open_home(str(tmp_path_factory.mktemp("prepared") / "home")))
    tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(spark, world(range(200))))
    return tables, prepare(tables, SETTINGS, NOW)


@pytest.fixture
def copy(prepared, tmp_path):
    """The prepared home to write to; versions of Delta tables move with their folders."""
    tables, _ = prepared
    shutil.copytree(tables.home.folder, tmp_path / "copy")
    return Tables(tables.spark, open_home(str(tmp_path / "copy")))


def snapshot_of(tables, split):
    return open_snapshot(latest_preparation(tables).folder(tables.home, split))


def ids_of(snapshot) -> list[int]:
    return [int(page_view_id) for batch in read_batches(snapshot, 100) for page_view_id in batch["page_view_id"]]


def records_of(snapshot) -> dict[str, np.ndarray]:
    batches = list(read_batches(snapshot, 1_000))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_prepare_puts_every_clicked_page_view_into_its_part(prepared):
    tables, result = prepared
    assert sorted(ids_of(snapshot_of(tables, "train"))) == clicked(PARTS["train"])
    assert sorted(ids_of(snapshot_of(tables, "validation"))) == clicked(PARTS["validation"])
    assert sorted(ids_of(snapshot_of(tables, "holdout"))) == clicked(PARTS["holdout"], past_menu=True)
    for split in SPLITS:
        kept = len(clicked(PARTS[split], past_menu=split == "holdout"))
        with_click = len(clicked(PARTS[split], past_menu=True))
        names = ("page_views", "clicked", "records", "left_out")
        assert [result.counts[f"{split}_{name}"] for name in names] == [
            len(PARTS[split]), with_click, kept, with_click - kept
        ]  # fmt: skip
    assert (result.validation_from, result.holdout_from) == ("2024-01-01T01:45:00+00:00", "2024-01-01T02:30:00+00:00")


def test_prepare_counts_vocabularies_on_the_training_part(prepared):
    tables, result = prepared
    version = result.vocabulary_version
    # Every page view has a, b, c and late; r0 to r4 on 21 each of 105; `later` only on the holdout's.
    assert read_vocabulary(tables, version, "rows") == ["a", "b", "c", "late", "r0", "r1", "r2", "r3", "r4"]
    # By number % 12, t0 has 3 + 4, t1 3 + 4, t2 3 + 4, t3 3 of 12; 3 tokens fit into 5 entries: t3 is unknown.
    assert read_vocabulary(tables, version, "titles") == ["t0", "t1", "t2"]
    assert (result.titles, result.rows) == (5, 11)


def test_prepare_writes_equal_shuffled_row_groups(prepared):
    tables, _ = prepared
    for split in ("train", "validation"):
        manifest = snapshot_of(tables, split).manifest
        assert len(manifest.row_groups) == 24
        assert max(manifest.row_groups) - min(manifest.row_groups) <= 1
    ids = ids_of(snapshot_of(tables, "train"))
    assert ids != sorted(ids)


def test_holdout_snapshot_has_whole_menus_and_its_viewers(prepared):
    tables, _ = prepared
    snapshot = snapshot_of(tables, "holdout")
    records = records_of(snapshot)
    assert snapshot.manifest.menu_length == 5 and records["menu"].shape == (len(records["hour"]), 5)
    page = list(records["page_view_id"]).index(161)  # click in the fifth row, `later`: not in the vocabulary
    assert records["clicked"][page].tolist() == [0, 0, 0, 0, 1]
    assert (records["menu"][page].tolist(), records["clicked_row"][page]) == ([2, 3, 4, 7, 1], 1)
    assert records["user_hash"][page] == f"{161 % 7:064x}"
    assert not records["randomized"][page]
    assert set(pq.read_schema(snapshot_of(tables, "train").paths[0]).names) & {"user_hash", "randomized"} == set()


def test_training_snapshot_streams_through_petastorm(prepared):
    tables, _ = prepared
    snapshot = snapshot_of(tables, "train")
    seen = []
    for rank in range(2):
        with open_stream(snapshot, Shard(rank, 2), 16, 1) as batches:
            for batch in batches:
                assert batch["history"].shape[1:] == [2] and batch["menu"].shape[1:] == [4]
                seen += batch["page_view_id"].numpy().tolist()
    assert sorted(seen) == clicked(PARTS["train"])


def test_manifest_says_what_the_snapshot_was_made_of(prepared):
    tables, result = prepared
    manifest = snapshot_of(tables, "train").manifest
    assert (manifest.name, manifest.split, manifest.table) == (result.snapshots["train"], "train", "examples")
    assert manifest.table_version == tables.version(EXAMPLES)
    assert (manifest.first.page_view_id, manifest.last.page_view_id) == (1, 104)
    assert manifest.left_out == {"clicks_past_menu": 12}  # multiples of 7, not of 5, below 105
    assert (manifest.packed, manifest.schema["history"], manifest.schema["clicked"]) == (True, "uint16[2]", "int8[4]")
    assert snapshot_of(tables, "holdout").manifest.schema["history"] == "list<element: int32>"
    assert (manifest.title_count, manifest.row_count) == (5, 11)


def test_latest_preparation_is_what_prepare_stored(prepared):
    tables, result = prepared
    preparation = latest_preparation(tables)
    assert preparation.preparation_id == result.preparation_id
    assert preparation.prepared_at == NOW
    assert preparation.holdout == result.snapshots["holdout"]
    assert preparation.cuts.holdout.served_at.isoformat() == result.holdout_from
    assert preparation.cuts.holdout.page_view_id == 150
    assert dict(preparation.counts) == dict(result.counts)


def test_prepare_again_reuses_what_is_complete_and_writes_anew_what_is_not(copy):
    train, validation, holdout = (snapshot_of(copy, split) for split in ("train", "validation", "holdout"))
    wanted, wanted_ids = records_of(train), ids_of(validation)
    before = {path: path.stat().st_mtime_ns for path in holdout.folder.rglob("*")}
    examples_version, preparation_id = copy.version(EXAMPLES), latest_preparation(copy).preparation_id
    (train.folder / MANIFEST).unlink()  # killed between the files and the manifest
    (train.folder / "row_group=0" / "half-written.parquet").write_bytes(b"PAR1")
    with open(validation.paths[3], "ab") as file:
        file.write(b"x")
    with pytest.raises(SnapshotError, match="has no manifest"):
        open_snapshot(train.folder)
    with pytest.raises(SnapshotError) as told:
        open_snapshot(validation.folder)
    assert told.value.fix.startswith(f"Run `{SETTINGS.as_command()}` for this home")  # as is done below
    with (
        pytest.raises(SnapshotError, match=f"{validation.folder.name} is to be removed and is being read"),
        reading(validation.folder),
    ):
        prepare(copy, SETTINGS, NOW + dt.timedelta(hours=1))
    assert validation.paths[2].exists()  # whoever reads the damaged one is not left without files
    prepare(copy, SETTINGS, NOW + dt.timedelta(hours=1))
    assert {path: path.stat().st_mtime_ns for path in holdout.folder.rglob("*")} == before
    assert copy.version(EXAMPLES) == examples_version
    latest = latest_preparation(copy)
    assert (latest.preparation_id, latest.prepared_at) == (preparation_id, NOW + dt.timedelta(hours=1))
    assert not (train.folder / "row_group=0" / "half-written.parquet").exists()
    np.testing.assert_equal(records_of(open_snapshot(train.folder)), wanted)
    assert ids_of(open_snapshot(validation.folder)) == wanted_ids


def test_snapshot_has_one_version_and_not_what_it_deleted(copy):
    """Page view 3 goes, 500 comes: the new snapshot follows, the old one stays as it was."""
    old = snapshot_of(copy, "train")
    views = [view for view in world(range(200)) if view["page_view_id"] != 3] + [page_view(500, 1)]
    copy.replace(LABELLED_PAGE_VIEWS, labelled_page_views(copy.spark, views))
    prepare(copy, SETTINGS, NOW + dt.timedelta(hours=1))
    new = snapshot_of(copy, "train")
    assert old.folder != new.folder
    assert 3 not in ids_of(new) and 500 in ids_of(new)
    assert 3 in ids_of(open_snapshot(old.folder)) and 500 not in ids_of(open_snapshot(old.folder))
    # Control: whoever reads the Parquet files in the Delta folder finds the deleted page view.
    files = (copy.home.folder / "tables" / "examples").rglob("part-*.parquet")
    assert 3 in {number for file in files for number in pq.read_table(file)["page_view_id"].to_pylist()}


@pytest.mark.slow
def test_another_training_part_extends_the_vocabulary(copy):
    earlier = load_vocabulary(copy, latest_preparation(copy).vocabulary_version)
    # Training up to minute 155, so that `later` appears on 5 page views; validation 156 to 189.
    changed = dataclasses.replace(
        SETTINGS, validation_from="2024-01-01T02:35:00Z", holdout_from="2024-01-01T03:10:00Z", max_titles=6
    )
    result = prepare(copy, changed, NOW + dt.timedelta(hours=1))
    later = load_vocabulary(copy, result.vocabulary_version)
    assert (earlier.version, later.version) == (1, 2)
    assert later.tokens["rows"] == (*earlier.tokens["rows"], "later")
    assert later.tokens["titles"] == (*earlier.tokens["titles"], "t3")
    assert result.counts["train_page_views"] == 155
    assert latest_preparation(copy).vocabulary_version == 2


@pytest.mark.slow
def test_heavy_viewers_are_capped_in_training_and_validation_only(copy, prepared):
    """Seven viewers, page views of one day: those with the lowest hashes are kept."""
    _, free = prepared
    capped = dataclasses.replace(SETTINGS, max_examples_per_viewer_day=4)
    result = prepare(copy, capped, NOW + dt.timedelta(hours=1))
    assert result.days_rewritten == 0  # the examples are all there; the snapshots leave some out
    viewers = {number: number % 7 for number in range(200)}
    hashes = dict(map(tuple, copy.read(EXAMPLES).selectExpr("page_view_id", "xxhash64(page_view_id)").collect()))
    for split in ("train", "validation"):
        candidates = clicked(PARTS[split])
        ranked = {
            viewer: sorted((number for number in candidates if viewers[number] == viewer), key=hashes.get)
            for viewer in range(7)
        }
        kept = sorted(number for numbers in ranked.values() for number in numbers[:4])
        assert len(kept) < len(candidates)  # the cap does something
        snapshot = snapshot_of(copy, split)
        assert sorted(ids_of(snapshot)) == kept
        past_menu = len(clicked(PARTS[split], past_menu=True)) - len(candidates)
        beyond = len(candidates) - len(kept)
        assert snapshot.manifest.left_out == {"clicks_past_menu": past_menu, "viewer_day_cap": beyond}
        assert result.counts[f"{split}_left_out"] == past_menu + beyond
        assert result.counts[f"{split}_left_out_viewer_day_cap"] == beyond
    assert result.snapshots["holdout"] == free.snapshots["holdout"]


@pytest.mark.slow
def test_what_was_shown_before_reaches_the_snapshots_and_the_stream(copy):
    """Viewer n % 7 saw page n - 7, seven minutes before page n, and n - 14 before that; no click has a time."""
    copy.create(CLICK_MATCHES)
    result = prepare(copy, dataclasses.replace(SETTINGS, shown_length=6), NOW + dt.timedelta(hours=1))
    assert result.days_rewritten == 1
    ids = {token: number for number, token in enumerate(read_vocabulary(copy, result.vocabulary_version, "rows"), 2)}
    snapshot = snapshot_of(copy, "train")
    assert snapshot.manifest.shown_length == latest_preparation(copy).shown_length == 6
    records = records_of(snapshot)
    page = list(records["page_view_id"]).index(8)  # after page 1, and nothing before
    assert records["shown_row"][page].tolist() == [*(ids[row] for row in ("a", "b", "c", "r1", "late")), 0]
    assert records["shown_position"][page].tolist() == [1, 2, 3, 4, 5, 0]
    assert records["shown_age"][page].tolist() == [420, 420, 420, 420, 420, 0]
    assert not records["shown_clicked"].any() and (records["randomized"] == (records["page_view_id"] % 2 == 0)).all()
    page = list(records["page_view_id"]).index(16)  # after pages 9 and 2
    assert records["shown_row"][page].tolist() == [ids[row] for row in ("a", "b", "c", "r4", "late", "a")]
    assert records["shown_position"][page].tolist() == [1, 2, 3, 4, 5, 1]
    assert records["shown_age"][page].tolist() == [420, 420, 420, 420, 420, 840]
    with open_stream(snapshot, Shard(0, 1), 16, 1) as batches:
        specs = [batches.element_spec[name] for name in SHOWN]
        assert {(spec.shape.as_list()[1], spec.dtype.name) for spec in specs} == {(6, "int32")}
        places = {number: place for place, number in enumerate(records["page_view_id"].tolist())}
        for batch in batches:
            own = [places[number] for number in batch["page_view_id"].numpy().tolist()]
            for name in (*SHOWN, "randomized"):
                assert (batch[name].numpy() == records[name][own]).all()
    assert set(SHOWN) <= set(records_of(snapshot_of(copy, "holdout")))


@pytest.mark.slow
def test_old_snapshots_go_when_no_record_of_the_newest_preparation_names_them(copy, prepared):
    _, first = prepared
    later = NOW + dt.timedelta(days=31)
    changed = dataclasses.replace(SETTINGS, menu_length=3)
    with reading(copy.home.snapshots / first.snapshots["train"]):
        result = prepare(copy, changed, later)
    # The holdout holds whole menus whatever menu_length is: the newest preparation names the old one again.
    assert result.snapshots_removed == (first.snapshots["validation"],)
    assert result.snapshots["holdout"] == first.snapshots["holdout"]
    again = prepare(copy, changed, later)
    assert again.snapshots_removed == (first.snapshots["train"],)
    assert {path.name for path in copy.home.snapshots.glob("*-v*")} == set(result.snapshots.values())


@pytest.mark.parametrize(
    ("numbers", "changes", "what"),
    [
        ([], {}, "there are no labelled page views"),
        (range(200), {"holdout_from": "2025-01-01"}, "the holdout part is empty"),
        (range(200), {"validation_from": "2023-01-01"}, "the train part is empty"),
        (range(60), {}, "the train part has too few examples.*wanted at least 24, got 20"),
    ],
)
def test_prepare_refuses_what_gives_no_parts(tables, numbers, changes, what):
    tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, world(numbers)))
    with pytest.raises(NoExamplesError, match=what):
        prepare(tables, dataclasses.replace(SETTINGS, **changes), NOW)
    assert not tables.home.snapshots.exists()


def test_prepare_asks_for_join_first(tables):
    with pytest.raises(MissingTableError, match="labelled_page_views"):
        prepare(tables, SETTINGS, NOW)
    with pytest.raises(MissingTableError):
        latest_preparation(tables)
