"""Measurements, each as a table of figures and ratios; nothing here is shipped or timed by the tests."""
