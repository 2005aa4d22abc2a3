"""A connection to a server, batch by batch: epoll says things once, and nothing is left unread."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest
from dataplane.plane import GET, Lines, config

from hapair.config import model
from hapair.dataplane import reactor
from hapair.dataplane.reactor import WRITE
from hapair.dataplane.service import DataPlane

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stage:
    """A plane between a client's socket and a server's; a turn is one batch of events."""

    def __init__(self, mode: model.Mode) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        server = model.Server(name="s", id=1, host="127.0.0.1", port=self.listening.getsockname()[1])
        node = config(server, mode=mode)
        self.plane = DataPlane(100, Lines(), lambda _: lambda _: None)  # type: ignore[arg-type]
        self.plane.commit(self.plane.prepare(node), ())
        self.client = socket.create_connection(("127.0.0.1", node.frontends["fe"].bind[0].port or 0))
        self.client.settimeout(5)

    def until_accepted(self) -> socket.socket:
        """The server's end, as soon as it exists."""
        self.listening.settimeout(0)
        for _ in range(10):
            self.plane.reactor.turn()
            try:
                sock, _ = self.listening.accept()
            except BlockingIOError:
                continue
            sock.settimeout(5)
            return sock
        raise AssertionError("nobody came")

    def turns(self, count: int = 10) -> None:
        for _ in range(count):
            self.plane.reactor.turn()
        assert self.plane.bugs == 0

    def relayed(self) -> bytes:
        """All that the client gets until the end."""
        got = b""
        self.client.settimeout(0)
        for _ in range(10_000):
            self.plane.reactor.turn()
            try:
                data = self.client.recv(1 << 20)
            except BlockingIOError:
                continue
            if not data:
                return got
            got += data
        raise AssertionError(f"no end after {len(got)} bytes")

    def close(self) -> None:
        self.client.close()
        self.listening.close()
        self.plane._close_all()


@pytest.fixture(autouse=True)
def a_turn_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor, "SLICE", 0.0)


@pytest.fixture
def stream() -> Iterator[Stage]:
    stage = Stage(model.Mode.TCP)
    yield stage
    stage.close()


@pytest.fixture
def page() -> Iterator[Stage]:
    stage = Stage(model.Mode.HTTP)
    yield stage
    stage.close()


def test_what_a_server_says_before_we_know_that_we_are_connected_is_heard(stream: Stage) -> None:
    with stream.until_accepted() as server:
        server.sendall(b"220 hello")
        stream.turns()
        assert stream.client.recv(100) == b"220 hello"


def test_an_end_before_we_know_that_we_are_connected_is_heard(stream: Stage) -> None:
    with stream.until_accepted() as server:
        server.shutdown(socket.SHUT_WR)
        assert stream.relayed() == b""


def test_an_end_that_comes_with_the_last_bytes_is_heard(stream: Stage) -> None:
    with stream.until_accepted() as server:
        stream.turns()
        server.sendall(b"bye")
        server.shutdown(socket.SHUT_WR)
        assert stream.relayed() == b"bye"


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 1_000_000])
def test_more_than_one_receive_takes_is_heard_to_the_end(stream: Stage, size: int) -> None:
    said = os.urandom(size)
    with stream.until_accepted() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        stream.turns()
        server.sendall(said)
        stream.client.settimeout(0)
        got = b""
        for _ in range(1000):
            stream.plane.reactor.turn()
            try:
                got += stream.client.recv(1 << 20)
            except BlockingIOError:
                continue
        assert got == said, "and that without an end, which would wake the loop once more"


def test_room_in_the_buffer_does_not_end_a_connection_that_rests(page: Stage) -> None:
    page.client.sendall(GET)
    with page.until_accepted() as server:
        page.turns()
        server.recv(1000)
        server.sendall(ANSWER)
        page.turns()
        assert page.client.recv(1000).endswith(b"ok")
        (resting,) = page.plane.backends["be"].by_name["s"].idle
        resting.on_ready(WRITE, page.plane.reactor.now)
        page.client.sendall(GET)
        page.turns()
        assert server.recv(1000).startswith(b"GET"), "it serves again"


@pytest.mark.parametrize("silent", ["client", "server"])
def test_a_side_that_was_silent_for_too_long_is_not_read_any_more(stream: Stage, silent: str) -> None:
    """What it says then stays in its kernel, so that it notices, and costs no turns."""
    server = stream.until_accepted()
    stream.turns()
    plane = stream.plane
    (end,) = [client for listener in plane.listeners.values() for client in listener.clients]
    session = end.session
    assert session.silence is not None
    if silent == "client":
        session.silence.client_silent_at = 0.0
    else:
        session.silence.server_silent_at = 0.0
    end.on_deadline(plane.reactor.now)
    late, other = (stream.client, server) if silent == "client" else (server, stream.client)
    assert other.recv(10) == b"", "the other side is told"
    late.setblocking(False)
    sent = 0
    for _ in range(1000):
        try:
            sent += late.send(bytes(65536))
        except BlockingIOError:
            break
        stream.turns(1)
    else:
        raise AssertionError(f"{sent} bytes went somewhere")
    other.sendall(b"still")
    stream.turns()
    late.setblocking(True)
    assert late.recv(10) == b"still"
    server.close()


def test_a_server_that_speaks_too_late_still_gets_what_the_client_says_at_its_own_pace(stream: Stage) -> None:
    server = stream.until_accepted()
    stream.turns()
    (end,) = [client for listener in stream.plane.listeners.values() for client in listener.clients]
    assert end.session.silence is not None
    end.session.silence.server_silent_at = 0.0
    end.on_deadline(stream.plane.reactor.now)
    server.sendall(b"too late")
    stream.turns()
    said, sent, got = os.urandom(16 << 20), 0, 0
    stream.client.setblocking(False)
    server.setblocking(False)
    for turn in range(100_000):
        if sent < len(said):
            with contextlib.suppress(BlockingIOError):
                sent += stream.client.send(said[sent : sent + 262_144])
        stream.turns(1)
        if turn > 300:  # by then it is much behind
            with contextlib.suppress(BlockingIOError):
                got += len(server.recv(1 << 20))
        if got == len(said):
            break
    assert got == len(said)
    server.close()
