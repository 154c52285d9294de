"""Measurements; nothing here is shipped or timed by the tests."""
