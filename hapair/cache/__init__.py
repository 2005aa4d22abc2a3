"""Responses kept in memory: what may be kept and given again, bounded in bytes and time, without I/O."""
