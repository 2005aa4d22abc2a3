"""Commands: the only place that prints for people."""
