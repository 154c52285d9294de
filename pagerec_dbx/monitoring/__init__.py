"""A new day held against the training days of a version: distributions, scores, limits."""
