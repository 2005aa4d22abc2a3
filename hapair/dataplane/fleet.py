"""The data plane when other processes do its work: `node.workers` of them, forked before the loop starts.

To everybody else in the control process it is a DataPlane: its frontends and servers
hold what an operator or a check has said, and the sums of what the workers count, but
no session.  Every change goes to all workers, in one order.  A worker that dies or
answers nothing for some seconds ends the node, as any bug does: a crash is a failover.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import trio

from hapair.dataplane import shared
from hapair.dataplane.channel import MOST_DESCRIPTORS
from hapair.dataplane.crew import Crew
from hapair.dataplane.door import Door, bind_for_all
from hapair.dataplane.messages import (
    CloseGate,
    Commit,
    Discard,
    Execute,
    OpenGate,
    PartWithClients,
    Prepare,
    Servers,
    Sockets,
    StopAccepting,
    Table,
)
from hapair.dataplane.outgoing import change_transparency
from hapair.dataplane.service import DataPlane, ServerState, WorkerStatus
from hapair.errors import StartError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from hapair.config import model
    from hapair.config.model import IPAddress
    from hapair.dataplane.access_log import LogSink
    from hapair.dataplane.crew import Seat
    from hapair.dataplane.resolve import Addresses
    from hapair.dataplane.service import Prepared
    from hapair.proxy.frontend import Responder
    from hapair.proxy.server import Server

logger = logging.getLogger("hapair.dataplane")

PREPARE_TIMEOUT = 10.0
"""Seconds that a worker may take for a new configuration."""
SETTLE_TIMEOUT = 1.0
"""Seconds that an operator waits for workers to do what he said."""
CLOSE_TIMEOUT = 0.02
"""Seconds that a VIP waits for its sessions to be reset; what is late is reset by the next owner,
to whom it is unknown."""
_LOOK_EVERY = 0.02
"""Seconds between two looks at whether sessions are left, when the node stops."""


class Fleet(DataPlane):
    """A DataPlane that delegates."""

    def __init__(
        self, maxconn: int, sink: LogSink, responder: Callable[[model.Frontend], Responder], workers: int
    ) -> None:
        super().__init__(maxconn, sink, responder)
        self.crew = Crew(workers)
        self.doors: dict[str, Door] = {}
        self._proposed: dict[str, int] = {}
        self.crew.on_suspicion = self._worker_suspects

    def start_workers(self, serve: Callable[[Seat], None]) -> None:
        """Fork them; each calls `serve` and ends when that returns.  No thread may run yet."""
        self.crew.fork(serve, self.doors)

    # -- configuration -------------------------------------------------------------------

    def prepare(self, config: model.NodeConfig, addresses: Addresses | None = None) -> Prepared:
        self._proposed = shared.assign(config, self.entries)
        return super().prepare(config, addresses)

    def _is_bound(self, text: str) -> bool:
        return text in self.doors

    def _bind(self, bind: model.Bind, bound: contextlib.ExitStack) -> tuple[socket.socket, ...]:
        return bind_for_all(bind, len(self.crew.workers), bound)

    async def agree(self, prepared: Prepared) -> None:
        crew, texts = self.crew, list(prepared.sockets)
        for at in range(0, len(texts), MOST_DESCRIPTORS):
            part = texts[at : at + MOST_DESCRIPTORS]
            for worker in crew.workers:
                sockets = [prepared.sockets[text][worker.index].fileno() for text in part]
                crew.tell_one(worker, Sockets(tuple(part)), sockets)
        ticket = crew.tell(Prepare(prepared.config, prepared.addresses, self._proposed))
        with trio.move_on_after(PREPARE_TIMEOUT), crew.patience():
            await crew.done(ticket)
        problems = crew.problems(ticket)
        if problems:
            crew.tell(Discard())
            prepared.close()
            raise StartError(problems[0])

    def commit(self, prepared: Prepared, gated: Iterable[IPAddress]) -> None:
        self.entries = self._proposed
        gated = frozenset(gated)
        super().commit(prepared, gated)
        self.crew.tell(Commit(gated))
        self._tell_states(server for backend in self.backends.values() for server in backend.servers)

    def _adopt_listeners(self, prepared: Prepared) -> None:
        wanted = {bind.text: (bind, f) for f in self.frontends.values() for bind in f.config.bind}
        for text in self.doors.keys() - wanted.keys():
            self.doors.pop(text).close()
        for text, (bind, frontend) in wanted.items():
            door = self.doors.get(text)
            if door is None:
                self.doors[text] = Door(bind, prepared.sockets[text], frontend.config.backlog)
            else:
                if door.bind.transparent != bind.transparent:
                    for sock in door.sockets:
                        change_transparency(sock, on=bind.transparent)
                door.bind, door.backlog = bind, frontend.config.backlog
        self._apply_gates()

    # -- the gate ------------------------------------------------------------------------------

    def open_gate(self, addresses: Iterable[IPAddress]) -> None:
        """Every socket listens when this returns; who comes waits there for the workers to hear of it."""
        addresses = frozenset(addresses)
        super().open_gate(addresses)
        self.crew.tell(OpenGate(addresses))

    def close_gate(self, addresses: Iterable[IPAddress]) -> None:
        """No socket listens and no session is left, in any worker that still answers."""
        gone = frozenset(addresses)
        super().close_gate(gone)
        ticket = self.crew.tell(CloseGate(gone))
        for worker in self.crew.done_within(ticket, CLOSE_TIMEOUT):
            logger.error("worker %s has not reset its sessions in %.0f ms", worker.name, CLOSE_TIMEOUT * 1000)

    def _apply_gates(self) -> None:
        for door in self.doors.values():
            if self._may_listen(door.bind):
                door.open()
            else:
                door.shut()

    # -- servers, operators -----------------------------------------------------------------------

    def set_server_up(self, backend_name: str, server_name: str, up: bool, why: str = "") -> bool:
        server = self._find(backend_name, server_name)
        if server is not None and server.up != up:
            shared.collect_one(self.crew.table, server)  # for what is logged
        changed = super().set_server_up(backend_name, server_name, up, why)
        if changed:
            self._tell_state(backend_name, server_name)
        return changed

    def agent_said(
        self,
        backend_name: str,
        server_name: str,
        percent: int | None,
        weight: int | None,
        maxconn: int | None,
        administrative: str,
    ) -> None:
        super().agent_said(backend_name, server_name, percent, weight, maxconn, administrative)
        self._tell_state(backend_name, server_name)

    def restore_server(
        self, backend_name: str, server_name: str, administrative: str, weight: int | None
    ) -> None:
        super().restore_server(backend_name, server_name, administrative, weight)
        self._tell_state(backend_name, server_name)

    def set_weight(self, backend_name: str, server_name: str, weight: int) -> bool:
        changed = super().set_weight(backend_name, server_name, weight)
        if changed:
            self._tell_state(backend_name, server_name)
        return changed

    def set_sorry(self, backend_name: str, alone: bool) -> None:
        backend = self.backends.get(backend_name)
        before = backend.sorry.suspended if backend is not None and backend.sorry is not None else None
        super().set_sorry(backend_name, alone)
        if backend is not None and backend.sorry is not None and backend.sorry.suspended is not before:
            self._tell_states([backend.sorry])

    def _tell_state(self, backend_name: str, server_name: str) -> None:
        server = self._find(backend_name, server_name)
        if server is not None:
            self._tell_states([server])

    def _tell_states(self, servers: Iterable[Server]) -> None:
        self.crew.tell(
            Servers(
                tuple(
                    ServerState(
                        *(s.backend.name, s.name, s.up, s.administrative, s.weight, s.maxconn),
                        s.backend.sorry is not None and not s.backend.sorry.suspended,
                    )
                    for s in servers
                )
            )
        )

    def _worker_suspects(self, backend: str, server: str, what: str) -> None:
        if self.on_suspicion is not None:
            self.on_suspicion(backend, server, what)

    async def settled(self) -> None:
        with trio.move_on_after(SETTLE_TIMEOUT):
            await self.crew.done(self.crew.latest)

    def told(self, line: str) -> None:
        self.crew.tell(Execute(line))

    def show(self, rows: list[dict[str, str | int]]) -> None:
        """Give the workers what their statistics pages show."""
        self.crew.tell(Table(rows))

    @staticmethod
    def _close_idle(server: Server) -> None:
        """The workers do, when they hear why."""

    def refresh(self) -> None:
        shared.collect(self.crew.table, self.process, self.frontends.values(), self.backends.values())
        for name, frontend in self.frontends.items():
            frontend.refusals = self.crew.refusals(name)
        self.crew.tell_faults(self.process.faults)
        self.process.faults.responses = self.crew.distrusted()

    def workers(self) -> list[WorkerStatus]:
        entry = self.process.entry
        return [
            WorkerStatus(worker.pid, self.crew.table.running(entry, worker.index))
            for worker in self.crew.workers
        ]

    # -- life ---------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the workers at work until cancelled.

        Raises:
            StartError: one could not begin.
            WorkerLost: one has died or is stuck.
        """
        try:
            await self.crew.run(task_status=task_status)
        finally:
            self._stopping = True  # for routers that close their gates after this
            for door in self.doors.values():
                door.shut()
            with trio.CancelScope(shield=True):  # it has deadlines of its own
                await self.crew.end()
            for door in self.doors.values():
                door.close()
            self.reactor.shut()

    def part_with_clients(self) -> None:
        super().part_with_clients()
        self.crew.tell(PartWithClients())

    def stop_accepting(self) -> None:
        self._stopping = True
        self._apply_gates()
        self.crew.tell(StopAccepting())

    async def drained(self) -> None:
        self.refresh()
        while self.process.current:
            await trio.sleep(_LOOK_EVERY)
            self.refresh()
