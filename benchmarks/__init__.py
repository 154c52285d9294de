"""Measurements, each as a table of figures and ratios; `make bench-data` and its like run them."""
