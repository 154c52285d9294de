"""Baselines: rankers that a model should be held against, one a file.

A file here that has a `BASELINE` (see `protocol.Baseline`) is one; `catalogue` finds it by itself.
"""
