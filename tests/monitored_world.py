"""Days of labelled page views: two to train on, one to validate on, then days of which each has changed in one way.

A page view has 5 of 10 rows, 4 of 12 titles, a click on 3 of 4, all drawn alike; viewers have three page views a day.
"""

import dataclasses
import datetime as dt
import random

import numpy as np

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.tables import Tables
from tests.page_views import MONDAY, labelled_page_views, page_view

PER_DAY = 150
ROWS = [f"r{number}" for number in range(10)]
TITLES = [f"t{number}" for number in range(12)]
SETTINGS = PrepareSettings(validation_from="2024-01-03", holdout_from="2024-01-04", history_length=4)
# What each day after training has in place of what is usual.
DAYS = {
    4: {},
    5: {"titles": ["x1", "x2", "x3", *TITLES[:3]]},
    6: {"rows": [*ROWS[:4], *(f"new{number}" for number in range(6))]},
    7: {"menu": 9},
    8: {"clicked": 0.2},
    9: {"device": "phone"},
    10: {"places": [4]},
    11: {"titles": TITLES[:5]},
}


def day_of(number: int) -> dt.date:
    return dt.date(2024, 1, number)


def page_views() -> list[dict]:
    """All page views of the log, each as a dictionary of columns."""
    return [one for number in (1, 2, 3, *DAYS) for one in _day(number, DAYS.get(number, {}))]


def _day(number: int, changed: dict) -> list[dict]:
    chance = random.Random(number)
    views = []
    for place in range(PER_DAY):
        rows = chance.sample(changed.get("rows", ROWS), changed.get("menu", 5))
        titles = chance.sample(changed.get("titles", TITLES), 4)
        labels = [0] * len(rows)
        if chance.random() < changed.get("clicked", 0.75):
            labels[_clicked(chance, rows, changed)] = 1
        views.append(
            page_view(
                1_000 * number + place, 86_400 * (number - 1) + 500 * place, rows=rows, labels=labels,
                user_hash=f"viewer {number * 100 + place // 3}", device=changed.get("device", "tv"),
                titles=[(title, 60 * (4 - at)) for at, title in enumerate(titles)],
            )
        )  # fmt: skip
    return views


def _clicked(chance: random.Random, rows: list[str], changed: dict) -> int:
    """Any place; or, where the world has turned, the row that was clicked least and that the ranker puts last."""
    return min(range(len(rows)), key=lambda at: rows[at]) if "places" in changed else chance.randrange(len(rows))


def make_world(tables: Tables) -> None:
    """The log in the table, and its preparation."""
    tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, page_views()))
    prepare(tables, SETTINGS, MONDAY)


@dataclasses.dataclass(frozen=True)
class Config:
    """What scoring reads of a model's configuration."""

    history_length: int = 4
    shown_length: int = 0


@dataclasses.dataclass(frozen=True)
class ByNumber:
    """Ranks by the number in a row's name; on a phone it is much surer of it."""

    version: str = "1"
    config: Config = Config()

    def rank(self, pages):
        numbers = np.array([[score_of(row) for row in rows] for rows in pages["menu"]])
        sure = np.where(np.asarray(pages["device"]) == "phone", 9.0, 1.0)[:, None]
        scores = np.where(pages["menu"] == "", -np.inf, numbers * sure).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")
        return {"row_id": np.take_along_axis(pages["menu"], order, 1), "score": np.take_along_axis(scores, order, 1)}


def score_of(row: str) -> float:
    return 0.2 * float("".join(letter for letter in row if letter.isdigit()) or 0)
