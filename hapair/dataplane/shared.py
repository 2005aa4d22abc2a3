"""The table that all workers share: who has which entry, what is in it, and the sum over the workers.

Anonymous shared memory from before the fork; a row for each worker.  Cell 0 of an entry
(what runs now) is written as it changes (`proxy.tally`), the others several times a
second.  The control process only reads: a worker that hangs leaves old numbers, and
keeps nobody waiting.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from hapair.errors import StartError
from hapair.proxy.tally import CELL, WIDTH, Tally

if TYPE_CHECKING:
    from hapair.config.model import NodeConfig
    from hapair.proxy.backend import Backend
    from hapair.proxy.frontend import Frontend, Process
    from hapair.proxy.server import Server

ENTRIES: Final = 16384
"""Frontends, backends and servers; 4 MiB for each worker, of which only what is used takes memory."""

PROCESS: Final = ("current", "highest", "total")
HTTP: Final = ("comp_in", "comp_out", "comp_rsp", "cache_lookups", "cache_hits")
FRONTEND: Final = (*PROCESS, "requests", "request_errors", "bytes_in", "bytes_out", *HTTP)
BACKEND: Final = (*PROCESS, "queued", *HTTP)
SERVER: Final = (
    *PROCESS,
    *("bytes_in", "bytes_out", "connect_errors", "response_errors", "retries", "redispatches"),
)
"""What is counted, by cell; then a frontend's responses by class, a server's queue and idle connections."""

Entries = Mapping[str, int]
"""Who has which entry, by `key_of`."""


def key_of(kind: str, *names: str) -> str:
    """What names an entry: `server web/web1`."""
    return f"{kind} {'/'.join(names)}"


def keys_of(config: NodeConfig) -> list[str]:
    """Everything in `config` that has an entry."""
    found = [key_of("process")]
    found += [key_of("frontend", name) for name in config.frontends]
    for backend in config.backends.values():
        found.append(key_of("backend", backend.name))
        found += [key_of("server", backend.name, server.name) for server in backend.servers]
    return found


def assign(config: NodeConfig, before: Entries) -> dict[str, int]:
    """Give everybody an entry: the old one to whoever had one.

    Raises:
        StartError: the table is full.
    """
    keys = keys_of(config)
    kept = {key: before[key] for key in keys if key in before}
    # An entry that was given up in this very reload may still be written to: others first.
    taken = set(before.values())
    free = iter([entry for entry in range(ENTRIES) if entry not in taken])
    for key in keys:
        if key not in kept:
            entry = next(free, None)
            if entry is None:
                raise StartError(f"workers can share {ENTRIES} frontends, backends and servers at most")
            kept[key] = entry
    return kept


class Table:
    """The memory."""

    def __init__(self, workers: int) -> None:
        size = ENTRIES * WIDTH * CELL
        self._memory = mmap.mmap(-1, size * workers)
        whole = memoryview(self._memory)
        self.rows = [whole[at : at + size].cast("q") for at in range(0, size * workers, size)]

    def tally(self, worker: int) -> Tally:
        """The place of a worker."""
        return Tally(self.rows, worker)

    def running(self, entry: int, worker: int) -> int:
        """What a worker says runs now."""
        return self.rows[worker][entry * WIDTH]

    def sums(self, entry: int, cells: int) -> list[int]:
        """Over all workers."""
        place = entry * WIDTH
        parts = [row[place : place + cells].tolist() for row in self.rows]
        return [sum(values) for values in zip(*parts, strict=True)]


def publish(
    row: memoryview, process: Process, frontends: Iterable[Frontend], backends: Iterable[Backend]
) -> None:
    """Write what this worker has counted."""
    _write(row, process.entry, [getattr(process, name) for name in PROCESS])
    for frontend in frontends:
        _write(row, frontend.entry, [*(getattr(frontend, name) for name in FRONTEND), *frontend.responses])
    for backend in backends:
        _write(row, backend.entry, [getattr(backend, name) for name in BACKEND])
        for server in backend.servers:
            counts = [getattr(server, name) for name in SERVER]
            _write(row, server.entry, [*counts, len(server.queue), len(server.idle)])


def _write(row: memoryview, entry: int, values: list[int]) -> None:
    if entry >= 0:
        place = entry * WIDTH
        for offset, value in enumerate(values):
            row[place + offset] = value


def collect(
    table: Table, process: Process, frontends: Iterable[Frontend], backends: Iterable[Backend]
) -> None:
    """Give these, which serve nobody themselves, the sums over all workers.

    `highest` is a sum as well: never less than what was reached together.
    """
    _read(process, PROCESS, table.sums(process.entry, len(PROCESS)))
    for frontend in frontends:
        values = table.sums(frontend.entry, len(FRONTEND) + len(frontend.responses))
        _read(frontend, FRONTEND, values)
        frontend.responses = values[len(FRONTEND) :]
    for backend in backends:
        _read(backend, BACKEND, table.sums(backend.entry, len(BACKEND)))
        for server in backend.servers:
            _collect_server(table, server)


def collect_one(table: Table, server: Server) -> None:
    """The same for one server and its backend."""
    _read(server.backend, BACKEND, table.sums(server.backend.entry, len(BACKEND)))
    _collect_server(table, server)


def _collect_server(table: Table, server: Server) -> None:
    values = table.sums(server.entry, len(SERVER) + 2)
    _read(server, SERVER, values)
    server.queued_elsewhere, server.idle_elsewhere = values[len(SERVER) :]


def _read(thing: object, names: tuple[str, ...], values: list[int]) -> None:
    for name, value in zip(names, values, strict=False):
        setattr(thing, name, value)
