"""What the joins and the quarantine say about the logs, in the columns of JOIN_HEALTH."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.crosscheck import CAUSES
from pagerec_dbx.pipelines.joins import REASONS

LAST_POSITION = 39  # places from this one on are counted together
_KEY = ("day", "join_method")
_QUANTILES = {"time_to_click_p50": 0.5, "time_to_click_p90": 0.9, "time_to_click_p99": 0.99}


def join_measures(labelled: DataFrame, matches: DataFrame, menu_length: int) -> DataFrame:
    """Page views and clicks, how many clicks were matched, why the others were not, and how long they took.

    One record per day, join_method, measure. A matched click counts on its page view's day. Both tables are counted in
    one go: the page views with a click are those that the matched clicks would have to be counted distinctly for, and
    a distinct count beside other measures takes the engine several times as long.

    Args:
        labelled: the records of LABELLED_PAGE_VIEWS.
        matches: those of CLICK_MATCHES, of the same days.
        menu_length: rows of a menu that training keeps.
    """
    pages = labelled.select(*_KEY, F.col("clicked_row_id").isNotNull().alias("with_click"))
    seconds = (F.unix_micros("clicked_at") - F.unix_micros("served_at")) / 1e6
    clicks = matches.select(*_KEY, "click_id", "page_view_id", "reason", "position", seconds.alias("seconds"))
    all_clicks, matched, with_click = F.count("click_id"), F.count("page_view_id"), F.count_if("with_click")
    quantiles = F.percentile("seconds", list(_QUANTILES.values()))
    measures = {
        "page_views": F.count("with_click"),
        "page_views_with_click": with_click,
        "clicks": all_clicks,
        "clicks_matched": matched,
        "match_rate": F.try_divide(matched, all_clicks),
        **{f"unmatched_{reason}": F.count_if(F.col("reason") == reason) for reason in REASONS},
        "clicks_per_page": F.try_divide(matched, with_click),
        **{name: quantiles[index] for index, name in enumerate(_QUANTILES)},
        "clicks_past_menu_kept": F.count_if(F.col("position") >= menu_length),
    }
    return _measured(pages.unionByName(clicks, allowMissingColumns=True), measures)


def reduction_measures(page_views: DataFrame, clicks: DataFrame) -> DataFrame:
    """duplicate_page_views, late_history_titles and duplicate_clicks: what silver left out.

    One record per day, join_method, measure. A click is of the join that it is tried in, whether it is matched or not.
    """
    by_source = F.when(F.col("source") == "service_logs", "keyed").otherwise("windowed")
    by_request = F.when(F.col("request_id").isNotNull(), "keyed").otherwise("windowed")
    left_out = F.col("records") - 1
    of_views = page_views.select(
        "day", by_source.alias("join_method"), left_out.alias("duplicate_page_views"),
        F.col("late_titles").alias("late_history_titles"),
    )  # fmt: skip
    of_clicks = clicks.select("day", by_request.alias("join_method"), left_out.alias("duplicate_clicks"))
    names = ("duplicate_page_views", "late_history_titles", "duplicate_clicks")
    both = of_views.unionByName(of_clicks, allowMissingColumns=True)
    return _measured(both, {name: F.sum(name) for name in names})


def position_measures(labelled: DataFrame) -> DataFrame:
    """click_share_position_<p>: the share of the page views' clicks that fell on each place, those past LAST together.

    One record per day, join_method, measure.
    """
    rows = labelled.select("day", "join_method", F.posexplode("clicked").alias("position", "label"))
    place = F.least("position", F.lit(LAST_POSITION)).alias("place")
    clicks = _both(rows.where(F.col("label") == 1).select("day", "join_method", place)).groupBy(*_KEY, "place").count()
    share = F.col("count") / F.sum("count").over(Window.partitionBy(*_KEY))
    name = F.concat(F.lit("click_share_position_"), F.lpad(F.col("place").cast("string"), 2, "0"))
    return clicks.select(*_KEY, name.alias("measure"), share.alias("value"))


def quarantine_measures(quarantine: DataFrame) -> DataFrame:
    """quarantined and quarantined_<reason>, on the day of ingestion.

    One record per day, measure; join_method is `all`.
    """
    names = F.explode(F.array(F.lit("quarantined"), F.concat(F.lit("quarantined_"), F.col("reason"))))
    named = quarantine.select(F.to_date("ingested_at").alias("day"), names.alias("measure"))
    counted = named.groupBy("day", "measure").count()
    return counted.select(
        "day", F.lit("all").alias("join_method"), "measure", F.col("count").cast("double").alias("value")
    )


def agreement_measures(agreement: DataFrame) -> DataFrame:
    """agreement (the share of page views labelled alike by both joins), and those labelled otherwise by cause.

    One record per day, measure; join_method is `all`.
    """
    measures = {
        "agreement_page_views": F.count("*"),
        "agreement": F.mean(F.col("agrees").cast("double")),
        **{f"disagreement_{cause}": F.count_if(F.col("cause") == cause) for cause in CAUSES},
    }
    return _unpivoted(agreement.groupBy("day", F.lit("all").alias("join_method")), measures)


def _measured(frame: DataFrame, measures: Mapping[str, Column]) -> DataFrame:
    return _unpivoted(_both(frame).groupBy(*_KEY), measures)


def _both(frame: DataFrame) -> DataFrame:
    """Every record twice: under its join and under `all`."""
    return frame.withColumn("join_method", F.explode(F.array(F.col("join_method"), F.lit("all"))))


def _unpivoted(groups, measures: Mapping[str, Column]) -> DataFrame:
    wide = groups.agg(*(column.cast("double").alias(name) for name, column in measures.items()))
    # What cannot be said of a day, as the match rate where there are no clicks, has no record.
    return wide.unpivot(list(_KEY), list(measures), "measure", "value").where(F.col("value").isNotNull())
