"""`hapair doctor`: what stands between this host, this segment and a pair that works."""
