"""A world whose best order is known, and its logs."""
