"""What the tables say of rows and titles: attributes, counts before moments, and a model that learns from both."""

import dataclasses
import datetime as dt
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import MissingTableError, SettingError
from pagerec_dbx.features.attributes import Kind, attribute_tokens, described, fields_of
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.row_counts import count_rows
from pagerec_dbx.features.vocabulary import read_vocabulary
from pagerec_dbx.home import open_home
from pagerec_dbx.models.catalogue import load_knowledge
from pagerec_dbx.models.names import MODEL_SETTINGS
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.schemas import CLICK_MATCHES, EVALUATIONS, LABELLED_PAGE_VIEWS, RANKED_MENUS, ROWS
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.stages.knowledge import leave_knowledge, require_fields
from pagerec_dbx.stages.plan import plan_training
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.stages.resume import resume
from pagerec_dbx.stages.score import score_version
from pagerec_dbx.stages.stopped_runs import find_stopped, stopped_runs
from pagerec_dbx.stages.train import config_of, train
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.workbench import Workbench
from tests.integration.test_shown_thread import write
from tests.page_views import MONDAY
from tests.shown_world import shown

THINGS = "thing string, attributes map<string,array<string>>, numbers map<string,double>"
IDS = "id int, token string"
WORDS = "map<string,array<string>>"


def things(spark, listed):
    return spark.createDataFrame([(name, words, numbers) for name, (words, numbers) in listed.items()], THINGS)


def test_values_are_tokens_texts_are_words_and_numbers_are_tenths(spark):
    listed = {
        "one": ({"genre": ["Drama", "Drama", "Sci Fi"], "plot": ["A cat and A dog"]}, {"year": 1.0}),
        "ten": ({"genre": []}, {"year": 10.0, "odd": float("nan")}),
        **{f"{number}": ({}, {"year": float(number)}) for number in range(2, 10)},
    }
    records = attribute_tokens(things(spark, listed), "thing").collect()
    found = {}
    for thing, token, field in records:
        found.setdefault(thing, []).append(token)
        assert field == (None if ": tenth " in token else token.split(":")[0])
    assert sorted(found["one"]) == [
        "genre: Drama", "genre: Sci Fi", "plot: a", "plot: and", "plot: cat", "plot: dog", "year: tenth 1 by thing",
    ]  # fmt: skip
    # of the numbers 1 to 10 the ends of the tenths are 1 to 9; 10 lies past all nine, 5 past four of them
    assert found["ten"] == ["year: tenth 10 by thing"] and found["5"] == ["year: tenth 5 by thing"]
    only = attribute_tokens(things(spark, listed), "thing", fields=["genre"]).collect()
    assert sorted(token for _, token, _ in only) == ["genre: Drama", "genre: Sci Fi"]


def test_attributes_have_ids_by_how_many_things_have_them(spark):
    """Of 5 rows and 2 titles: `x` is had by 3 of 7, `z` by 2, `y` by 2, `alone` by one, `all` by all, `gone` by nobody
    that has an id."""
    had = {"a": "x z all", "b": "x all", "c": "y all alone", "d": "y all", "e": "all", "no id": "x gone"}
    rows = things(spark, {name: ({"f": tokens.split()}, {}) for name, tokens in had.items()})
    titles = things(spark, {"t": ({"f": ["all", "x"]}, {}), "u": ({"f": ["z", "all"]}, {})})
    row_ids = spark.createDataFrame([(number, name) for number, name in enumerate("abcde", start=2)], IDS)
    title_ids = spark.createDataFrame([(2, "t"), (3, "u")], IDS)
    kinds = [Kind(rows, "thing", row_ids, 7, 2), Kind(titles, "thing", title_ids, 4, 1)]
    (of_rows, of_titles), fields = described(kinds, most=4)
    # x is 1, then y and z by name
    assert of_rows.tolist() == [[0, 0], [0, 0], [1, 3], [1, 0], [2, 0], [2, 0], [0, 0]]
    assert of_titles.tolist() == [[0], [0], [1], [3]]
    assert fields.tolist() == [0, 0, 0, 0]
    assert described(kinds, most=2)[0][0].tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0, 0]]


