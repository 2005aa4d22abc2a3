"""Health checks: one schedule of probes, one truth about servers."""
