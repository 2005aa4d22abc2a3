"""The stick tables of a configuration by the names that rules call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from hapair.config.stick import kinds
from hapair.tables.keys import key_maker
from hapair.tables.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import StickTable
    from hapair.tables.table import Key


class Named:
    """A table and what its keys are made of."""

    __slots__ = ("config", "key", "kind", "table")

    def __init__(self, name: str, config: StickTable) -> None:
        self.config = config
        self.table = Table(
            name, config.size, round(config.expire * 1000), kinds(config), purges=not config.nopurge
        )
        self.kind = _SAMPLES[config.type]
        """The kind of sample that a key is made of, as `rules.values` names it."""
        self.key: Callable[[Any], Key | None] = key_maker(config.type, config.length)


_SAMPLES: Final[dict[str, Literal["ip", "int", "str", "bin"]]] = {
    "ip": "ip",
    "ipv6": "ip",
    "integer": "int",
    "string": "str",
    "binary": "bin",
}


@attrs.frozen
class Directory:
    """Where rules look a table up."""

    tables: Mapping[str, Named]
    own: str = ""
    """The frontend or backend whose table is meant when none is named."""
    userlists: Mapping[str, Any] = attrs.field(factory=dict)
    """`rules.userlists` by name: what rules of the same node look up beside tables."""
    caches: Mapping[str, Any] = attrs.field(factory=dict)
    """`cache.store` by name; the same."""

    def of(self, own: str) -> Directory:
        """The same for the rules of another place."""
        return attrs.evolve(self, own=own)


NO_TABLES: Final = Directory({})


def make_tables(wanted: Mapping[str, StickTable], before: Mapping[str, Named]) -> dict[str, Named]:
    """Tables for a configuration; one that did not change keeps what it knows."""
    made = {}
    for name, config in wanted.items():
        old = before.get(name)
        made[name] = old if old is not None and old.config == config else Named(name, config)
    return made
