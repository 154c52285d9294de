"""Differences of page views with a known truth: heavy-tailed activity, and viewers who differ."""

import numpy as np

TAIL = 1.3  # Pareto exponent of the page views of a viewer
MOST = 3_000  # page views of one viewer
OF_VIEWERS, OF_PAGES = 0.02, 0.3  # standard deviations of a viewer's own difference, and of one page view's


def paired_sample(
    generator: np.random.Generator, pages: int, gain: float, tail: float = TAIL
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays [viewers]: each viewer's summed difference and page views, `pages` in all.

    A viewer has Pareto(`tail`) page views, at least 1 and at most 3,000, a difference of their own around the gain, and
    each page view varies around that.
    """
    counts = page_views_of_viewers(generator, pages, tail)
    own = generator.normal(gain, OF_VIEWERS, len(counts))
    return counts * own + np.sqrt(counts) * generator.normal(0, OF_PAGES, len(counts)), counts


def page_views_of_viewers(generator: np.random.Generator, pages: int, tail: float = TAIL) -> np.ndarray:
    """[viewers] as many as it takes to have that many page views; the last one's are cut."""
    counts = np.empty(0, int)
    while counts.sum() < pages:
        more = np.floor(generator.pareto(tail, max(100, pages // 3)) + 1)
        counts = np.concatenate([counts, np.minimum(more, MOST).astype(int)])
    ends = np.cumsum(counts)
    last = int(np.searchsorted(ends, pages))
    counts = counts[: last + 1].copy()
    counts[-1] -= ends[last] - pages
    return counts
