"""Each baseline against its definition in plain Python, and that none knows of its page view or of what came later."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from pagerec_dbx.baselines.als import Als
from pagerec_dbx.baselines.catalogue import all_baselines, require_baselines
from pagerec_dbx.baselines.co_click_knn import CoClickKnn
from pagerec_dbx.baselines.counts import Clock, clock_of, rates_of
from pagerec_dbx.baselines.lambdamart import Features, LambdaMart, training_features
from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.row_fields import row_fields
from pagerec_dbx.baselines.shown_features import shown_features
from pagerec_dbx.baselines.views import clicks_of, page_views_of
from pagerec_dbx.errors import UnknownBaselineError
from pagerec_dbx.schemas import CLICK_MATCHES, LABELLED_PAGE_VIEWS, ROWS
from pagerec_dbx.tables import spark_schema
from tests.baseline_world import (
    MINUTE,
    SMOOTHING,
    START,
    Oracle,
    clicks_frame,
    draw_pages,
    page_views_frame,
    shown_frame,
)

ROW_FIELDS = [("r0", {"kind": ["drama"]}, {"age": 3.0}), ("r1", {"kind": ["drama", "new"]}, {})]


def past_of(spark, pages, log=None) -> Past:
    rows = spark.createDataFrame(ROW_FIELDS, spark_schema(ROWS))
    shown = shown_frame(spark, log or pages)
    return Past(page_views_frame(spark, pages), clicks_frame(spark, pages), rows, shown, SMOOTHING, seed=17)


@pytest.fixture(scope="module")
def world(spark):
    """160 page views of which the first 120 are the past; r99 comes later, a viewer too."""
    pages = draw_pages(160, seed=3)
    later = [dataclasses.replace(page, menu=(*page.menu, "r99")) for page in pages[120:]]
    later[-1] = dataclasses.replace(later[-1], viewer="nobody knows")
    log = pages[:120] + later
    past = past_of(spark, pages[:120], log)
    past.page_views.persist(), past.clicks.persist()
    return past, later, page_views_frame(spark, later), clicks_frame(spark, log), Oracle(pages[:120], log)


def scores_of(world, baseline) -> dict[int, list[float]]:
    past, _, asked, clicks, _ = world
    found = baseline.fit(past).scores(asked.drop("clicked"), clicks).collect()
    scores = {record["page_view_id"]: record["scores"] for record in found}
    assert len(scores) == len(found)  # each page view once
    return scores


def by_definition(world, score) -> dict[int, list[float]]:
    return {page.number: pytest.approx([score(page, row) for row in page.menu], rel=1e-12) for page in world[1]}


@pytest.mark.parametrize("context", ["hour", "device"])
def test_popularity_in_a_context_is_smoothed_towards_the_row_s_own(world, context):
    oracle = world[-1]
    baseline = all_baselines()[f"popularity_by_{context}"]
    assert scores_of(world, baseline) == by_definition(world, lambda page, row: oracle.by(context, page, row))


def test_recent_click_ranks_by_the_last_click_strictly_before(world):
    oracle = world[-1]
    wanted = by_definition(world, oracle.recent)
    assert scores_of(world, all_baselines()["recent_click"]) == wanted
    # The world tests the word "strictly": with "at or before" other scores would come out.
    oracle_at = Oracle(oracle.past, [_moved(page, -1) for page in oracle.log])
    assert {page.number: [oracle_at.recent(page, row) for row in page.menu] for page in world[1]} != wanted


def _moved(page, minutes: int):
    return dataclasses.replace(page, clicks=tuple((row, minute + minutes) for row, minute in page.clicks))


def test_knn_adds_up_the_cosines_to_the_rows_clicked_before(world):
    wanted = by_definition(world, world[-1].knn)
    assert scores_of(world, CoClickKnn()) == wanted
    assert scores_of(world, CoClickKnn(neighbours=1)) != wanted


def test_cosines_worked_out_by_hand(spark):
    # v1 clicked a, b; v2 a, b, c; v3 a (twice): a-b 2 / sqrt(3 x 2), a-c 1 / sqrt(3 x 1), b-c 1 / sqrt(2 x 1)
    pairs = [("v1", "a"), ("v1", "b"), ("v2", "a"), ("v2", "b"), ("v2", "c"), ("v3", "a"), ("v3", "a")]
    clicks = spark.createDataFrame([(*pair, at) for at, pair in enumerate(pairs)], "user_hash string, row_id string, "
                                   "clicked_micros bigint")  # fmt: skip
    found = {(one["row_id"], one["other_id"]): one["cosine"] for one in CoClickKnn().cosines(clicks).collect()}
    wanted = {("a", "b"): 2 / 6**0.5, ("a", "c"): 1 / 3**0.5, ("b", "c"): 1 / 2**0.5}
    assert found == pytest.approx(wanted | {(b, a): value for (a, b), value in wanted.items()})
    nearest = {one["row_id"]: one["other_id"] for one in CoClickKnn(neighbours=1).cosines(clicks).collect()}
    assert nearest == {"a": "b", "b": "a", "c": "b"}


@pytest.mark.slow
def test_als_learns_who_clicks_what_and_ranks_for_strangers_by_popularity(spark, world):
    *_, oracle = world
    strangers = scores_of(world, Als(factors=2, iterations=2))
    stranger = world[1][-1]
    assert strangers[stranger.number] == pytest.approx([1e-9 * oracle.popularity(row) for row in stranger.menu])
    # Two camps: x clicks a and b, y clicks c and d; one of x never saw b, one of y never saw d.
    pairs = [(f"{camp}{n}", row) for camp, rows in (("x", "ab"), ("y", "cd")) for n in range(6) for row in rows]
    pairs = [pair for pair in pairs if pair not in (("x0", "b"), ("y0", "d"))]
    pages = [_page(number, viewer, ("a", "b", "c", "d"), row) for number, (viewer, row) in enumerate(pairs)]
    asked = [_page(100, "x0", ("d", "b"), None), _page(101, "y0", ("d", "b"), None)]
    ranker = Als(factors=2).fit(past_of(spark, pages))
    found = ranker.scores(page_views_frame(spark, asked).drop("clicked"), clicks_frame(spark, pages)).collect()
    order = {one["page_view_id"]: np.argsort(one["scores"]).tolist() for one in found}
    assert order == {100: [0, 1], 101: [1, 0]}


def _page(number, viewer, menu, clicked):
    from tests.baseline_world import Page

    return Page(number, viewer, number, None, menu, ((clicked, number),) if clicked else ())


# --- LambdaMART: what its features know -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LeakingClock(Clock):
    """Shows each page view the counts of its own bucket too."""

    def bucket(self, micros):
        return super().bucket(micros) + 1


def described(spark, pages, clock_kind=Clock) -> np.ndarray:
    """[rows of all menus, features] of all page views, in order."""
    past = past_of(spark, pages)
    clock = clock_of(past, 20)
    rows, row_ids = past.row_attributes, past.popularity.row_ids
    fields, shown = row_fields(rows, row_ids, 5), shown_features(rows, row_ids, 5)
    features = Features(rates_of(past, clock), fields, shown=shown)
    seen_with = clock_kind(**dataclasses.asdict(clock))
    return training_features(
        features.with_columns(past.page_views, past.clicks, past.shown), features, seen_with
    ).features


def with_other_clicks(pages, minute: int):
    """The same page views; whatever is clicked at this minute or later is another row, and one more."""

    def other(page):
        kept = [click for click in page.clicks if click[1] < minute]
        free = [row for row in page.menu if row not in dict(page.clicks)]
        late = max(minute, page.minute)
        more = [(row, late) for row in free[:2]]
        return dataclasses.replace(page, clicks=(*kept, *more))  # fmt: skip

    return [other(page) if page.minute >= minute or page.clicks else page for page in pages]


@pytest.mark.slow
@pytest.mark.parametrize(("clock", "leaks"), [(Clock, False), (LeakingClock, True)])
def test_features_of_a_page_view_do_not_depend_on_clicks_at_its_time_or_later(spark, clock, leaks):
    pages = draw_pages(60, seed=5)
    minute = pages[35].minute
    one, other = (described(spark, world, clock) for world in (pages, with_other_clicks(pages, minute)))
    known = sum(len(page.menu) for page in pages if page.minute <= minute)
    assert np.array_equal(one[:known], other[:known], equal_nan=True) is not leaks
    assert not np.array_equal(one[known:], other[known:], equal_nan=True)  # later page views do know


def test_a_viewer_s_click_on_the_page_itself_is_no_feature_of_it(spark):
    pages = [_page(number, "v", ("a", "b"), "a") for number in range(3)]
    place = Features(None, None).counted.index("viewer_clicks")
    clicks = described(spark, pages)[:, place]
    assert clicks.tolist() == [0, 0, 1, 0, 2, 0]
    early = [_moved(page, -1) for page in pages[1:]]  # the control: clicks before their page views would be seen
    assert described(spark, [pages[0], *early])[:, place].tolist() != clicks.tolist()


def test_rates_are_those_of_the_buckets_before(spark):
    pages = draw_pages(80, seed=7)
    past, oracle = past_of(spark, pages), Oracle(pages, pages)
    clock = clock_of(past, 20)
    rates = rates_of(past, clock)
    names, devices = rates.row_ids.to_pylist(), rates.devices.to_pylist()
    asked = [(row, device, bucket) for row in ("r0", "r5", "r99") for device in ("tv", None) for bucket in (0, 7, 20)]
    found = rates.at(
        np.array([names.index(row) if row in names else -1 for row, _, _ in asked]),
        np.array([devices.index(device) if device else -1 for _, device, _ in asked]),
        np.array([bucket for _, _, bucket in asked]),
    )
    for number, (row, device, bucket) in enumerate(asked):
        starts = -(-(clock.first + bucket * clock.width - START) // MINUTE) if bucket < 20 else 10_000
        wanted = oracle.rates_before(starts, row, device)
        assert tuple(found[name][number] for name in found) == pytest.approx(wanted), (row, device, bucket)


def test_lambdamart_finds_what_its_features_tell(world):
    past, later, asked, clicks, _ = world
    ranker = LambdaMart(rounds=5, least_in_leaf=5).fit(past)
    assert ranker.features.fields.names == ("age", "kind: drama")  # `new` is of one row alone
    again = LambdaMart(rounds=5, least_in_leaf=5).fit(past)
    assert again.trees == ranker.trees
    scores = {one["page_view_id"]: one["scores"] for one in ranker.scores(asked.drop("clicked"), clicks).collect()}
    assert {number: len(values) for number, values in scores.items()} == {one.number: len(one.menu) for one in later}
    assert len({value for values in scores.values() for value in values}) > 3
    few = LambdaMart(rounds=1, page_views=20).fit(past)
    assert 5 < few.learnt_from < 40 < ranker.learnt_from


def test_what_was_shown_before_ranks_where_nothing_else_can(spark):
    """Each viewer clicks rows of one kind. Of two rows that nobody ever clicked only their kinds are known: trees that
    know what the viewer was shown before find the right one, those that do not cannot."""
    kinds = {f"{kind}{n}": kind for kind in "ab" for n in range(12)}
    rows = spark.createDataFrame([(row, {"kind": [kind]}, {}) for row, kind in kinds.items()], spark_schema(ROWS))
    chance, pages = np.random.default_rng(5), [_page(999, "somebody", ("a11", "b11"), None)]
    for number in range(240):
        viewer, first, second = f"v{number % 8}", f"a{chance.integers(10)}", f"b{chance.integers(10)}"
        menu = (first, second) if chance.random() < 0.5 else (second, first)
        pages.append(_page(number, viewer, menu, first if number % 2 else second))
    asked = [_page(1_000 + number, f"v{number % 8}", ("a11", "b11"), None) for number in range(8)]
    log = [*pages, *asked]
    frames = page_views_frame(spark, pages), clicks_frame(spark, pages), rows, shown_frame(spark, log)
    past = Past(*frames, SMOOTHING, seed=17)
    asked_frame, clicks = page_views_frame(spark, asked).drop("clicked"), clicks_frame(spark, pages)
    right = {}
    for values in (0, 10):
        ranker = LambdaMart(rounds=20, least_in_leaf=5, shown_values=values).fit(past)
        found = {one["page_view_id"]: one["scores"] for one in ranker.scores(asked_frame, clicks).collect()}
        right[values] = sum((a > b) == bool(number % 2) and a != b for number, (a, b) in found.items())
    assert right[10] == 8
    assert right[0] < 8


# --- what they read ---------------------------------------------------------------------------------------------------


def test_a_click_has_the_time_of_its_match_and_else_of_the_page_view_s_first(spark):
    at = dt.datetime(2024, 1, 1, 22, 30, tzinfo=dt.UTC)
    later = at + dt.timedelta(seconds=50)
    values = {
        "page_view_id": 1, "join_method": "keyed", "source": "service_logs", "user_hash": "v", "served_at": at,
        "day": at.date(), "utc_offset_minutes": 120, "randomized": False, "history": [], "device": "tv",
        "menu": [(row, None, place, False) for place, row in enumerate("abc")], "clicked": [1, 0, 1],
        "clicked_row_id": "a", "clicked_at": at + dt.timedelta(seconds=5),
    }  # fmt: skip
    record = tuple(values.get(name) for name in LABELLED_PAGE_VIEWS.column_names)
    labelled = spark.createDataFrame([record], spark_schema(LABELLED_PAGE_VIEWS))
    match = {"click_id": 7, "join_method": "keyed", "clicked_at": later, "day": at.date(), "row_id": "c",
             "page_view_id": 1, "served_at": at, "position": 2}  # fmt: skip
    matches = spark.createDataFrame(
        [tuple(match.get(name) for name in CLICK_MATCHES.column_names)], spark_schema(CLICK_MATCHES)
    )
    times = {
        one["row_id"]: (one["position"], (one["clicked_micros"] - one["served_micros"]) // 1_000_000)
        for one in clicks_of(labelled, matches).collect()
    }
    assert times == {"a": (0, 5), "c": (2, 50)}
    (page,) = page_views_of(labelled).collect()
    assert (page["hour"], page["menu"], page["clicked"]) == (0, ["a", "b", "c"], [1, 0, 1])


def test_a_baseline_is_known_by_the_name_of_its_file():
    names = ["als", "co_click_knn", "lambdamart", "lambdamart_shown", "popularity_by_device", "popularity_by_hour"]
    assert list(all_baselines()) == [*names, "recent_click"] == list(require_baselines([]))
    assert list(require_baselines(["baseline:als", "recent_click", "als"])) == ["als", "recent_click"]
    with pytest.raises(UnknownBaselineError, match="unknown baseline `catalogue`: wanted some of als, co_click_knn"):
        require_baselines(["als", "catalogue"])
