"""The rankers; each model file reads from top to bottom."""
