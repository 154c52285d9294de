"""The reductions and joins of SPEC 2 once more, in plain Python, to hold Spark's against. Times are microseconds."""

import itertools
import json
from collections import defaultdict

GAP, WINDOW = 2_000_000, 120_000_000
# What lines of one page view may differ in, in the order of the alphabet.
OTHER_FIELDS = ("device", "history", "location", "randomized", "utc_offset_minutes")


def reduced_pages(lines):
    """Of lines with equal source, user, request, time and menu the one with the smallest canonical JSON."""
    best = {}
    for line in lines:
        key = (line["source"], line["user"], line["request"], line["time"], line["menu"])
        best[key] = min(best.get(key, line), line, key=_canonical)
    return list(best.values())


def _canonical(line):
    fields = {name: line[name] for name in OTHER_FIELDS}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def reduced_clicks(records):
    """Clicks without their repeats."""
    clicks = []
    by_row = defaultdict(list)
    for record in records:
        by_row[record["user"], record["row"]].append(record)
    for group in by_row.values():
        group.sort(
            key=lambda one: (one["time"], one["request"] is None, one["request"] or "", one["source"], one["id"])
        )
        before = current = None
        for record in group:
            new = before is None or record["time"] - before["time"] >= GAP
            new = new or (record["request"] is not None and current["request"] not in (None, record["request"]))
            if new:
                current = dict(record, records=0)
                clicks.append(current)
            current["request"] = current["request"] or record["request"]
            current["records"] += 1
            before = record
    return clicks


def _latest(pages):
    return min(pages, key=lambda page: (-page["time"], ",".join(page["menu"]), page["id"]))


def keyed(pages, click):
    """The page of a click with a request, or the reason why there is none."""
    pages = [page for page in pages if page["source"] == "service_logs" and page["request"] == click["request"]]
    tests = {
        "no_page": lambda page: True,
        "before_page": lambda page: page["time"] <= click["time"],
        "other_viewer": lambda page: page["user"] == click["user"],
        "row_not_offered": lambda page: click["row"] in page["menu"],
    }
    for reason, test in tests.items():
        pages = [page for page in pages if test(page)]
        if not pages:
            return None, reason
    return _latest(pages), None


def windowed(pages, click, source="hashed_payloads"):
    """The page of a click by viewer and time, or the reason why there is none."""
    waited = lambda page: click["time"] - page["time"]  # noqa: E731
    pages = [page for page in pages if page["source"] == source and page["user"] == click["user"]]
    pages = [page for page in pages if 0 <= waited(page) <= WINDOW]
    with_row = [page for page in pages if click["row"] in page["menu"]]
    return (_latest(with_row), None) if with_row else (None, "row_not_offered" if pages else "no_page")


def placed(pages, clicks):
    """Every click with its page, or the reason why it has none."""
    of_request, of_user = _grouped(pages, "request"), _grouped(pages, "user")
    for click in clicks:
        if click["request"]:
            yield click, *keyed(of_request[click["request"]], click)
        else:
            yield click, *windowed(of_user[click["user"]], click)


def _grouped(records, name):
    groups = defaultdict(list)
    for record in records:
        groups[record[name]].append(record)
    return groups


def matched(pages, clicks):
    """Every click with its page's id and the reason, by click id."""
    return {click["id"]: (page and page["id"], reason) for click, page, reason in placed(pages, clicks)}


def labels(pages, clicks):
    """Every page's clicked array, and its first click's row and time, by page id."""
    by_page = defaultdict(list)
    for click, page, _ in placed(pages, clicks):
        if page:
            by_page[page["id"]].append((click["time"], page["menu"].index(click["row"]), click["row"]))
    labelled = {}
    for page in pages:
        here = sorted(by_page[page["id"]])
        rows = {row for _, _, row in here}
        first = (here[0][2], here[0][0]) if here else (None, None)
        labelled[page["id"]] = ([int(row in rows) for row in page["menu"]], *first)
    return labelled


def agreement(pages, clicks):
    """Of service-log pages with a click by either join: the number labelled alike, and causes of the others."""
    by_join = {"keyed": defaultdict(set), "windowed": defaultdict(set)}
    causes = defaultdict(list)
    of_user, requested = _grouped(pages, "user"), [click for click in clicks if click["request"]]
    for click, one, _ in placed(pages, requested):
        other = windowed(of_user[click["user"]], click, "service_logs")[0]
        for join, page in (("keyed", one), ("windowed", other)):
            if page:
                by_join[join][page["id"]].add(click["row"])
        if (one and one["id"]) != (other and other["id"]):
            past = one is not None and click["time"] - one["time"] > WINDOW
            both = one is not None and other is not None
            cause = 0 if past else 1 if both and one["request"] != other["request"] else 2 if both else 3
            for page in filter(None, (one, other)):
                causes[page["id"]].append(cause)
    touched = set(itertools.chain(*by_join.values()))
    unequal = [page for page in touched if by_join["keyed"][page] != by_join["windowed"][page]]
    names = ("past_window", "two_pages_open", "repeated_page", "other")
    return len(touched) - len(unequal), sorted(names[min(causes[page])] for page in unequal)
