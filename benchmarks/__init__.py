"""Measurements, each as a table of figures and ratios; nothing here is shipped or timed by the tests."""

import pagerec_dbx  # noqa: F401  says what TensorFlow is to print before a measurement imports it
