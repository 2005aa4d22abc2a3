"""What fetches and converters read of a row of a stick table, by HAProxy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hapair.rules.arguments import did_you_mean
from hapair.rules.lexer import RuleError
from hapair.tables.directory import Directory, Named

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.tables.table import Table

Look = Callable[["Table", int, int], int]
"""From a table, a row and the time in milliseconds."""


def _stored(name: str) -> Look:
    return lambda table, row, now: table.value(row, name, now)


def _kilobytes(name: str) -> Look:
    return lambda table, row, now: table.value(row, name, now) >> 10


def _add(name: str) -> Look:
    def look(table: Table, row: int, now: int) -> int:
        table.add(row, name, 1, now)
        table.add(row, name + "_rate", 1, now)
        return table.value(row, name, now)

    return look


def _clear(name: str) -> Look:
    def look(table: Table, row: int, now: int) -> int:
        before = table.value(row, name, now)
        table.set_value(row, name, 0)
        return before

    return look


PLAIN: Final[dict[str, tuple[str, Look, str]]] = {
    name: (name, _stored(name), meaning)
    for name, meaning in {
        "conn_cnt": "connections so far",
        "conn_cur": "connections now",
        "conn_rate": "connections over the period",
        "sess_cnt": "sessions so far",
        "sess_rate": "sessions over the period",
        "http_req_cnt": "requests so far",
        "http_req_rate": "requests over the period",
        "http_err_cnt": "requests answered with 4xx so far",
        "http_err_rate": "requests answered with 4xx over the period",
        "http_fail_cnt": "requests answered with 5xx so far",
        "http_fail_rate": "requests answered with 5xx over the period",
        "bytes_in_rate": "bytes from the client over the period",
        "bytes_out_rate": "bytes to the client over the period",
        "gpc0_rate": "how often gpc0 was raised over the period",
        "gpc1_rate": "how often gpc1 was raised over the period",
    }.items()
}
"""Word -> what must be stored, how it is read, what it means."""
PLAIN["kbytes_in"] = ("bytes_in_cnt", _kilobytes("bytes_in_cnt"), "kilobytes from the client so far")
PLAIN["kbytes_out"] = ("bytes_out_cnt", _kilobytes("bytes_out_cnt"), "kilobytes to the client so far")
GENERAL: Final[dict[str, tuple[str, Look, str]]] = {
    name: (name, _stored(name), f"the value of {name}") for name in ("gpc0", "gpc1", "gpt0")
}
ACTING: Final[dict[str, tuple[str, Look, str]]] = {
    **{f"inc_{name}": (name, _add(name), f"{name}, raised by one") for name in ("gpc0", "gpc1")},
    **{f"clr_{name}": (name, _clear(name), f"{name}, which is 0 afterwards") for name in ("gpc0", "gpc1")},
}


def table_of(call: Call, at: int, stored: str = "") -> Named | None:
    """The table that the argument at `at` names, or that of the place itself; None while names do not count.

    Raises:
        RuleError: there is none, or it does not store what is asked for.
    """
    if call.tables is None:
        return None
    return find_table(call.tables, call.given(at), call.where(at), call.name, stored)


def find_table(tables: Directory, name: str | None, offset: int, who: str, stored: str = "") -> Named:
    """The same by name.

    Raises:
        RuleError: there is none, or it does not store what is asked for.
    """
    found = tables.tables.get(name or tables.own)
    if found is None:
        if name is None:
            raise RuleError(offset, f"{who}: {tables.own} has no stick_table of its own; name one")
        hint = did_you_mean(name, tables.tables)
        raise RuleError(offset, f"{who}: there is no stick table {name!r}{hint}")
    if stored and stored not in found.table.starts:
        raise RuleError(offset, f"{who}: stick table {found.table.name} does not store {stored}")
    return found
