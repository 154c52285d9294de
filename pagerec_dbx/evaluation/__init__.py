"""Models and floors judged on later page views."""
