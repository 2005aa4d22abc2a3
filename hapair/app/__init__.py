"""Puts everything together; only cli imports it."""
