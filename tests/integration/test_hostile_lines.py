"""Whatever stands in a log: no line is lost, none is doubled, none stops the run."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.schemas import BRONZE_ATTRIBUTES, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, INGESTED_FILES, QUARANTINE
from pagerec_dbx.stages.ingest import ingest
from tests.hostile_lines import USER, write_hostile_logs
from tests.log_lines import NOW

ANYTHING = IngestSettings(max_quarantined_share=1.0)
# What a line of text can be refused for; `unreadable_file` is said of whole files.
REASONS = {
    "not_json", "wrong_type", "number_out_of_range", "empty_menu", "duplicate_row", "position_gap", "malformed_time",
    "implausible_time", "line_too_long", "invalid_utf8", "nul_byte", "unknown_event", "duplicate_attribute",
}  # fmt: skip


@pytest.mark.parametrize("number", [4_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_ingest_accounts_for_every_hostile_line(tables, tmp_path, number):
    counts = write_hostile_logs(tmp_path / "logs", number, np.random.default_rng(17))
    key, _ = ensure_key(tables.home)
    result = ingest(tables, tmp_path / "logs", key, ANYTHING, NOW)

    assert result.read == result.good + result.quarantined == sum(counts.values()) > number
    assert 0.1 < result.quarantined / result.read < 0.9
    files = {row.file: row for row in tables.read(INGESTED_FILES).collect()}
    assert {file: row.lines for file, row in files.items()} == counts
    assert all(row.good + row.quarantined == row.lines for row in files.values())
    kept = sum(tables.read(table).count() for table in (BRONZE_PAGE_VIEWS, BRONZE_EVENTS, BRONZE_ATTRIBUTES))
    assert kept == result.read

    quarantine = tables.read(QUARANTINE)
    assert quarantine.count() == result.quarantined
    reasons = {row.reason for row in quarantine.select("reason").distinct().collect()}
    assert {reason for reason in reasons if not reason.startswith("missing_")} == REASONS
    # One byte more than 16 MiB; the line of exactly 16 MiB is good.
    assert quarantine.where("reason = 'line_too_long'").count() == 1
    # A key that survived has no raw id behind it. (Of a key that was hit the rest is no key any more.)
    raw_id = rf'"user_id"\s*:\s*"?{USER}'
    assert quarantine.where(F.col("raw").rlike(raw_id)).isEmpty()
    assert not quarantine.where(F.col("raw").contains('"user_id"')).isEmpty()
