"""The report's sentences, its table on the terminal, and its page."""

import dataclasses
import datetime as dt
from html.parser import HTMLParser

import numpy as np
import pytest

from pagerec_dbx.evaluation.calibration import Reliability
from pagerec_dbx.figures import number, signed
from pagerec_dbx.report.board import boards, results_from_rows, terminal_table
from pagerec_dbx.report.content import (
    Decision,
    Difference,
    Health,
    Monitored,
    PositionClicks,
    PositionShare,
    Quarantined,
    ReportContent,
    Result,
    SliceGain,
    floors_sentence,
    headline,
    spoken,
)
from pagerec_dbx.report.drift import drift_part
from pagerec_dbx.report.joins import match_rate
from pagerec_dbx.report.page import render
from pagerec_dbx.report.plots import bars, forest, line_chart

NOW = dt.datetime(2024, 1, 5, 12, 30, tzinfo=dt.timezone.utc)
SECTIONS = [
    "verdict",
    "results",
    "differences",
    "slices",
    "calibration",
    "training",
    "positions",
    "drift",
    "joins",
    "quarantine",
    "method",
]
HOSTILE = '<script>alert("x")</script>'


def gain(baseline="floor:popularity", difference=0.0123, lower=0.0101, upper=0.0144, **other):
    """A difference in NDCG under the menu protocol; what does not matter is filled in."""
    values = {"protocol": "menu", "metric": "ndcg", "pages": 7_002, "viewers": 3_120, **other}
    return Difference(baseline, difference=difference, lower=lower, upper=upper, **values)


def result(name, role, ndcg, **other):
    """Figures of which only the NDCG matters."""
    metrics = {"ndcg": ndcg, "ndcg_at_10": 0.5, "reciprocal_rank": 0.4, "hit_at_1": 0.3, "hit_at_5": 0.8}
    return Result(name, role, metrics=metrics, **{"protocol": "menu", "pages": 7_002, "viewers": 3_120, **other})


def monitored(day, measure, value, **given):
    """One measure of a monitored day; what does not matter is filled in."""
    reason = "Failed: too far." if given.get("passed") is False else "Passed: near." if "limit" in given else ""
    values = dict.fromkeys(field.name for field in dataclasses.fields(Monitored)) | {
        "passed": True,
        "page_views": 1_234,
        "viewers": 99,
    }
    values |= given
    named = {
        "day": dt.date(2024, 1, day),
        "version": "3",
        "measure": measure,
        "value": value,
        "page_views": 1_234,
        "viewers": 99,
    }
    return Monitored(**values | named | {"reason": reason})


FULL = ReportContent(
    made_at=NOW,
    version="3",
    holdout="holdout-1",
    simulated=True,
    results=(
        result("3", "challenger", 0.63, expected={"ndcg": 0.64}),
        result("floor:popularity", "floor", 0.6, expected={"ndcg": 0.6}),
        Result("ceiling:with_position", "ceiling", "menu", {}, 7_002, 3_120, {"ndcg": 0.7}),
        Result("legacy:imported", "imported", "menu", {"ndcg": 0.712, "reciprocal_rank": 0.6322}),
    ),
    differences=(gain(), gain("floor:random", 0.2, 0.19, 0.21), gain(protocol="menu_unpinned")),
    slices=(
        SliceGain("device: tv", gain(), 0.012),
        SliceGain("history: none", gain(difference=-0.01, lower=-0.02, upper=0.001), 1.0),
        SliceGain("history: 0 to 5", gain(difference=None, lower=None, upper=None, pages=41), None),
    ),
    decision=Decision(NOW, "3", None, True, ("Passed: it is better.", "Failed: it is slow.", "Something else.")),
    curves=tuple({"epoch": epoch, "loss": 3 / epoch, "validation_loss": 3.1 / epoch} for epoch in range(1, 6)),
    health=tuple(
        Health(dt.date(2024, 1, day), "keyed", measure, value)
        for day in (1, 2)
        for measure, value in (("clicks_matched", 90.0), ("unmatched_no_page", 10.0), ("match_rate", 0.9))
    )
    + tuple(
        Health(dt.date(2024, 1, day), "all", measure, value)
        for day in (1, 2)
        for measure, value in (
            ("agreement_page_views", 50.0),
            ("agreement", 0.8),
            ("disagreement_past_window", 7.0),
            ("disagreement_other", 3.0),
            ("time_to_click_p50", 9.5),
        )
    ),
    positions=tuple(PositionClicks(place, drawn, 100, 20 - place) for place in range(5) for drawn in (False, True)),
    quarantine=(Quarantined("service_logs", "not_json", 61),),
    calibration=Reliability(
        lower=np.array([0.001, 0.02]), upper=np.array([0.02, 0.3]), pairs=np.array([12_506, 12_506]),
        mean_probability=np.array([0.01, 0.05]), mean_target=np.array([0.012, 0.048]),
    ),
    shares=(PositionShare(0, 900, 0.2, 0.25), PositionShare(1, 900, 0.1, 0.08), PositionShare(2, 700, 0.1, 0.04)),
    monitored=tuple(
        monitored(day, measure, value, **given)
        for day in (4, 5)
        for measure, value, given in (
            ("psi_rows", 0.1 * day, {"limit": 0.45, "passed": day < 5, "expected_by_chance": 0.01, "day_share": 0.25}),
            ("ndcg", 0.6, {"lower": 0.5, "upper": 0.7}),
            ("popularity_ndcg", 0.55, {"lower": 0.5, "upper": 0.6}),
        )
    ),
)  # fmt: skip

