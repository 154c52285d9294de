"""Other event formats into raw logs of the default format."""
