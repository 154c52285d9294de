"""What trees are told of the rows shown before, against its definition in plain Python."""

import math

import numpy as np
import pyarrow as pa
import pytest

from pagerec_dbx.baselines.shown_features import NAMES, ShownFeatures

ROWS = pa.array(["a", "b", "c", "d"])
# a and b are alike, c is half like both, nothing is known of d; the last line is that of other rows.
LIKENESS = np.array([[1, 0], [1, 0], [0.5, math.sqrt(0.75)], [0, 0], [0, 0]], np.float32)
FEATURES = ShownFeatures(ROWS, LIKENESS, noise=2.0, readiness=0.3)
RATES = np.array([0.1, 0.2, 0.3, 0.4, 0.25])


def expected(rows, pages):
    """The last rate is that of rows that are not among them; a later page view's are greater."""
    return RATES[rows] + 0.01 * pages


def batch_of(pages) -> pa.RecordBatch:
    """Page views as (menu, [(row shown, place, clicked), ...])."""
    return pa.RecordBatch.from_pydict(
        {
            "menu": pa.array([menu for menu, _ in pages], pa.list_(pa.string())),
            "shown_row": pa.array([[row for row, *_ in shown] for _, shown in pages], pa.list_(pa.string())),
            "shown_position": pa.array([[at for _, at, _ in shown] for _, shown in pages], pa.list_(pa.int32())),
            "shown_clicked": pa.array([[click for *_, click in shown] for _, shown in pages], pa.list_(pa.int8())),
        }
    )


def place(row: str) -> int:
    return ROWS.to_pylist().index(row) if row in ROWS.to_pylist() else -1


def found(pages) -> np.ndarray:
    """[rows of all menus, names]"""
    rows = np.array([place(row) for menu, _ in pages for row in menu], np.int64)
    columns = FEATURES.of(batch_of(pages), rows, expected)
    assert list(columns) == list(NAMES)
    return np.stack(list(columns.values()), axis=1)


def by_definition(page: int, menu, shown) -> list[list[float]]:
    rows = [place(row) for row, *_ in shown]
    clicked = np.array([click for *_, click in shown], float)
    surprise = np.array([click - RATES[row] - 0.01 * page for row, click in zip(rows, clicked, strict=True)])
    kernel = np.array([[LIKENESS[a] @ LIKENESS[b] + 0.3 for b in rows] for a in rows]).reshape(len(rows), len(rows))
    solved = np.linalg.inv(kernel + 2.0 * np.eye(len(rows))) @ surprise if rows else np.zeros(0)
    lines = []
    for at, name in enumerate(menu, start=1):
        own = place(name)
        like = np.array([LIKENESS[own] @ LIKENESS[row] for row in rows])
        near = np.array([math.exp(-abs(at - place) / 3) for _, place, _ in shown])
        of_clicked, of_passed = like[clicked == 1], like[clicked == 0]
        lines.append(
            [
                len(rows),
                clicked.sum(),
                surprise.sum() / (len(rows) + 5),
                of_clicked.mean() if len(of_clicked) else 0,
                of_passed.mean() if len(of_passed) else 0,
                max([0, *of_clicked]),
                max([0, *of_passed]),
                ((like + 0.3) * solved).sum(),
                (near * surprise).sum() / (near.sum() + 5),
                sum(row == own and own >= 0 and not click for row, click in zip(rows, clicked, strict=True)),
            ]
        )
    return lines


def drawn(count: int, seed: int):
    chance = np.random.default_rng(seed)
    names = ["a", "b", "c", "d", "elsewhere"]

    def shown(most: int):
        return [
            (names[chance.integers(5)], int(chance.integers(1, 30)), int(chance.random() < 0.4))
            for _ in range(chance.integers(0, most))
        ]

    return [([names[row] for row in chance.permutation(5)[: chance.integers(1, 6)]], shown(8)) for _ in range(count)]


def test_features_by_definition():
    pages = drawn(300, seed=3)  # more than are looked at together
    wanted = [line for page, (menu, shown) in enumerate(pages) for line in by_definition(page, menu, shown)]
    assert found(pages) == pytest.approx(np.array(wanted), abs=2e-6)


def test_a_row_worked_out_by_hand():
    """Shown: a, clicked, rate .1 (surprise .9). Offered: b, like a by 1; d, of which nothing is known.
    Taste of b: (1 + .3) x .9 / (1 + .3 + 2) = .354545; of d: .3 x .9 / 3.3 = .081818."""
    b, d = found([(["b", "d"], [("a", 1, 1)])])
    named = dict(zip(NAMES, b, strict=True))
    assert named["taste"] == pytest.approx(0.354545, abs=1e-6)
    assert (named["like_clicked"], named["like_passed"], named["most_like_clicked"]) == (1, 0, 1)
    assert named["shown_surprise"] == pytest.approx(0.9 / 6)
    assert named["surprise_near_place"] == pytest.approx(0.9 / 6)  # the same place: exp(0) = 1
    assert d[NAMES.index("taste")] == pytest.approx(0.081818, abs=1e-6)


def test_nothing_shown_and_no_page_views():
    assert found([(["a", "c"], [])]).tolist() == [[0] * len(NAMES)] * 2
    assert found([]).shape == (0, len(NAMES))
    kept = batch_of([(["a"], [])])
    null = [pa.nulls(1, kind) for kind in kept.schema.types[1:]]
    absent = pa.RecordBatch.from_arrays([kept.column("menu"), *null], schema=kept.schema)
    assert not np.stack(list(FEATURES.of(absent, np.array([0]), expected).values())).any()