# --- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "3", "differences": (gain(),), "simulated": True},
         "Version 3 ranks better than popularity: NDCG +.0123, 95 % interval .0101 to .0144, on 7,002 page views "
         "(simulated)."),
        ({"version": "3", "differences": (gain(), gain("2", -0.004, -0.006, -0.002)), "against": "2"},
         "Version 3 ranks worse than version 2: NDCG -.0040, 95 % interval -.0060 to -.0020, on 7,002 page views."),
        ({"version": "3", "differences": (gain(lower=-0.001),)},
         "Version 3 is not shown to rank better than popularity: NDCG +.0123, 95 % interval -.0010 to .0144, on 7,002 "
         "page views."),
        ({"version": "3", "differences": (gain(), gain("2")), "against": "2", "legacy": "2"},
         "Version 3 ranks better than the legacy (version 2): NDCG +.0123, 95 % interval .0101 to .0144, on 7,002 page "
         "views."),
        ({"version": "3", "differences": (gain(), gain(metric="hit_at_1", difference=0.02)), "metric": "hit_at_1"},
         "Version 3 ranks better than popularity: hit@1 +.0200, 95 % interval .0101 to .0144, on 7,002 page views."),
        ({"version": "3", "differences": (gain("2"), gain("1")), "against": "1"},
         "Version 3 ranks better than version 1: NDCG +.0123, 95 % interval .0101 to .0144, on 7,002 page views."),
        ({"version": "3", "differences": (gain(protocol="vocabulary"), gain(metric="hit_at_1"))},
         "Version 3 has not been compared with a floor or a champion yet."),
        ({}, "No version has been compared yet."),
    ],
)  # fmt: skip
def test_headline_says_what_was_found(changes, said):
    assert headline(ReportContent(NOW, **changes)) == said


def test_floors_sentence_names_the_floors_not_beaten():
    lost = gain("floor:page_order", 0.001, -0.002, 0.004)
    assert floors_sentence(ReportContent(NOW)) == ""
    assert floors_sentence(ReportContent(NOW, differences=(gain(),))) == "It beats every floor: popularity."
    told = floors_sentence(ReportContent(NOW, differences=(gain(), lost)))
    assert told == "It does not beat every floor: page order not beaten."


@pytest.mark.parametrize(
    ("value", "plain", "with_sign"),
    [(0.0123, ".0123", "+.0123"), (-0.5, "-.5000", "-.5000"), (1.0, "1.0000", "+1.0000"), (-0.00001, ".0000", ".0000"),
     (None, "–", "–"), (float("nan"), "–", "–"), (-1.25, "-1.2500", "-1.2500")],
)  # fmt: skip
def test_numbers_are_written_as_in_the_study(value, plain, with_sign):
    assert (number(value), signed(value)) == (plain, with_sign)


def test_spoken_names():
    names = ["7", "floor:page_order", "baseline:als", "ceiling:with_position", "legacy:imported"]
    assert [spoken(name) for name in names] == [
        "version 7", "page order", "als", "best order with position", "legacy imported",
    ]  # fmt: skip


# --- the table --------------------------------------------------------------------------------------------------------


def test_terminal_table_is_aligned_and_says_what_it_was_measured_on():
    (board,) = boards(FULL.results, FULL.differences, simulated=True)
    lines = terminal_table(board).splitlines()
    assert "gain" in lines[1] and "expected" in lines[1] and set(lines[2]) == {"-"}
    assert [lines[0], *lines[3:]] == [
        "Protocol menu, ranking the rows offered on the page; "
        "split holdout; 7,002 page views; 3,120 viewers; simulated.",
        "version 3 (challenger)                .6300    .5000  .4000  .3000  .8000     .6400",
        "popularity (floor)                    .6000    .5000  .4000  .3000  .8000     .6000  +.0123     "
        "+.0101 to +.0144",
        "best order with position (ceiling)        -        -      -      -      -     .7000          "
        "on 7,002 page views",
        "legacy imported (measured elsewhere)  .7120        -  .6322      -      -         -",
    ]
    assert len(lines[1]) == len(lines[2]) == max(len(line) for line in lines[1:])