def test_a_field_that_nothing_has_is_refused_with_its_nearest_name(spark):
    listed = {"one": ({"genre": ["Drama"]}, {"year": 1.0}), "two": ({}, {})}
    assert fields_of(things(spark, listed)) == {"genre", "year"}
    require_fields(["genre", "year"], {"genre", "year"})
    with pytest.raises(SettingError, match="names `gnere`.*wanted some of genre, year. Write genre, perhaps"):
        require_fields(["year", "gnere"], {"genre", "year"})


def test_attributes_are_of_fields_and_the_tenths_of_numbers_of_none(spark):
    """Three of six have `g: x`, two each, by name, `a: b: tenth` of a field `a: b`, `g: y`, `year: tenth 1 by thing`;
    more than half have `year: tenth 4 by thing`, which tells nothing."""
    listed = {
        "one": ({"g": ["x"], "a: b": ["tenth"]}, {"year": 1.0}),
        "two": ({"g": ["x"], "a: b": ["tenth"]}, {"year": 1.0}),
        "six": ({"g": ["x", "y"]}, {"year": 9.0}),
        **{f"{number}": ({"g": ["y"] * (number == 3)}, {"year": 9.0}) for number in (3, 4, 5)},
    }
    ids = spark.createDataFrame([(number, name) for number, name in enumerate(listed, start=2)], IDS)
    (tokens,), fields = described([Kind(things(spark, listed), "thing", ids, 8, 4)], most=5)
    assert fields.tolist() == [0, 0, 1, 0, -1]
    assert tokens[2].tolist() == [1, 2, 4, 0] and tokens[4].tolist() == [1, 3, 0, 0]


def counted(spark, pages, clicks, moments, until=500):
    """Of rows a, b, c, with ids 2 to 4.

    Args:
        pages: when in microseconds, and the menu.
        clicks: row, place, and when in microseconds.
        until: seconds.
    """
    return count_rows(
        spark.createDataFrame(pages, "served_micros bigint, menu array<string>"),
        spark.createDataFrame(clicks, "row_id string, position int, clicked_micros bigint"),
        spark.createDataFrame([(2, "a"), (3, "b"), (4, "c")], IDS), row_count=5, moments=moments,
        until_micros=until * 1_000_000,
    )  # fmt: skip


def test_places_and_times_worked_out_by_hand(spark):
    """The one moment is the second 7,200, in the middle of three page views.

    Row a stands at place 0 at 0 s, at 2 at 7,200 s, at 1 at 10,800 s: before the moment its mean place is 0 and its
    last offer 2 hours old, in the end (18,000 s) the mean is 1 and the offer 2 hours old again. It is clicked at 2, at
    9,000 s: that is known in the end only, 2.5 hours later. Row b is offered at place 1 and 0, clicked never.
    """
    pages = [(0, ["a", "b"]), (7_200_000_000, ["b", "z", "a"]), (10_800_000_000, ["z", "a"])]
    counts = counted(spark, pages, [("a", 2, 9_000_000_000)], moments=1, until=18_000)
    assert counts.moments.tolist() == [7_200]
    assert counts.mean_places[2].tolist() == [[-1, -1], [0, -1], [1, 2]]
    assert counts.hours_since[2].tolist() == [[-1, -1], [2, -1], [2, 2.5]]
    assert counts.mean_places[3].tolist() == [[-1, -1], [1, -1], [0.5, -1]]
    assert counts.hours_since[3].tolist() == [[-1, -1], [2, -1], [3, -1]]
    for one in (counts.mean_places, counts.hours_since):
        assert (one[[0, 1, 4]] == -1).all()  # padding, unknown, and c, which is offered never


def some_events(chance):
    pages = [(1_000_000 * chance.randrange(400), chance.sample(["a", "b", "c", "z"], 3)) for _ in range(60)]
    places = [(chance.randrange(3), served, menu) for served, menu in pages if chance.random() < 0.5]
    return pages, [(menu[place], place, served + 2_500_000) for place, served, menu in places]


