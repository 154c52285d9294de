"""A ranker without a model: its scores are a hash of what it reads, so that any wrong input shows."""

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class StandInConfig:
    """The part of a model's configuration that scoring reads."""

    history_length: int = 3
    shown_length: int = 0


@dataclasses.dataclass(frozen=True)
class StandInRanker:
    """Scores depend on the row and on everything else of the page; a few values only, so that ties are common."""

    version: str = "7"
    config: StandInConfig = StandInConfig()
    levels: int = 1_000_003

    def rank(self, pages):
        menu = pages["menu"]
        scores = np.full(menu.shape, -np.inf, np.float32)
        for page, rows in enumerate(menu):
            for place, row in enumerate(rows):
                if row:
                    scores[page, place] = stand_in_score(row, context_of(pages, page), self.levels)
        order = np.argsort(-scores, axis=1, kind="stable")
        return {"row_id": np.take_along_axis(menu, order, 1), "score": np.take_along_axis(scores, order, 1)}


def context_of(pages, page):
    """What of one page, its menu apart, a ranker reads: plain values."""
    seen = [(title, int(age)) for title, age in zip(pages["history"][page], pages["history_age"][page], strict=True)]
    names = ("hour", "weekday", "device", "location")
    return ([pair for pair in seen if pair[0]], *(_plain(pages[name][page]) for name in names))


def stand_in_score(row, context, levels):
    """A number between 0 and 1 from a row and a context."""
    digest = hashlib.sha256(repr((row, context)).encode()).digest()
    return np.float32(int.from_bytes(digest[:6], "big") % levels / levels)


def _plain(value):
    return value if isinstance(value, str) else int(value)
