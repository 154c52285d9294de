"""A small log for baselines, drawn from a seed, and what each baseline should make of it in plain Python.

Times are whole minutes, so that page views and clicks often fall together, and a click may come after its viewer's next
page view: what is "strictly before" then matters.
"""

import collections
import dataclasses
import math
import random

from pyspark.sql import DataFrame, SparkSession

MINUTE = 60_000_000  # microseconds
START = 1_704_067_200_000_000
SMOOTHING = 3.0

_PAGE_VIEWS = (
    "page_view_id bigint, user_hash string, served_micros bigint, hour int, device string, menu array<string>, "
    "clicked array<int>"
)
_CLICKS = (
    "page_view_id bigint, user_hash string, row_id string, served_micros bigint, clicked_micros bigint, hour int, "
    "device string"
)


@dataclasses.dataclass(frozen=True)
class Page:
    """One page view; clicks are (row, minute)."""

    number: int
    viewer: str
    minute: int
    device: str | None
    menu: tuple[str, ...]
    clicks: tuple[tuple[str, int], ...]

    @property
    def hour(self) -> int:
        return self.minute // 60 % 24

    @property
    def clicked(self) -> list[int]:
        rows = {row for row, _ in self.clicks}
        return [int(row in rows) for row in self.menu]


def draw_pages(count: int, seed: int, viewers: int = 12, rows: int = 14) -> list[Page]:
    """Page views in order of time."""
    chance = random.Random(seed)
    pages = []
    for number, minute in enumerate(sorted(chance.randrange(240) for _ in range(count))):
        menu = tuple(chance.sample([f"r{row}" for row in range(rows)], chance.randint(2, 6)))
        some = chance.sample(menu, chance.choice([0, 1, 1, 2]))
        clicks = tuple((row, minute + chance.choice([0, 0, 1, 5, 40])) for row in some)
        viewer = f"v{min(chance.randrange(viewers), chance.randrange(viewers))}"
        pages.append(Page(number, viewer, minute, chance.choice(["tv", "phone", None]), menu, clicks))
    return pages


def page_views_frame(spark: SparkSession, pages: list[Page]) -> DataFrame:
    """As `baselines.views.page_views_of` makes them."""
    records = [
        (page.number, page.viewer, START + page.minute * MINUTE, page.hour, page.device, list(page.menu), page.clicked)
        for page in pages
    ]
    return spark.createDataFrame(records, _PAGE_VIEWS)


def clicks_frame(spark: SparkSession, pages: list[Page]) -> DataFrame:
    """As `baselines.views.clicks_of` makes them."""
    records = [
        (
            page.number,
            page.viewer,
            row,
            START + page.minute * MINUTE,
            START + minute * MINUTE,
            page.hour,
            page.device,
        )
        for page in pages
        for row, minute in page.clicks
    ]
    return spark.createDataFrame(records, _CLICKS)


def shown_frame(spark: SparkSession, pages: list[Page]) -> DataFrame:
    """As `pipelines.shown.with_shown` makes them, of the page views before in the order (minute, number)."""
    records = []
    for page in pages:
        before = [one for one in pages if one.viewer == page.viewer and _order(one) < _order(page)]
        last = sorted(before, key=_order, reverse=True)[:10]
        rows = [(one, place, row) for one in last for place, row in enumerate(one.menu, start=1)]
        clicked = [int(any(name == row and at < page.minute for name, at in one.clicks)) for one, _, row in rows]
        records.append((page.number, [row for *_, row in rows], [place for _, place, _ in rows], clicked))
    columns = "page_view_id bigint, shown_row array<string>, shown_position array<int>, shown_clicked array<tinyint>"
    return spark.createDataFrame(records, columns)


def _order(page: Page) -> tuple[int, int]:
    return page.minute, page.number


class Oracle:
    """The scores by definition, one page view after the other."""

    def __init__(self, past: list[Page], log: list[Page]):
        self.past, self.log = past, log
        self.shown = collections.Counter(row for page in past for row in page.menu)
        self.clicked = collections.Counter(row for page in past for row, _ in page.clicks)
        self.overall = sum(self.clicked.values()) / sum(self.shown.values())

    def popularity(self, row: str) -> float:
        if row not in self.shown:
            return self.overall
        return (self.clicked[row] + SMOOTHING * self.overall) / (self.shown[row] + SMOOTHING)

    def by(self, context: str, page: Page, row: str) -> float:
        """Smoothed towards the row's own rate; `context` is hour or device."""
        value = getattr(page, context)
        here = [one for one in self.past if value is not None and getattr(one, context) == value]
        shown = sum(row in one.menu for one in here)
        clicked = sum(row in dict(one.clicks) for one in here)
        return (clicked + SMOOTHING * self.popularity(row)) / (shown + SMOOTHING)

    def earlier(self, page: Page) -> dict[str, int]:
        """Row -> minute of the viewer's last click on it strictly before the page view."""
        last: dict[str, int] = {}
        for one in self.log:
            if one.viewer == page.viewer:
                for row, minute in one.clicks:
                    if minute < page.minute:
                        last[row] = max(last.get(row, -1), minute)
        return last

    def recent(self, page: Page, row: str) -> float:
        last = self.earlier(page)
        return START + last[row] * MINUTE if row in last else self.popularity(row)

    def knn(self, page: Page, row: str) -> float:
        viewers = collections.defaultdict(set)
        for one in self.past:
            for clicked, _ in one.clicks:
                viewers[clicked].add(one.viewer)
        score = 1e-9 * self.popularity(row)
        for other in self.earlier(page):
            if row == other and row in self.shown:
                score += 1.0
            elif viewers[row] and viewers[other]:
                both = len(viewers[row] & viewers[other])
                score += both / math.sqrt(len(viewers[row]) * len(viewers[other]))
        return score

    def rates_before(self, minute: int, row: str, device: str | None) -> tuple[float, int, float]:
        """Row's rate, impressions and rate on the device by page views and clicks before this minute."""
        shown = [page for page in self.past if page.minute < minute]
        clicks = [(one, page) for page in self.past for one, at in page.clicks if at < minute]
        total = sum(len(page.menu) for page in shown)
        overall = len(clicks) / total if total else 0.0
        impressions = sum(row in page.menu for page in shown)
        rate = (sum(one == row for one, _ in clicks) + SMOOTHING * overall) / (impressions + SMOOTHING)
        if device is None:
            return rate, impressions, rate
        here = sum(row in page.menu and page.device == device for page in shown)
        of_device = sum(one == row and page.device == device for one, page in clicks)
        return rate, impressions, (of_device + SMOOTHING * rate) / (here + SMOOTHING)
