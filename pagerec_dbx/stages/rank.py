"""Stage `rank`: one page, in the order a version shows it. It needs the exported model and nothing else of a home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pagerec_dbx.scoring.pages import Ranker, rank_pages
from pagerec_dbx.scoring.request import page_from_request, parse_page

if TYPE_CHECKING:
    from pagerec_dbx.registry.store import Registry


def rank_text(registry: Registry, version: str, text: bytes | str) -> dict:
    """As `rank_page`, of a page that came as JSON text, by a version's number or alias.

    Raises:
        UnknownVersionError: there is no such version, or no champion yet.
    """
    page = parse_page(text)
    return rank_page(registry.load(version), page)


def rank_page(ranker: Ranker, page: Mapping) -> dict:
    """The rows of one page in the order they are to be shown, with their scores.

    Args:
        ranker: the version's exported model.
        page: `candidates`, and if known `watch_history`, `timestamp`, `device`, `location`, `utc_offset_minutes`, as in
            a service log; see docs/scoring.md.

    Returns:
        {"version": ..., "ranked": [{"row_id": ..., "score": logit}, ...]}; pinned rows stay in place.

    Raises:
        PageError: the page cannot be ranked.
        ScoresError: the model's scores of it cannot.
    """
    pages = page_from_request(page, ranker.config.history_length, ranker.config.shown_length)
    ranking = rank_pages(ranker, pages)
    shown = ranking.order[0]
    rows = zip(pages.menu[0, shown], ranking.scores[0, shown].tolist(), strict=True)
    return {"version": ranker.version, "ranked": [{"row_id": row_id, "score": score} for row_id, score in rows]}
