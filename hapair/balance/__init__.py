"""Balancing algorithms, one per file, without I/O."""
