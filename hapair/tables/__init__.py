"""Stick tables: what is remembered of clients, bounded in memory and time, without I/O."""
