"""Ranking pages with an exported model: one page at a time, or all page views in Spark."""
