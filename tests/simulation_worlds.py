"""Small simulated worlds, and what a plain reader of their logs finds: nothing here uses the simulation's own code."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pagerec_dbx.config import SimulateSettings

PAGE_VIEWS, DAYS = 1_200, 3
SETTINGS = SimulateSettings(
    seed=5, world_titles=200, world_rows=50, world_themes=5, menu_shortest=6, menu_longest=12, pinned_places=(0, 3),
    logged_history_length=8, hashed_share=0.4, repeated_page_rate=0.05, two_pages_rate=0.5, double_click_rate=0.2,
    recorded_twice_rate=0.3, past_window_rate=0.1, without_request_id_rate=0.1, without_page_rate=0.05,
    not_offered_rate=0.05, before_page_rate=0.05, other_viewer_rate=0.05, late_rate=0.05, out_of_order_rate=0.1,
    broken_rate=0.03, hostile_rate=0.03, randomized_share=0.3,
    no_click_utility=2.0,
)  # fmt: skip


def raw_lines(out: Path, log: str) -> list[tuple[Path, bytes]]:
    """Every line of a log with its file, in the file's order."""
    found = []
    for file in sorted((out / log).iterdir()):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        found += [(file, line) for line in data.split(b"\n")[:-1]]
    return found


def read_line(line: bytes) -> dict | None:
    """The object of a good line, None for one that must be refused."""
    try:
        if b"\x00" in line:
            return None
        content = json.loads(line.decode("utf-8"), parse_constant=lambda _: 1 / 0)
        page = content.get("payload", content)
        moment = time_of(content)
        rows = [row["row_id"] for row in page["candidates"]] if "candidates" in page else ["r"]
        good = bool(rows) and len(set(rows)) == len(rows) and datetime(2000, 1, 1, tzinfo=UTC) < moment
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return content if good else None


def good_lines(out: Path, log: str) -> list[dict]:
    return [content for _, line in raw_lines(out, log) if (content := read_line(line)) is not None]


def time_of(content: dict) -> datetime:
    moment = content["timestamp"]
    if isinstance(moment, str):
        return datetime.fromisoformat(moment)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=moment)


def day_of(file: Path) -> date:
    return date.fromisoformat(file.name[:10])
