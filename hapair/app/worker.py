"""A worker process: a data plane under a loop of its own, told by the control process what holds.

It begins as a copy of the control process and keeps nothing of it but the configuration,
its sockets and two lines: the channel to the control process, and the leash, where the
guard speaks for a control process that is dead or frozen.  With the control process gone
it serves on until the guard says that the VIP is the peer's; without a guard either it
resets what is left and ends.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from hapair.api.commands import Commands
from hapair.api.page import stats_responder
from hapair.app.limits import (
    calm_garbage_collection,
    collect_garbage_of_reload,
    reserve_descriptors,
    widen_table,
)
from hapair.app.logging_bridge import logging_to
from hapair.app.privileges import become, confine, surrender
from hapair.dataplane.channel import Channel
from hapair.dataplane.crew import READY
from hapair.dataplane.messages import (
    CloseGate,
    Commit,
    Discard,
    End,
    Execute,
    Message,
    OpenGate,
    PartWithClients,
    Ping,
    Prepare,
    Report,
    Servers,
    Sockets,
    StopAccepting,
    Table,
    unpacked,
)
from hapair.dataplane.service import DataPlane, Prepared
from hapair.dataplane.shared import publish
from hapair.errors import HapairError, StartError
from hapair.kernel.guard_child import GATES_CLOSED

if TYPE_CHECKING:
    from hapair.api.stats import Row
    from hapair.config.model import Bind, Frontend, IPAddress, NodeConfig
    from hapair.dataplane.access_log import LogSink
    from hapair.dataplane.crew import Seat
    from hapair.dataplane.resolve import Addresses
    from hapair.dataplane.shared import Entries
    from hapair.proxy.frontend import Responder

PUBLISH_EVERY = 0.05
"""Seconds that what was counted may be older than what the others read."""
ORPHANED = 2.0
"""Seconds without a control process; the guard ends it sooner, and no VIP lives longer (vrrp/guard.py)."""
_LARGEST = 1 << 16


@attrs.frozen
class Beginning:
    """What a worker starts with, as the control process has it at the fork."""

    config: NodeConfig
    addresses: Addresses
    gated: frozenset[IPAddress]
    entries: Entries


def serve(beginning: Beginning, seat: Seat) -> None:
    """Be a worker until told to end."""
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        signal.signal(number, signal.SIG_IGN)  # a stop is for the control process, which then tells us
    _leave_the_group(seat.index)
    random.seed()  # the copy's would be everybody's
    node = beginning.config.node
    logging.getLogger("hapair").handlers.clear()
    channel = Channel(seat.channel)
    with logging_to(node.log, node.user, node.log_tag, node.log_send_hostname) as sink:
        try:
            worker = Worker(beginning, seat, channel, sink)
            widen_table(reserve_descriptors(node.maxconn))
            become(node.user, node.group, may_chroot=node.chroot is not None)
            confine(node.chroot)
            surrender(but_transparency=beginning.config.connects_for_others())
        except HapairError as error:
            channel.send(Report(READY, str(error)).encoded())
            return
        trio.run(worker.run)


def _leave_the_group(index: int) -> None:
    """A signal to the control process's group must not take the workers as well."""
    os.setsid()
    Path("/proc/self/comm").write_text(f"hapair-{index + 1}")


