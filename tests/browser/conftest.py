"""The site of `tests/clients`, looked at with a browser."""

from clients.conftest import site

__all__ = ["site"]
