"""Popularity in the page view's hour, smoothed towards the row's overall rate."""

from pagerec_dbx.baselines.context_rates import ContextPopularity

BASELINE = ContextPopularity("hour")
