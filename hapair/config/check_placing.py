"""Cross-checks of a pair: does a client stay with its server when the other node takes over?

What says where a client belongs must be the same on both nodes: the value of a server's cookie, the secret of
dynamic ones, the ids that stick tables store and that consistent hashing places by; and each node's [peers]
must name the other's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.locate import Path

if TYPE_CHECKING:
    from hapair.config.check_pair import Side
    from hapair.config.model import Backend, Server


def check(one: Side, other: Side) -> None:
    """Report in the second file what differs from the first."""
    _peers(one, other)
    for name, mine in one.config.backends.items():
        theirs = other.config.backends.get(name)
        if theirs is not None:
            _backend(one, mine, other, theirs)


def _peers(one: Side, other: Side) -> None:
    mine, theirs = one.config.peers, other.config.peers
    if mine is None and theirs is None:
        return
    if mine is None or theirs is None:
        without = one if mine is None else other
        having = other if mine is None else one
        having.report.warning(("peers",), f"{without.file} has none: nothing is shared", at_key=True)
        return
    if mine.peer != theirs.listen:
        other.report.error(("peers", "listen"), f"{one.file} seeks its peer at {mine.peer[0]}:{mine.peer[1]}")
    if theirs.peer != mine.listen:
        other.report.error(("peers", "peer"), f"{one.file} listens at {mine.listen[0]}:{mine.listen[1]}")
    theirs_tables = other.config.all_stick_tables()
    for name, table in one.config.all_stick_tables().items():
        found = theirs_tables.get(name)
        if found is not None and (found.type, found.length, found.store) != (
            table.type,
            table.length,
            table.store,
        ):
            path: Path = ("stick_table", name)
            if name not in other.config.stick_tables:
                section = "backend" if name in other.config.backends else "frontend"
                path = (section, name, "stick_table")
            other.report.error(
                path,
                f"it has other keys, or stores other things, in {one.file}: it is not shared",
                at_key=True,
            )


def _backend(one: Side, mine: Backend, other: Side, theirs: Backend) -> None:
    path: Path = ("backend", theirs.name)
    if mine.cookie is not None and theirs.cookie is not None and mine.cookie.name != theirs.cookie.name:
        other.report.error((*path, "cookie"), f"it is called {mine.cookie.name} in {one.file}")
    if mine.dynamic_cookie_key != theirs.dynamic_cookie_key:
        other.report.error((*path, "dynamic_cookie_key"), f"it is another one in {one.file}")
    by_address = {(server.host, server.port): server for server in mine.servers}
    by_number = bool(theirs.stick) or (
        theirs.hash_type.consistent and theirs.balance.algorithm not in ("roundrobin", "leastconn")
    )
    for server in theirs.servers:
        same = by_address.get((server.host, server.port))
        if same is not None:
            _server(one.file, same, other, server, (*path, "server", server.name), by_number=by_number)


def _server(file: str, mine: Server, other: Side, theirs: Server, path: Path, *, by_number: bool) -> None:
    if mine.cookie != theirs.cookie:
        value = "none" if mine.cookie is None else f'"{mine.cookie}"'
        other.report.error(
            (*path, "cookie"), f"in {file} the cookie of this address is {value}: its clients would be moved"
        )
    if by_number and mine.id != theirs.id:
        other.report.error(
            (*path, "id"), f"in {file} the id of this address is {mine.id}: its clients would be moved"
        )