class Worker:
    """What it does with each message."""

    def __init__(self, beginning: Beginning, seat: Seat, channel: Channel, sink: LogSink) -> None:
        self._channel = channel
        self._leash = seat.leash
        self._row = seat.tally.own
        self._sockets: dict[str, socket.socket] = dict(seat.sockets)
        self._rows: list[Row] = []
        self._orphaned = trio.Event()
        self._ended = trio.Event()
        self._unpublished = trio.Event()
        self._prepared: tuple[Prepared, Entries] | None = None
        self._name = beginning.config.node.name
        self.plane = DataPlane(beginning.config.node.maxconn, sink, self._statistics, self._take_socket)
        self.plane.tally = seat.tally
        if seat.tally.others:
            self.plane.look_elsewhere()
        self.plane.reactor.after_turn(self._something_counted)
        self.plane.on_suspicion = self._suspect
        self._commands = Commands(self.plane, dict, tuple, lambda: None, time.monotonic, lambda: 0)
        prepared = self.plane.prepare(beginning.config, beginning.addresses)
        self._commit(prepared, beginning.entries, beginning.gated)

    async def run(self) -> None:
        """Serve until told to end, or until nobody is left who could."""
        calm_garbage_collection()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.plane.run)
            nursery.start_soon(self._channel.pump)
            nursery.start_soon(self._publish)
            nursery.start_soon(self._heed_guard)
            self._report(READY)
            nursery.start_soon(self._obey)
            await self._ended.wait()
            self.plane.cut()
            nursery.cancel_scope.cancel()

    def _take_socket(self, bind: Bind) -> socket.socket:
        sock = self._sockets.pop(bind.text, None)
        if sock is None:
            raise StartError(f"no socket has come for {bind.text}")
        return sock

    def _statistics(self, frontend: Frontend) -> Responder:
        assert frontend.stats is not None
        return stats_responder(frontend.stats, f"hapair on {self._name}", lambda: self._rows)

    # -- the control process ---------------------------------------------------------------------

    async def _obey(self) -> None:
        channel = self._channel
        while not channel.ended:
            await channel.readable()
            last = 0
            for frame in channel.receive():
                ticket, message = unpacked(frame.payload)
                try:
                    self._do(message, frame.descriptors)
                except StartError as error:
                    self._report(ticket, str(error))
                last = ticket
            if last:
                self._report(last)
        self._orphaned.set()
        await trio.sleep(ORPHANED)
        self._ended.set()

    def _report(self, ticket: int, problem: str = "") -> None:
        refusals = {name: f.refusals for name, f in self.plane.frontends.items() if f.refusals}
        faults = self.plane.process.faults
        report = Report(ticket, problem, refusals, faults.total, tuple(faults.news()), faults.responses)
        self._channel.send(report.encoded())

    def _suspect(self, backend: str, server: str, what: str) -> None:
        self._channel.send(Report(0, suspects=((backend, server, what),)).encoded())

    def _do(self, message: Message, descriptors: tuple[int, ...]) -> None:
        plane = self.plane
        match message:
            case Sockets(binds):
                for text, number in zip(binds, descriptors, strict=True):
                    self._sockets[text] = _adopted(number)
            case Prepare(config, addresses, entries):
                self._prepared = plane.prepare(config, addresses), entries
            case Commit(gated):
                if self._prepared is not None:
                    prepared, entries = self._prepared
                    self._commit(prepared, entries, gated)
                    collect_garbage_of_reload(plane.process.current)
            case Discard():
                self._discard()
            case OpenGate(addresses):
                plane.open_gate(addresses)
            case CloseGate(addresses):
                plane.close_gate(addresses)
            case Servers(states):
                for state in states:
                    plane.follow(state)
            case Execute(line):
                self._commands.execute(line)
            case Table(rows):
                self._rows = rows
            case PartWithClients():
                plane.part_with_clients()
            case StopAccepting():
                plane.stop_accepting()
            case End():
                self._ended.set()
            case Ping():
                pass

    def _commit(self, prepared: Prepared, entries: Mapping[str, int], gated: frozenset[IPAddress]) -> None:
        self.plane.entries = entries
        self.plane.commit(prepared, gated)
        self._prepared = None
        self._count()

    def _discard(self) -> None:
        if self._prepared is not None:
            self._prepared[0].close()
            self._prepared = None
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    # -- what is counted ---------------------------------------------------------------------------

    def _something_counted(self, now: float) -> None:
        del now
        self._unpublished.set()

    async def _publish(self) -> None:
        while True:
            await self._unpublished.wait()
            await trio.sleep(PUBLISH_EVERY)
            self._unpublished = trio.Event()
            self._count()

    def _count(self) -> None:
        plane = self.plane
        publish(self._row, plane.process, plane.frontends.values(), plane.backends.values())

    # -- the guard ---------------------------------------------------------------------------------

    async def _heed_guard(self) -> None:
        """The guard names VIPs that are the peer's now; its end, with the control process gone, is ours."""
        self._leash.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(self._leash)
            try:
                message = self._leash.recv(_LARGEST)
                if not message:
                    break
                self.plane.close_gate([ip_address(text) for text in message.decode().split()])
                self._leash.send(GATES_CLOSED)
            except ConnectionError:
                break
        await self._orphaned.wait()
        self._ended.set()


def _adopted(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.setblocking(False)
    return sock
