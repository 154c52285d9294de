"""Labelled page views to fixed-length integer records, and their streams."""
