"""Raw log lines for tests: builders fill in what a case does not care about."""

import datetime as dt
import gzip
import json
from collections.abc import Iterable
from pathlib import Path

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2024, 1, 9, tzinfo=dt.UTC)
ROWS = ("r1", "r2", "r3")


def at(seconds: float) -> str:
    """An ISO time some seconds after the start."""
    return (START + dt.timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def offered(rows: Iterable[str] = ROWS) -> list[dict]:
    return [{"row_id": row, "row_title": row.upper(), "position": place} for place, row in enumerate(rows)]


def service(request_id="q1", user_id="ann", seconds=0.0, rows=ROWS, **other) -> dict:
    page = {"request_id": request_id, "timestamp": at(seconds), "user_id": user_id, "candidates": offered(rows)}
    return page | other


def payload(user_hash="hash-of-ann", seconds=0.0, rows=ROWS, **other) -> dict:
    return {"user_hash": user_hash, "timestamp": at(seconds), "payload": {"candidates": offered(rows)} | other}


def click(row="r1", request_id="q1", user_id="ann", seconds=1.0, **other) -> dict:
    return {"request_id": request_id, "user_id": user_id, "timestamp": at(seconds), "row_click": row} | other


def event(row="r1", user_hash="hash-of-ann", seconds=1.0, name="row_click", **other) -> dict:
    return {"event": name, "user_hash": user_hash, "timestamp": at(seconds), "row_id": row, "page": "home"} | other


def write(logs: Path, source: str, lines: Iterable[dict | str | bytes], name: str = "part-0.jsonl") -> Path:
    """A log file of these records or ready lines; one that ends in .gz is compressed."""
    path = logs / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    octets = [line if isinstance(line, bytes) else _text(line).encode() for line in lines]
    content = b"".join(line + b"\n" for line in octets)
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def _text(line: dict | str) -> str:
    return line if isinstance(line, str) else json.dumps(line)
