"""Runtime socket, statistics, metrics."""
