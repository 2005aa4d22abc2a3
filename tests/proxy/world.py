"""The data plane's machines without sockets: a world in memory that carries out their orders.

It does what `dataplane.endpoint` does, on a clock of its own: clients send and
read, servers are told what to answer, and `check` holds after every step: no
slot, queue entry or connection is lost.  Tests read as dialogues.
"""

from __future__ import annotations

import errno
from math import inf
from typing import Any

from hapair.cache.store import make_stores
from hapair.config import model
from hapair.proxy.backend import ANY, PROVEN, Backend
from hapair.proxy.frontend import Frontend, Process
from hapair.proxy.log_line import Dates
from hapair.proxy.server import Server
from hapair.proxy.session import (
    AGAIN,
    CLOSE,
    CONNECT,
    DROP,
    LINGER,
    PARK,
    RELEASE,
    RESET,
    SHUT_CLIENT,
    SHUT_SERVER,
    Session,
)
from hapair.proxy.transaction import HttpSession
from hapair.proxy.tunnel import TcpSession
from hapair.tables.directory import Directory, make_tables

START = 1000.0
TIMEOUTS = model.Timeouts(
    http_request=4.0, connect=2.0, client=5.0, server=3.0, http_keep_alive=6.0, queue=1.0
)


class Link:
    """A connection to a server, seen from the server."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client: Client | None = client
        self.keeper: Client | None = None
        self.uses = 1
        self.got = b""
        self.connected = False
        self.stuck = False
        """The server reads nothing more."""
        self.state = "open"
        """`shut` when we have said that nothing more comes, `closed` or `reset`."""

    def says(self, data: bytes) -> None:
        """The server sends."""
        client = self.client
        if client is None:
            # Idle connections that say anything are closed.
            self._leave_rest()
            return
        client.session.server_data(data, client.world.now)
        client.world.settle(client)

    def ends(self, *, broken: bool = False) -> None:
        """The server sends no more, or resets."""
        client = self.client
        if client is None:
            self._leave_rest()
            return
        client.session.server_ended = True
        client.session.server_eof(client.world.now, broken=broken)
        client.world.settle(client)

    def _leave_rest(self) -> None:
        if self.keeper is not None:
            self.keeper.parked = None
        else:
            self.server.idle.remove(self)
        self.state = "closed"

    def reads_again(self) -> None:
        """The server takes what was held up."""
        assert self.client is not None
        self.stuck = False
        client = self.client
        self.got += client.session.to_server
        client.session.to_server = b""
        client.session.server_took(client.world.now)
        client.world.settle(client)


class Client:
    """A client connection."""

    def __init__(self, world: World, session: Session) -> None:
        self.world = world
        self.session = session
        session.endpoint = self
        self.got = b""
        self.state = "open"
        """`shut`: half-closed by us; `closed`, `reset`."""
        self.stuck = False
        """It reads nothing."""
        self.link: Link | None = None
        self.parked: Link | None = None

    @property
    def over(self) -> bool:
        return self.state in ("closed", "reset")

    @property
    def server(self) -> Link:
        assert self.link is not None, "no server connection"
        return self.link

    def sends(self, data: bytes) -> None:
        assert not self.over, "the connection is closed"
        self.session.client_data(data, self.world.now)
        self.world.settle(self)

    def ends(self) -> None:
        """Half-close."""
        if self.over:
            return
        if self.session.ended:
            self.session.client_ended = True
            if self.session.orders & LINGER and not self.session.to_client:
                self.gone()
                return
        self.session.client_eof(self.world.now)
        self.world.settle(self)

    def gone(self) -> None:
        """Reset."""
        if self.over:
            return
        self.session.client_gone(self.world.now)
        self.session.to_client = b""
        self.session.orders = (self.session.orders & ~LINGER) | CLOSE
        self.world.settle(self)

    def reads_again(self) -> None:
        self.stuck = False
        if self.over:
            return
        self.got += self.session.to_client
        self.session.to_client = b""
        self.session.flushed(self.world.now)
        self.world.settle(self)

    def reads(self) -> bytes:
        """What came since the last time."""
        got, self.got = self.got, b""
        return got


def servers(count: int = 1, **common: Any) -> tuple[model.Server, ...]:
    return tuple(
        model.Server(name=f"s{i}", id=i, host="192.0.2.1", port=8000 + i, **common)
        for i in range(1, count + 1)
    )


class World:
    """One frontend `fe`, one backend `be`, a clock and a log."""

    def __init__(
        self,
        *,
        mode: model.Mode = model.Mode.HTTP,
        servers: tuple[model.Server, ...] = servers(),
        timeouts: model.Timeouts = TIMEOUTS,
        frontend: dict[str, Any] | None = None,
        responder: Any = None,
        tables: dict[str, model.StickTable] | None = None,
        userlists: dict[str, Any] | None = None,
        caches: dict[str, model.Cache] | None = None,
        **backend: Any,
    ) -> None:
        self.now = START
        self.log: list[str] = []
        self.woken: list[Any] = []
        self.clients: list[Client] = []
        self.links: list[Link] = []
        self.connects: dict[str, str] = {}
        """Server name -> `refused`, `hangs` or `no descriptor`; anything else connects at once."""
        config = model.Backend(name="be", servers=servers, mode=mode, timeout=timeouts, **backend)
        self.tables = make_tables(tables or {}, {})
        self.caches = make_stores(caches or {}, {})
        directory = Directory(self.tables, userlists=userlists or {}, caches=self.caches)
        self.backend = Backend(config, {s.name: None for s in servers}, self.woken, tables=directory)
        self.process = Process(1000)
        http = mode is model.Mode.HTTP
        options: dict[str, Any] = {
            "log_format": model.LogFormat.HTTPLOG if http else model.LogFormat.TCPLOG,
            "default_backend": "be",
        }
        self.frontend = Frontend(
            model.Frontend(
                name="fe", bind=(), mode=mode, timeout=timeouts, **{**options, **(frontend or {})}
            ),
            {"be": self.backend},
            self.process,
            Dates(0.0),
            lambda _level, line, _data: self.log.append(line.decode()),
            responder,
            directory,
        )

    # -- what happens ---------------------------------------------------------------------------

    def client(self, data: bytes = b"", source: str = "192.0.2.9") -> Client:
        """Somebody connects, and sends."""
        kind = HttpSession if self.frontend.http else TcpSession
        client = Client(self, kind(self.frontend, source, 40000 + len(self.clients), self.now))
        self.clients.append(client)
        self.process.current += 1
        self.frontend.current += 1
        client.session.start(self.now)
        self.settle(client)
        if data:
            client.sends(data)
        return client

    def wait(self, seconds: float) -> None:
        """Let time pass; every deadline is met at its moment."""
        until = self.now + seconds
        while True:
            due = [c for c in self.clients if not c.over and c.session.deadline <= until]
            if not due:
                break
            client = min(due, key=lambda c: c.session.deadline)
            self.now = max(self.now, client.session.deadline)
            client.session.deadline = inf
            client.session.timeout(self.now)
            self.settle(client)
        self.now = until

    def connect(self, client: Client, *, refused: bool = False) -> None:
        """A connection that hung is made, or refused."""
        assert client.link is not None
        self._outcome(client, client.link, refused=refused)
        self.settle(client)

    def set_up(self, name: str, *, up: bool) -> None:
        (server,) = [s for s in self.backend.servers if s.name == name]
        self.backend.set_up(server, up, self.now)
        self._serve_woken()
        self.check()

    # -- the endpoint's work ----------------------------------------------------------------------

    def settle(self, client: Client) -> None:
        self._carry_out(client)
        self._serve_woken()
        self.check()

    def _serve_woken(self) -> None:
        while self.woken:
            session = self.woken.pop(0)
            client = session.endpoint
            if client is not None:
                session.from_queue(self.now)
                self._carry_out(client)

    def _carry_out(self, client: Client) -> None:
        session = client.session
        for _ in range(10_000):
            if client.over:
                return
            orders = session.orders
            if orders & (RELEASE | PARK | DROP):
                session.orders &= ~(RELEASE | PARK | DROP)
                self._let_go(client, orders)
            elif orders & CONNECT:
                session.orders &= ~CONNECT
                self._connect(client)
            elif self._moved(client):
                continue
            elif not session.to_client and orders & AGAIN and not session.to_server:
                session.orders &= ~AGAIN
                session.again(self.now)
            elif not session.to_client and orders & CLOSE:
                if orders & LINGER and not orders & RESET and not session.client_ended:
                    client.state = "shut"
                    return
                self._close(client, "reset" if orders & RESET else "closed")
            elif not session.to_client and orders & SHUT_CLIENT:
                session.orders &= ~SHUT_CLIENT
                client.state = "shut"
            else:
                return
        raise AssertionError("the session never comes to rest")

    def _moved(self, client: Client) -> bool:
        """Bytes that could be sent."""
        session, link = client.session, client.link
        moved = False
        if link is not None and link.connected and not link.stuck:
            link.got += session.to_server
            moved = bool(session.to_server)
            session.to_server = b""
            if session.orders & SHUT_SERVER:
                session.orders &= ~SHUT_SERVER
                link.state = "shut"
                moved = True
        if session.to_client and not client.stuck:
            client.got += session.to_client
            session.to_client = b""
            moved = True
        return moved

    def _connect(self, client: Client) -> None:
        session = client.session
        server = session.server
        assert server is not None
        assert client.link is None, "a second connection while the first is there"
        session.server_ended = False
        link = self._resting(client, server)
        if link is not None:
            link.client, link.keeper = client, None
            link.uses += 1
            client.link = link
            session.connected(self.now, reused=True)
            return
        outcome = self.connects.get(server.name, "ok")
        if outcome == "no descriptor":
            session.connect_later(self.now)
            return
        link = Link(server, client)
        self.links.append(link)
        client.link = link
        if outcome != "hangs":
            self._outcome(client, link, refused=outcome == "refused")

    @staticmethod
    def _resting(client: Client, server: Server) -> Link | None:
        link, client.parked = client.parked, None
        if link is not None:
            if link.server is server:
                return link
            link.state = "closed"
        may = client.session.may_reuse
        fit = [one for one in server.idle if may == ANY or (may == PROVEN and one.uses > 1)]
        if not fit:
            return None
        server.idle.remove(fit[-1])
        return fit[-1]

    def _outcome(self, client: Client, link: Link, *, refused: bool) -> None:
        if refused:
            client.session.connect_failed(self.now, timed_out=False, error=errno.ECONNREFUSED)
        else:
            link.connected = True
            client.session.connected(self.now, reused=False)

    def _let_go(self, client: Client, orders: int) -> None:
        link = client.link
        if link is None:
            return
        client.link = None
        link.client = None
        keep = not orders & DROP and link.server.usable and link.uses <= link.server.max_reuse
        if keep and orders & PARK:
            client.parked, link.keeper = link, client
        elif keep:
            link.server.idle.append(link)
        else:
            link.state = "reset" if client.session.orders & RESET else "closed"

    def _close(self, client: Client, state: str) -> None:
        client.state = state
        if client.link is not None:
            client.link.client = None
            client.link.state = "closed"
            client.link = None
        if client.parked is not None:
            client.parked.state = "closed"
            client.parked = None
        client.session.endpoint = None
        client.session.let_go(self.now)
        self.process.current -= 1
        self.frontend.current -= 1

    # -- what must always hold ----------------------------------------------------------------------

    def check(self) -> None:
        """Every slot has its holder, every connection its place."""
        sessions = [client.session for client in self.clients]
        for server in self.backend.servers:
            holders = [s for s in sessions if (s.holds_slot and s.server is server) or s.granted is server]
            assert server.current == len(holders) <= server.maxconn, f"{server.name}: slots {server.current}"
        waiting = [s for s in sessions if s.waiting_in is not None]
        assert all(list(s.waiting_in or ()).count(s) == 1 for s in waiting)
        assert self.backend.queued == len(waiting)
        assert self.backend.current == sum(s.backend is not None and not s.ended for s in sessions)
        for link in self.links:
            places = link.server.idle.count(link) + sum(link in (c.link, c.parked) for c in self.clients)
            assert places == (0 if link.state in ("closed", "reset") else 1)
        for client in self.clients:
            if client.session.ended:
                session = client.session
                assert not session.holds_slot
                assert session.granted is None
                assert client.link is None, "a finished session keeps its server connection"
            if client.over:
                assert client.session.ended

    def over(self) -> None:
        """Everybody leaves; nothing is left behind."""
        for client in self.clients:
            client.gone()
        self.wait(100)
        self.check()
        assert not any(server.current for server in self.backend.servers)
        assert not self.backend.queued
        assert not self.process.current
        assert all(link in link.server.idle for link in self.links if link.state == "open")

    def lines(self) -> list[str]:
        """The log so far, from the frontend's name on."""
        lines = [line.partition("] ")[2] for line in self.log]
        self.log.clear()
        return lines


def get(path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: h", *headers, "", ""]).encode()


def post(body: bytes, *headers: str, length: int | None = None, method: str = "POST") -> bytes:
    size = len(body) if length is None else length
    return (
        "\r\n".join([f"{method} / HTTP/1.1", "Host: h", f"Content-Length: {size}", *headers, "", ""]).encode()
        + body
    )


def answer(body: bytes = b"ok", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]).encode() + body


def statuses(data: bytes) -> list[int]:
    """The status codes of the responses in a stream, by their status lines."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
