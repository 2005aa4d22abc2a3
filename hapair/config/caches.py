"""[cache.NAME]: responses kept in memory."""

from __future__ import annotations

from hapair.config import fields
from hapair.config.fields import FieldError
from hapair.config.model import Cache
from hapair.config.shape import table

_MOST = 4095
"""Megabytes, as in HAProxy."""

_table = table(
    Cache,
    total_max_size=fields.integer(1, _MOST, "megabytes"),
    max_object_size=fields.natural,
    max_age=fields.delay,
    process_vary=fields.boolean,
    max_secondary_entries=fields.positive,
)


def cache(value: object) -> Cache:
    """A cache that has room for two of its largest responses."""
    made = _table(value)
    half = made.total_max_size << 19
    if made.max_object_size > half:
        raise FieldError(
            f"max_object_size {made.max_object_size} is more than half of total_max_size ({half} bytes)"
        )
    return made