def comparison_row(baseline, value, **other):
    """A record of `comparisons` of challenger 3."""
    row = {
        "challenger": "3", "baseline": baseline, "protocol": "menu", "metric": "ndcg", "slice": "all",
        "value_challenger": 0.63, "value_baseline": value, "difference": 0.63 - value, "lower": 0.01, "upper": 0.05,
        "pages": 10, "viewers": 4, "measured": "here",
    }  # fmt: skip
    return {**row, **other}


def test_results_from_rows_gives_each_its_role_and_no_difference_to_what_was_measured_elsewhere():
    elsewhere = {
        "difference": None,
        "lower": None,
        "upper": None,
        "pages": None,
        "viewers": None,
        "measured": "elsewhere",
    }
    results, differences = results_from_rows(
        [
            comparison_row("2", 0.6),
            comparison_row("2", 0.5, metric="hit_at_1", value_challenger=0.4),
            comparison_row("floor:random", 0.3),
            comparison_row("floor:random", 0.1, slice="new viewers"),
            comparison_row("legacy:imported", 0.712, **elsewhere),
        ],
        champion="2",
    )
    assert [(one.name, one.role, one.metrics) for one in results] == [
        ("3", "challenger", {"ndcg": 0.63, "hit_at_1": 0.4}),
        ("2", "champion", {"ndcg": 0.6, "hit_at_1": 0.5}),
        ("floor:random", "floor", {"ndcg": 0.3}),
        ("legacy:imported", "imported", {"ndcg": 0.712}),
    ]
    assert [(one.baseline, one.metric) for one in differences] == [
        ("2", "ndcg"),
        ("2", "hit_at_1"),
        ("floor:random", "ndcg"),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_the_challenger_s_counts_do_not_depend_on_the_order_of_rows(first):
    # figures measured elsewhere have no counts; the challenger's come from a row measured here, wherever it stands
    imported = comparison_row("legacy:imported", 0.7, pages=None, viewers=None, difference=None, measured="elsewhere")
    rows = [imported, comparison_row("floor:random", 0.3)]
    results, _ = results_from_rows(rows if first == 0 else rows[::-1])
    challenger = next(one for one in results if one.role == "challenger")
    assert (challenger.pages, challenger.viewers) == (10, 4)


def test_a_floor_s_smoothing_stands_beside_its_role():
    popularity = result("floor:popularity", "floor", 0.6)
    (plain,), (noted,) = (
        boards([one], ()) for one in (popularity, dataclasses.replace(popularity, note="smoothing 20"))
    )
    assert plain.lines[0].label == "popularity (floor)"
    assert noted.lines[0].label == "popularity (floor, smoothing 20)"
    assert "popularity (floor, smoothing 20)" in terminal_table(noted)


def test_page_names_the_events_file_and_draws_the_validation_ndcg():
    curves = tuple({"epoch": epoch, "loss": 1 / epoch, "validation_ndcg": 1 - 1 / epoch} for epoch in (1, 2, 3))
    page = render(ReportContent(NOW, source="events.jsonl.gz", curves=curves))
    assert "Source: events file <code>events.jsonl.gz</code>" in page
    assert "NDCG by epoch" in page
    without = render(ReportContent(NOW, curves=({"epoch": 1, "loss": 1.0},)))
    assert "Source:" not in without and "NDCG by epoch" not in without


# --- plots ------------------------------------------------------------------------------------------------------------


def test_line_chart_places_points_in_per_cent_with_y_downward():
    # x from 1 to 3; y from 0 to 4 on the axis 0, 1, ..., 4
    chart = line_chart({"loss": [(1, 4.0), (2, 1.0), (3, float("nan")), (3, 0.0)], "none": []})
    (line,) = chart.lines
    assert line.path == "M0.0 0.0L50.0 75.0L100.0 100.0"
    assert [(tick.at, tick.label) for tick in chart.x_ticks] == [(0.0, "1"), (50.0, "2"), (100.0, "3")]
    assert [tick.label for tick in chart.y_ticks] == ["0", "1", "2", "3", "4"]


def test_line_chart_takes_one_point_equal_values_and_none_at_all():
    assert line_chart({"loss": [(1, 2.0)]}).lines[0].path == "M50.0 50.0"
    assert len(line_chart({"loss": [(1, 0.0), (2, 0.0)]}).y_ticks) > 1
    assert line_chart({"loss": []}) is None
    assert [tick.label for tick in line_chart({"share": [(0, 0.0), (1, 0.02)]}, 0.01, " %").y_ticks][-1] == "2.0 %"


def test_forest_puts_all_intervals_and_zero_on_one_scale():
    plot = forest(
        [gain("2", 0.0, -0.1, 0.1), gain("1", 0.3, 0.2, 0.4), gain("0", -0.05, -0.08, -0.01), gain(lower=None)]
    )
    assert [tick.label for tick in plot.ticks] == ["-.1", ".0", ".1", ".2", ".3", ".4"]
    assert plot.zero == pytest.approx(20.0)  # 0 on a scale from -.1 to .4
    assert [interval.side for interval in plot.intervals] == ["open", "better", "worse"]
    assert [round(value, 6) for value in (plot.intervals[1].lower, plot.intervals[1].at, plot.intervals[1].upper)] == [
        60,
        80,
        100,
    ]
    assert forest([gain(lower=None, upper=None)]) is None


def test_bars_are_in_falling_order():
    assert [(bar.label, bar.length) for bar in bars({"a": 1, "b": 4, "c": 0})] == [
        ("b", 100.0),
        ("a", 25.0),
        ("c", 0.0),
    ]
    assert bars({}) == []


def test_match_rate_is_of_the_clicks_of_all_days():
    assert match_rate(FULL.health) == pytest.approx(0.9)
    assert match_rate(()) is None


# --- the page ---------------------------------------------------------------------------------------------------------


class Reading(HTMLParser):
    """What a page is made of; fails on tags that do not close."""

    VOID = {"meta", "link", "br", "img", "hr", "input"}

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [value for _, found, value in self.attributes if found == name]


HOSTILE_CONTENT = ReportContent(
    made_at=NOW,
    version=HOSTILE,
    holdout=HOSTILE,
    results=(result(HOSTILE, "challenger", 0.6), result(f"baseline:{HOSTILE}", "baseline", 0.5, protocol=HOSTILE)),
    differences=(gain(HOSTILE), gain(HOSTILE, protocol=HOSTILE, metric=HOSTILE)),
    decision=Decision(NOW, HOSTILE, HOSTILE, True, (HOSTILE, f"Passed: {HOSTILE}")),
    curves=({"epoch": 1, "loss": 1.0, HOSTILE: 1.0}, {"epoch": 2, "loss": 1.0}),
    health=(Health(NOW.date(), "keyed", f"unmatched_{HOSTILE}", 3.0), Health(NOW.date(), HOSTILE, HOSTILE, 3.0)),
    quarantine=(Quarantined(HOSTILE, HOSTILE, 4),),
)


@pytest.mark.parametrize("content", [FULL, ReportContent(NOW), HOSTILE_CONTENT], ids=["full", "empty", "hostile"])
def test_page_is_whole_self_contained_and_accessible(content):
    html = render(content)
    page = Reading(html)
    assert page.open == []
    assert [value for tag, name, value in page.attributes if tag == "section" and name == "id"] == SECTIONS
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {"src", "href", "xlink:href", "action", "srcset"} & {name for _, name, _ in page.attributes}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "http" not in html.replace("http-equiv", "") and "@import" not in html and "url(" not in html
    assert page.tags.count("h1") == 1 and page.tags.count("h2") == len(SECTIONS)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert all(set(value.split()) <= set(ids) for value in page.values("aria-labelledby"))


@pytest.mark.parametrize("content", [FULL, HOSTILE_CONTENT], ids=["full", "hostile"])
def test_page_names_every_plot_and_has_its_table(content):
    page = Reading(render(content))
    plots = [at for at, tag in enumerate(page.tags) if tag == "svg"]
    named = sum(1 for tag, name, _ in page.attributes if tag == "svg" and name in ("aria-labelledby", "aria-label"))
    hidden = sum(1 for tag, name, _ in page.attributes if tag == "svg" and name == "aria-hidden")
    assert named + hidden == len(plots) > 0
    assert page.tags.count("details") >= 4
    assert page.tags.count("table") == page.tags.count("caption")


def test_page_shows_hostile_text_as_text():
    html = render(HOSTILE_CONTENT)
    assert "<script" not in html and 'alert("x")' not in html
    assert "".join(Reading(html).text).count(HOSTILE) > 10
    # the control: the same page without escaping would hold the tag
    assert "<script" in html.replace("&lt;", "<")


def test_page_tells_the_findings():
    text = " ".join("".join(Reading(render(FULL)).text).split())
    for said in (
        "Version 3 ranks better than popularity: NDCG +.0123, 95 % interval .0101 to .0144, on 7,002 page views",
        "It beats every floor: popularity, random.",
        "✓ Version 3 became champion.",
        "✓ Passed it is better.",
        "✗ Failed it is slow.",
        "Something else.",
        "simulated data",
        "Of the way to the best order40%",  # (.64 - .60) / (.70 - .60)
        "menu, ranking the rows offered on the page; split holdout; 7,002 page views; 3,120 viewers; simulated.",
        "legacy imported (measured elsewhere)",
        "other data, not comparable",
        "90.0%",
        "service_logs: not_json",
        "an expected calibration error of .0020 over 25,012 pairs of page view and offered row",  # 12 - 10 and 50 - 48
        "Bins of equal count; protocol menu, ranking the rows offered on the page; split holdout; 900 page views; "
        "simulated",
        "predicted by version 3",
    ):
        assert said in text


def test_page_without_simulation_does_not_mention_one():
    real = dataclasses.replace(FULL, simulated=False, results=FULL.results[:1])
    assert "simulated" not in "".join(Reading(render(real)).text)
    assert "simulated" in "".join(Reading(render(FULL)).text)


def test_page_without_anything_names_the_commands():
    text = "".join(Reading(render(ReportContent(NOW))).text)
    for command in ("promote", "compare", "train", "join", "evaluate"):
        assert f"pagerec {command}" in text


def told(**changes):
    """The text of the full page with some of it changed."""
    return " ".join("".join(Reading(render(dataclasses.replace(FULL, **changes))).text).split())


def test_page_tells_a_verdict_from_a_decision_and_an_earlier_decision_from_this_one():
    judged = Decision(NOW, "3", "2", True, ("Passed: better.",), acted_on=False)
    assert "✓ Version 3 may become champion in place of version 2; nobody has decided yet. Judged " in told(
        decision=judged
    )
    refused = dataclasses.replace(judged, promoted=False)
    assert "✗ Version 3 may not become champion in place of version 2; nobody" in told(decision=refused)
    earlier = Decision(NOW, "3", "2", False, ("Failed: worse.",), earlier=True)
    assert "UTC, by an earlier comparison on the same holdout, not by the figures below; each limit" in told(
        decision=earlier
    )
    assert "UTC, by the figures of this comparison only; each limit" in told()


def test_page_tells_the_metric_that_decides_everywhere():
    by_hits = tuple(dataclasses.replace(one, metric="hit_at_1", difference=0.0321) for one in FULL.differences)
    text = told(metric="hit_at_1", differences=(*FULL.differences, *by_hits))
    for said in ("hit@1 +.0321", "hit@1.3000version 3, protocol menu, split holdout, 7,002 page views", "gain in hit@1",
                 "Gain in hit@1, ranking the rows offered on the page"):  # fmt: skip
        assert said in text
    assert "gain in hit@1" not in told()


def test_page_says_who_won_where_the_legacy_was_measured():
    sentence = "Measured elsewhere, on other data, the legacy lost to popularity in ndcg (.7120 against .7405)."
    assert sentence in told(elsewhere=sentence) and "lost to" not in told()


def test_page_of_a_refused_version_says_so():
    refused = dataclasses.replace(FULL, decision=Decision(NOW, "3", "2", False, ("Failed: too slow.",)))
    assert "✗ Version 3 was not promoted." in " ".join("".join(Reading(render(refused)).text).split())


# --- monitored days ---------------------------------------------------------------------------------------------------


def test_the_newest_monitored_day_stands_limit_by_limit():
    part = drift_part(FULL.monitored)
    assert (part["drift_day"], part["drift_version"], part["drift_failed"]) == ("2024-01-05", "3", ["too far."])
    assert part["drift_rows"][0] == ["psi rows", ".5000", "–", ".0100", "0.45", "–", "25.00%", "1,234", "99", "NO"]
    assert part["drift_rows"][1] == ["ndcg", ".6000", ".5000 to .7000", "–", "–", "–", "–", "1,234", "99", "–"]
    assert [line.name for line in part["drift_chart"].lines] == ["version", "popularity"]
    page = render(FULL)
    assert "2024-01-05, version 3, SIMULATED: past a limit" in page and "too far." in page
    kept = dataclasses.replace(FULL, simulated=False, monitored=FULL.monitored[:3])
    assert "2024-01-04, version 3: within every limit" in render(kept)
    assert "pagerec monitor" in render(ReportContent(NOW))
