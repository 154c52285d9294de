"""Too many refused lines end a run with an error, once: also where the run is stopped before it can say so."""

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.errors import QuarantineError
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import QUARANTINE, ROWS
from pagerec_dbx.stages import ingest as stage
from pagerec_dbx.stages.ingest import IngestResult, ingest
from pagerec_dbx.stages.ingest_run import NOTE
from pagerec_dbx.tables import Tables
from tests.crashes import Point, stopped_at
from tests.log_lines import NOW, write

STRICT = IngestSettings(min_lines_for_share=10, max_quarantined_share=0.5)
FUNCTIONS = ((stage, "forget_note"),)


@pytest.fixture
def mostly_refused(spark, tmp_path):
    """A new home, and logs of which six of ten lines will be refused; a run of `ingest` over them."""
    tables, logs = Tables(spark, open_home(str(tmp_path / "home"))), tmp_path / "logs"
    write(logs, "rows", ["{"] * 6 + [{"row_id": "r"}] * 4)
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    return tables, logs, lambda: ingest(tables, logs, key, STRICT, NOW)


def test_a_run_that_is_stopped_before_its_verdict_leaves_it_to_the_next(mostly_refused):
    tables, logs, run = mostly_refused
    assert stopped_at(Point("append", "ingested_files", 1), True, run)
    write(logs, "rows", [{"row_id": "s"}], "later.jsonl")  # which the verdict must not get lost for
    assert stopped_at(Point("call", "forget_note", 1), False, run, FUNCTIONS)  # on the way out: it is said again
    with pytest.raises(QuarantineError, match=r"6 of 10 lines were refused.*wanted at most 50.0%, got 60.0%"):
        run()
    assert tables.read(QUARANTINE).count() == 6 and not (tables.home.folder / NOTE).exists()
    assert run() == IngestResult(read=1, good=1, quarantined=0, files=1)
    assert sorted(row["row_id"] for row in tables.read(ROWS).collect()) == ["r", "s"]


@pytest.mark.slow
def test_without_the_note_the_verdict_is_lost(mostly_refused, monkeypatch):
    """The negative control: a note that is gone as soon as the files are recorded."""
    tables, _, run = mostly_refused
    assert stopped_at(Point("append", "ingested_files", 1), True, run)
    (tables.home.folder / NOTE).unlink()
    assert run() == IngestResult(0, 0, 0, 0)
