"""What was found, for people: a table on the terminal and one HTML page. Values in, text out; no engine."""