def test_places_and_times_are_of_what_came_strictly_before_each_moment(spark):
    pages, clicks = some_events(random.Random(8))
    counts, names = counted(spark, pages, clicks, moments=6), {2: "a", 3: "b", 4: "c"}
    offers = [(row, place, when) for when, menu in pages for place, row in enumerate(menu)]
    for column, moment in enumerate([0, *counts.moments.tolist(), 500]):
        for row, kind in itertools.product(names, (0, 1)):
            before = [
                (place, when // 1_000_000)
                for name, place, when in (offers, clicks)[kind]
                if name == names[row] and when < moment * 1e6
            ]
            place = np.mean([place for place, _ in before]) if before else -1
            hours = (moment - max(when for _, when in before)) / 3_600 if before else -1
            assert counts.mean_places[row, column, kind] == pytest.approx(place)
            assert counts.hours_since[row, column, kind] == pytest.approx(hours)


def test_nothing_that_happens_at_a_moment_or_later_is_in_its_column(spark):
    """What comes later may be anything, at the same times; what comes earlier may not: that is the control."""
    pages, clicks = some_events(random.Random(9))
    first = counted(spark, pages, clicks, moments=6)
    moment = int(first.moments[2])  # that of column 3

    def turned(is_changed):
        changed = [(when, menu[::-1] if is_changed(when) else menu) for when, menu in pages]
        return counted(spark, changed, [one for one in clicks if not is_changed(one[2])], moments=6)

    later, earlier = turned(lambda when: when >= moment * 1e6), turned(lambda when: when < moment * 1e6)
    for name in ("clicks", "impressions", "mean_places", "hours_since"):
        of_first, of_later = getattr(first, name), getattr(later, name)
        np.testing.assert_array_equal(of_later[:, :4], of_first[:, :4])
    assert (later.mean_places[:, 4:] != first.mean_places[:, 4:]).any()
    assert (earlier.mean_places[:, 3] != first.mean_places[:, 3]).any()


def test_counts_are_of_what_came_strictly_before_each_moment(spark):
    """Against plain Python, which asks of each page view what had happened before the last moment that had passed."""
    chance = random.Random(4)
    pages = [(1_000_000 * chance.randrange(400), chance.sample(["a", "b", "c", "z"], 2)) for _ in range(200)]
    clicks = [(menu[0], served + chance.choice((1, 999_999, 5_000_000))) for served, menu in pages[:120]]
    counts = counted(spark, pages, [(row, 0, when) for row, when in clicks], moments=9)
    moments = counts.moments.tolist()
    assert len(moments) == 9 and moments == sorted(moments)
    between = np.histogram([served / 1e6 for served, _ in pages], [-1, *moments, 1_000])[0]
    assert between.min() >= 10  # as many page views between two moments: 20, but for those of one second
    for column, moment in enumerate([-1, *moments, 10_000]):
        for row, name in ((2, "a"), (3, "b"), (4, "c")):
            assert counts.impressions[row, column] == sum(
                name in menu and served < moment * 1e6 for served, menu in pages
            )
            assert counts.clicks[row, column] == sum(one == name and when < moment * 1e6 for one, when in clicks)
        assert counts.of_all[:, column].tolist() == [
            sum(when < moment * 1e6 for _, when in clicks), 2 * sum(served < moment * 1e6 for served, _ in pages)
        ]  # fmt: skip
    assert not counts.impressions[:2].any() and not counts.clicks[:2].any()
    by_hand = dataclasses.replace(counts, of_all=np.array([[9.0, 0.0], [98.0, 0.0]]))
    assert by_hand.common_rate.tolist() == [0.1, 0.5]  # 9 + 1 of 98 + 2; of nothing a half


KINDS = {f"row {number}": ["good", "bad", "fair"][number % 3] for number in range(14)}
COLD = ["row 12", "row 13"]  # a good one and a bad one, offered in the holdout alone
SETTINGS = {
    "shown_length": 12, "history_length": 4, "epochs": 6, "batch_size": 24, "learning_rate": 0.05, "catalogue": True,
    "embedding_size": 4, "hidden_sizes": (8,), "row_attributes": 3, "attribute_tokens": 8, "resamples": 100, "l2": 0.0,
    "dropout": 0.0,
}  # fmt: skip
TIMES = (MONDAY + dt.timedelta(hours=number) for number in itertools.count())  # the latest preparation is the one meant
DESIGNED = MODEL_SETTINGS["page_ranker"] | SETTINGS


def world() -> list[dict]:
    """400 page views of 30 viewers, on which good rows are clicked and bad ones are not."""
    chance = random.Random(2)
    views = []
    for number in range(400):
        offered = [row for row in KINDS if row not in COLD]
        rows = [*COLD, *chance.sample(offered, 6)] if number >= 320 else chance.sample(offered, 8)
        chance.shuffle(rows)
        late = 400_000 if number == 300 else 5  # one page view is clicked when the holdout has long begun
        clicks = [(row, 600 * number + late) for row in rows if KINDS[row] == "good" and chance.random() < 0.8]
        views.append(shown(number, 600 * number, rows, *clicks, user_hash=f"viewer {chance.randrange(30)}"))
    return views


@pytest.fixture(scope="module")
def bench(spark, tmp_path_factory) -> Workbench:
    settings = settings_from(SETTINGS)
    bench = Workbench(open_home(str(tmp_path_factory.mktemp("known") / "home")), settings)
    write(bench.tables, world())
    return bench


def _with_rows(bench):
    rows = [(row, {"kind": [kind]}, {"number": float(row.split()[1])}) for row, kind in KINDS.items()]
    schema = "row_id string, attributes map<string,array<string>>, numbers map<string,double>"
    bench.tables.replace(ROWS, bench.tables.spark.createDataFrame(rows, schema))


@pytest.mark.slow
def test_rows_that_training_never_saw_are_ranked_by_what_they_are(bench):
    """They are offered in the holdout alone, and the one whose kind is clicked comes before the other."""
    prepared = prepare(bench.tables, bench.settings.prepare, next(TIMES))
    assert prepared.rows == 2 + 12  # there is no table of rows yet
    with pytest.raises(MissingTableError, match="the table `rows` has no attributes"):
        train(bench.tables, bench.registry, "page_ranker", 1, settings_from(DESIGNED))
    _with_rows(bench)
    assert prepare(bench.tables, bench.settings.prepare, next(TIMES)).rows == 2 + 14
    trained = train(bench.tables, bench.registry, "page_ranker", 1, settings_from(DESIGNED))
    score_version(bench, trained.version)
    good, bad = COLD
    ranks = [[row for row, _ in record["ranked"]] for record in bench.tables.read(RANKED_MENUS).collect()]
    both = [names for names in ranks if good in names and bad in names]
    assert len(both) == 80
    assert np.mean([names.index(good) < names.index(bad) for names in both]) > 0.95
    best = [names.index(good) for names in both]
    assert np.mean(best) < 3.0  # of eight, with two or three good ones beside it
    evaluate_version(bench, trained.version)
    mine = bench.tables.read(EVALUATIONS).where(F.col("version") == trained.version)
    assert mine.where("protocol = 'menu'").agg(F.avg("ndcg")).first()[0] > 0.75


def test_what_is_known_leaves_out_the_holdout_and_says_who_is_new(bench, tmp_path):
    _with_rows(bench)
    prepare(bench.tables, bench.settings.prepare, next(TIMES))
    preparation = latest_preparation(bench.tables)
    config = config_of(preparation, "page_ranker", settings_from(DESIGNED).model)
    file = tmp_path / "knowledge.npz"
    leave_knowledge(bench.tables, preparation, config, file)
    known = load_knowledge(file)
    names = ["", "?", *read_vocabulary(bench.tables, preparation.vocabulary_version, "rows")]
    assert {names[row] for row in np.flatnonzero(known.is_new)} == set(COLD)
    assert not known.impressions[[names.index(row) for row in COLD]].any()  # offered in the holdout only
    before = bench.tables.read(LABELLED_PAGE_VIEWS).orderBy("served_at").limit(320)
    shown_before = before.select(F.explode("menu.row_id").alias("row")).groupBy("row").count().collect()
    for row, count in shown_before:
        assert known.impressions[names.index(row), -1] == count
    assert bench.tables.read(CLICK_MATCHES).count() > 0
    in_time = bench.tables.read(CLICK_MATCHES).where(F.col("clicked_at") < preparation.cuts.holdout.served_at)
    rates = _rates(before, in_time)
    for row, (clicks, offered, of_all) in rates.items():
        found = known.clicks[names.index(row), -1], known.impressions[names.index(row), -1], known.common_rate[-1]
        assert found == pytest.approx((clicks, offered, of_all))
    assert not known.mean_places.size and not known.hours_since.size  # nobody asks for them
    asking = dataclasses.replace(config, row_network=4, row_counts=True)
    leave_knowledge(bench.tables, preparation, asking, tmp_path / "asking.npz")
    known = load_knowledge(tmp_path / "asking.npz")
    end = preparation.cuts.holdout.served_at.timestamp()
    for row, (mean, last) in _places(before).items():
        place, hours = known.mean_places[names.index(row), -1, 0], known.hours_since[names.index(row), -1, 0]
        assert (place, hours) == pytest.approx((mean, (end - last) / 3_600), abs=1e-3)
    cold = [names.index(row) for row in COLD]
    assert (known.mean_places[cold] == -1).all() and (known.hours_since[cold] == -1).all()
    none = dataclasses.replace(config, row_attributes=0, row_rates=False, viewer_taste=False)
    leave_knowledge(bench.tables, preparation, none, tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()
    file.write_text("what the training began with", encoding="utf-8")
    leave_knowledge(bench.tables, preparation, config, file)
    assert file.read_text(encoding="utf-8") == "what the training began with"  # and reads when it goes on


def _rates(before, clicks) -> dict[str, tuple[int, int, float]]:
    """Clicks and times offered of each row, and the rate of all rows, in plain Python."""
    offered = [row["row_id"] for record in before.collect() for row in record["menu"]]
    clicked = [record["row_id"] for record in clicks.collect()]
    of_all = (len(clicked) + 1) / (len(offered) + 2)
    return {row: (clicked.count(row), offered.count(row), of_all) for row in set(offered)}


def _places(before) -> dict[str, tuple[float, float]]:
    """Mean place and last offer, in seconds since 1970, of each row, in plain Python."""
    found: dict[str, list] = {}
    for record in before.collect():
        for place, row in enumerate(record["menu"]):
            found.setdefault(row["row_id"], []).append((place, record["served_at"].timestamp()))
    return {row: (np.mean([place for place, _ in of]), max(when for _, when in of)) for row, of in found.items()}


def test_a_plan_is_measured_with_what_a_training_knows(bench, monkeypatch):
    """The tables of how alike rows are make steps quicker, and take memory: both belong to the plan."""
    _with_rows(bench)
    prepare(bench.tables, bench.settings.prepare, next(TIMES))
    told, real = [], RowRanker.learn_knowledge
    monkeypatch.setattr(
        RowRanker, "learn_knowledge", lambda model, known: (told.append(known.impressions.any()), real(model, known))
    )
    files = set(Path(bench.home.name).rglob("*"))
    planned = plan_training(bench.tables, "page_ranker", 1, settings_from(DESIGNED))
    assert told == [True]
    assert planned.step_seconds > 0 and planned.memory_bytes > planned.embedding_bytes
    assert set(Path(bench.home.name).rglob("*")) == files


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.slow
def test_a_page_ranker_that_was_stopped_goes_on_with_what_it_knew(bench, monkeypatch):
    """Attributes that changed meanwhile change nothing: weights and knowledge come from the run's own folder."""
    _with_rows(bench)
    prepare(bench.tables, bench.settings.prepare, next(TIMES))
    short = settings_from(DESIGNED | {"epochs": 2, "checkpoint_minutes": 0.0, "steps_at_once": 4})
    undisturbed = train(bench.tables, bench.registry, "page_ranker", 1, short)
    real, calls = Steps.run, iter(range(100))

    def run(self, batches, number):
        if next(calls) == 3:
            raise Stopped
        return real(self, batches, number)

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "run", run)
        with pytest.raises(Stopped):
            train(bench.tables, bench.registry, "page_ranker", 1, short)
    (run_id,) = stopped_runs(bench.home)
    bench.tables.replace(ROWS, bench.tables.read(ROWS).withColumn("attributes", F.create_map().cast(WORDS)))
    resumed = resume(bench.tables, bench.registry, find_stopped(bench.home, run_id), short)
    assert resumed.epochs == 2
    assert resumed.validation_loss == pytest.approx(undisturbed.validation_loss, abs=1e-5)
    again = train(
        bench.tables, bench.registry, "page_ranker", 1, short
    )  # the control: with nothing known it is another
    assert abs(again.validation_loss - undisturbed.validation_loss) > 1e-3


@pytest.mark.slow
def test_two_ranks_train_a_page_ranker(bench):
    _with_rows(bench)
    prepare(bench.tables, bench.settings.prepare, next(TIMES))
    trained = train(
        bench.tables, bench.registry, "page_ranker", 2, settings_from(DESIGNED | {"check_steps": 1, "patience": 6})
    )
    assert (trained.ranks, trained.epochs) == (2, 6) and trained.validation_ndcg > 0.75
