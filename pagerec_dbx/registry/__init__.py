"""Runs, versions and aliases: the only door to MLflow."""
