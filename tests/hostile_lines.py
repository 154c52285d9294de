"""Log files full of what no parser expects: real lines spliced with hostile bytes, and any JSON there is."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.log_lines import at, click, event, payload, service

USER = "viewer-of-nothing"  # the beginning of every raw user id
_LONG = 16 * 2**20

# What is spliced into a line. No line feeds: they would make two lines of one, which is tested by count all the same.
FRAGMENTS = [
    b"", b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\r", b"\x1f", b"\xf0\x9f\x8d\xbf",
    b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"\\u000a", b"{", b"}", b"[", b"]", b",", b":", b"}{", b"],[", b"//",
    b"null", b"true", b"NaN", b"-Infinity", b"{}", b"[]", b'""', b'"\\""', b"[null]", b"[[]]", b"[{}]", b'{"a":{}}',
    b"0", b"-1", b"012", b"1.10", b"1e400", b"-1e-400", b"2147483648", b"9223372036854775808", b"9" * 400, b"9" * 2_000,
    b'"1970-01-01"', b'"9999-12-31T23:59:59.999999999+18:00"', b'"2024-02-30T25:61:61Z"', b"1704067200000",
    b'"{\\"user_id\\":1}"', b'"[1]"', b'"{"', b"[" * 1_500, b"[" * 900 + b"]" * 900, b'{"a":' * 1_200, b"x" * 5_000,
    b'"user_id"', b'"user_hash":', b'"row_id":"r1"', b'"candidates":[]', b'"timestamp":', b'"attributes":{"a":1,"a":2}',
]  # fmt: skip
SPLICES = ("insert", "replace a span", "replace a value", "cut off", "repeat a part")


def seeds(number: int, chance: np.random.Generator) -> dict[str, list[bytes]]:
    """Good lines of every source, about this many in all."""
    lines: dict[str, list[bytes]] = {}
    users, seconds = chance.integers(0, 5_000, number), chance.integers(0, 600_000, number)
    for index, (user, second) in enumerate(zip(users.tolist(), seconds.tolist(), strict=True)):
        source, line = _seed(index, f"{USER}-{user}", second)
        lines.setdefault(source, []).append(json.dumps(line).encode())
    return lines


def _seed(index: int, user: str, second: int) -> tuple[str, dict]:
    history = [{"title_id": f"t{second % 97}", "watched_at": at(second - 60)}, f"t{index % 89}"]
    rows = [f"r{(index + place) % 50}" for place in range(3 + index % 5)]
    page = {"watch_history": history, "device": "tv", "utc_offset_minutes": 60, "randomized": False}
    return (
        ("service_logs", service(f"q{index}", user, second, rows, **page)),
        ("hashed_payloads", payload(f"{second:064x}", second, rows, **page)),
        ("click_logs", click(rows[0], f"q{index}", user, second, row_position=0)),
        ("page_events", event(rows[0], f"{second:064x}", second, position=1, transaction="none")),
        ("titles", {"title_id": f"t{index}", "attributes": {"year": 1999, "words": ["a", "b"]}}),
        ("rows", {"row_id": f"r{index}", "attributes": {"name": "R", "share": 0.5}}),
    )[index % 6]


def spliced(lines: list[bytes], number: int, chance: np.random.Generator) -> Iterator[bytes]:
    """So many lines, each one of these with something put in, taken out or replaced."""
    chosen = chance.integers(0, len(lines), number).tolist()
    fragments = chance.integers(0, len(FRAGMENTS), number).tolist()
    kinds = chance.integers(0, len(SPLICES), number).tolist()
    starts, widths = chance.random(number).tolist(), chance.geometric(0.1, number).tolist()
    for index, fragment, kind, start, width in zip(chosen, fragments, kinds, starts, widths, strict=True):
        line = lines[index]
        yield _splice(line, SPLICES[kind], FRAGMENTS[fragment], int(start * len(line)), width)


def _splice(line: bytes, kind: str, fragment: bytes, start: int, width: int) -> bytes:
    if kind == "insert":
        return line[:start] + fragment + line[start:]
    if kind == "replace a span":
        return line[:start] + fragment + line[start + width :]
    if kind == "cut off":
        return line[:start] + fragment
    if kind == "repeat a part":
        return line[: start + width] + line[start:]
    colon = line.find(b":", start)
    ends = [end for end in (line.find(b",", colon), line.find(b"}", colon)) if end > 0]
    return line[: colon + 1] + fragment + line[min(ends) :] if colon > 0 and ends else line


def any_json(number: int) -> list[bytes]:
    """So many of hypothesis's JSON values, most of them objects with the names of the logs' fields."""
    names = st.sampled_from(
        (
            "request_id",
            "timestamp",
            "user_id",
            "user_hash",
            "payload",
            "candidates",
            "watch_history",
            "row_id",
            "title_id",
        )
        + ("position", "pinned", "row_click", "row_position", "event", "attributes", "utc_offset_minutes", "watched_at")
    )
    leaves = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([at(1), "row_click", "r"])
    )
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=6)
    )
    found: list[bytes] = []

    @settings(
        max_examples=number, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.dictionaries(names, values, min_size=3) | values, st.booleans())
    def collect(value, ascii_only):
        found.append(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", errors="surrogatepass"))

    collect()
    return found


def ordinary() -> list[bytes]:
    """One line for each reason that a splice meets by good luck only."""
    lines = [service(candidates=[]), payload(candidates=[]), service(rows=("r", "r")), event(name="hover")]
    return [json.dumps(line).encode() for line in lines]


def overlong() -> list[bytes]:
    """A line one byte too long, a good one of the greatest length, and one that only begins well."""
    line = json.dumps(click()).encode()
    greatest = line[:-1] + b',"more":"' + b"x" * (_LONG - len(line) - 10) + b'"}'
    return [greatest, greatest[:-2] + b'x"}', line[:-1] + b'"' * 1_000_000]


def write_hostile_logs(logs: Path, number: int, chance: np.random.Generator) -> dict[str, int]:
    """About so many hostile lines in files of every source, some of them gz.

    Returns:
        For every file its number of lines that are not blank.
    """
    of_source, others = seeds(number // 4, chance), ordinary() + any_json(min(4_000, number // 40))
    counts: dict[str, int] = {}
    for source, lines in of_source.items():
        extra = overlong() if source == "click_logs" else []
        hostile = [*spliced(lines, number // len(of_source), chance), *others, *extra]
        halves = {"a.jsonl": hostile[::2], "b.jsonl.gz": hostile[1::2]}
        for name, part in halves.items():
            counts[str(_write(logs / source / name, part))] = _lines_in(part)
    return counts


def _write(path: Path, lines: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"\n".join(lines)
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if path.suffix == ".gz" else content)
    return path


def _lines_in(lines: list[bytes]) -> int:
    return sum(bool(one.strip()) for one in b"\n".join(lines).removeprefix(b"\xef\xbb\xbf").split(b"\n"))
