"""What stays the same in one simulated world: its titles, rows, themes and contexts. Small NumPy arrays."""

import dataclasses

import numpy as np

from pagerec_dbx.config import SimulateSettings

THEMES = (
    "drama", "comedy", "crime", "family", "horror", "romance", "documentary", "action", "fantasy", "sport",
    "western", "music", "history", "war", "animation", "mystery", "travel", "cooking", "science", "nature",
)  # fmt: skip
DEVICES = ("tv", "phone", "tablet", "web")
DEVICE_SIGNS = (1, -1, 1, -1)  # the device's half of the interaction
DAYPARTS = 4  # night, morning, afternoon, evening: six local hours each
DAYPART_SIGNS = (1, -1, -1, 1)  # the time's half of the interaction
LOCATIONS = ("berlin", "chicago", "lagos", "lima", "london", "madrid", "mumbai", "osaka", "paris", "perth", "rome")
OFFSETS = (-480, -300, 0, 60, 120, 330, 540)  # minutes
SECOND_THEME = 0.5
DAY_MS = 86_400_000
NOISE_WORD_SHARE = 0.15  # of the theme words in the logs that name another theme


@dataclasses.dataclass(frozen=True)
class World:
    """T titles, R rows, K themes; index 0 is the first."""

    title_weights: np.ndarray  # [T] Zipf, sum 1
    title_themes: np.ndarray  # [T, K] each sums to 1
    title_theme: np.ndarray  # [T] the theme that dominates
    row_theme: np.ndarray  # [R] the theme a row is of
    row_second_theme: np.ndarray  # [R] another, of which it is SECOND_THEME as much
    row_appeal: np.ndarray  # [R] standard normal
    row_sign: np.ndarray  # [R] -1 or 1, the row's side of the interaction
    old_popularity: np.ndarray  # [R] what the logging policy believes of the appeal
    device_effects: np.ndarray  # [devices, R]
    daypart_effects: np.ndarray  # [dayparts, R]
    weekday_effects: np.ndarray  # [7, R]

    @property
    def title_ids(self) -> list[str]:
        return [f"t{index:05d}" for index in range(len(self.title_weights))]

    @property
    def row_ids(self) -> list[str]:
        return [f"r{index:03d}" for index in range(len(self.row_appeal))]

    @property
    def row_titles(self) -> list[str]:
        return [f"{THEMES[theme].capitalize()} picks {index}" for index, theme in enumerate(self.row_theme)]


def make_world(settings: SimulateSettings) -> World:
    """The world of these settings and this seed."""
    rng = np.random.default_rng([settings.seed, 6])
    titles, rows, themes = settings.world_titles, settings.world_rows, settings.world_themes
    title_theme = rng.permutation(np.arange(titles) % themes)  # by Zipf rank: no theme has all the hits
    row_theme = rng.permutation(np.arange(rows) % themes)
    appeal = rng.standard_normal(rows)
    weights = np.arange(1, titles + 1) ** -settings.zipf_exponent
    return World(
        title_weights=weights / weights.sum(),
        title_themes=0.75 * np.eye(themes)[title_theme] + 0.25 * rng.dirichlet(np.full(themes, 0.5), titles),
        title_theme=title_theme,
        row_theme=row_theme,
        row_second_theme=(row_theme + rng.integers(1, themes, rows)) % themes,  # so rows of one theme differ
        row_appeal=appeal,
        row_sign=rng.permutation(np.where(np.arange(rows) % 2, 1, -1)),
        old_popularity=0.8 * appeal + 0.6 * rng.standard_normal(rows),
        device_effects=rng.standard_normal((len(DEVICES), rows)),
        daypart_effects=rng.standard_normal((DAYPARTS, rows)),
        weekday_effects=rng.standard_normal((7, rows)),
    )


def attributes(world: World, settings: SimulateSettings) -> tuple[list[dict], list[dict]]:
    """The lines of the titles and rows logs: some of their theme words are wrong."""
    rng = np.random.default_rng([settings.seed, 7])
    title_words = _words(rng, world.title_theme, settings.world_themes)
    row_words = _words(rng, world.row_theme, settings.world_themes)
    years = rng.integers(1960, 2024, len(title_words))
    titles = [
        {"title_id": title, "attributes": {"themes": words, "year": int(year)}}
        for title, words, year in zip(world.title_ids, title_words, years, strict=True)
    ]
    rows = [
        {"row_id": row, "attributes": {"themes": words, "kind": "editorial" if sign > 0 else "computed"}}
        for row, words, sign in zip(world.row_ids, row_words, world.row_sign, strict=True)
    ]
    return titles, rows


def _words(rng: np.random.Generator, theme: np.ndarray, themes: int) -> list[list[str]]:
    """Two words each: the theme, rarely another one in its place, and any theme."""
    wrong = rng.random(len(theme)) < NOISE_WORD_SHARE
    first = np.where(wrong, rng.integers(0, themes, len(theme)), theme)
    second = rng.integers(0, themes, len(theme))
    return [sorted({THEMES[one], THEMES[other]}) for one, other in zip(first, second, strict=True)]


@dataclasses.dataclass(frozen=True)
class AliasTable:
    """Walker's alias method for several discrete laws over the same things, laid end to end.

    Cell c of law l stands at offsets[l] + c: it gives `own` with probability `keep`, else `other`.
    """

    offsets: np.ndarray  # [laws]
    sizes: np.ndarray  # [laws]
    own: np.ndarray  # [cells]
    other: np.ndarray  # [cells]
    keep: np.ndarray  # [cells]


def title_laws(world: World) -> AliasTable:
    """One law a theme, over the titles it dominates, and a last one over all titles; each follows the Zipf weights."""
    themes = world.title_themes.shape[1]
    members = [np.flatnonzero(world.title_theme == theme) for theme in range(themes)]
    members.append(np.arange(len(world.title_weights)))
    laws = [_alias(titles, world.title_weights[titles]) for titles in members]
    own, other, keep = (np.concatenate(parts) for parts in zip(*laws, strict=True))
    sizes = np.array([len(titles) for titles in members])
    return AliasTable(np.cumsum(sizes) - sizes, sizes, own, other, keep)


def _alias(things: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each cell holds one thing and gives the rest of its room to one that has more than its share."""
    room = weights / weights.sum() * len(weights)
    other, keep = things.copy(), np.ones(len(things))
    small, large = [list(np.flatnonzero(room < 1)), list(np.flatnonzero(room >= 1))]
    while small and large:
        poor, rich = small.pop(), large[-1]
        keep[poor], other[poor] = room[poor], things[rich]
        room[rich] -= 1 - room[poor]
        if room[rich] < 1:
            small.append(large.pop())
    return things, other, keep
