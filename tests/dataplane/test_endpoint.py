"""Both ends of a session on socket pairs, turn by turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from proxy.world import World, get

from hapair.dataplane.endpoint import HIGH_WATER, RECEIVE, ClientEnd
from hapair.dataplane.reactor import Reactor
from hapair.http1 import emit
from hapair.proxy.transaction import HttpSession

PAGE = emit.answer(200, [], b"x" * 3_000_000, close=False)


class Listener:
    """All that an endpoint asks of its listener."""

    def __init__(self) -> None:
        self.gone: list[ClientEnd] = []

    def closed(self, client: ClientEnd) -> None:
        self.gone.append(client)


class Table:
    """A reactor, a client's socket and our end of it; the session answers every request with PAGE."""

    def __init__(self) -> None:
        self.bugs: list[Exception] = []
        self.reactor = Reactor(lambda _, error: self.bugs.append(error))
        self.listener = Listener()
        self.world = World(responder=lambda _: PAGE)
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.client.setblocking(False)
        self.session = HttpSession(self.world.frontend, "192.0.2.1", 1, self.reactor.now)
        self.end = ClientEnd(self.reactor, self.listener, ours, self.session)  # type: ignore[arg-type]
        self.session.start(self.reactor.now)

    def turns(self, count: int = 3) -> None:
        for _ in range(count):
            self.reactor.turn()
        assert self.bugs == []

    def read_all(self) -> bytes:
        """What the client gets until the end, or until nothing more comes."""
        got = b""
        for _ in range(10_000):
            try:
                data = self.client.recv(65536)
            except BlockingIOError:
                if not self.reactor.turn():
                    break
                continue
            if not data:
                break
            got += data
            self.reactor.turn()
        return got


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    yield table
    table.end.close()
    table.client.close()
    table.reactor.shut()


def test_a_half_close_while_the_last_answer_is_on_its_way_costs_nothing_of_it(table: Table) -> None:
    table.client.send(get("/", "Connection: close"))
    table.turns()
    assert table.session.ended
    assert table.session.to_client, "too much for the kernel at once"
    table.client.shutdown(socket.SHUT_WR)
    table.turns()
    assert not table.listener.gone
    assert table.read_all().endswith(b"xxxx")
    assert table.listener.gone == [table.end]
    assert table.end.sock.fileno() == -1


def test_a_half_closed_client_does_not_keep_the_loop_busy(table: Table) -> None:
    table.client.send(get("/", "Connection: close"))
    table.client.shutdown(socket.SHUT_WR)
    table.turns()
    assert table.session.to_client
    assert table.reactor.turn() is False, "an end is said once"


def test_an_answer_larger_than_the_kernels_buffers_arrives_whole(table: Table) -> None:
    table.client.send(get())
    table.turns()
    assert table.read_all() == PAGE
    assert not table.listener.gone


def test_a_client_that_reads_nothing_is_not_read_from_either(table: Table) -> None:
    table.client.send(get())
    table.turns()
    flood = get() * 1000
    sent = 0
    for _ in range(1000):
        try:
            sent += table.client.send(flood)
        except BlockingIOError:
            break
        table.turns(1)
    assert len(table.session.rest) <= HIGH_WATER + RECEIVE
    assert len(table.session.to_client) <= len(PAGE)
    assert table.reactor.turn() is False


def test_a_reset_drops_what_was_meant_for_the_client(table: Table) -> None:
    table.client.send(get())
    table.turns()
    assert table.session.to_client
    table.client.close()
    table.turns()
    assert table.listener.gone == [table.end]
    assert table.session.ended
    assert table.session.endpoint is None


def test_a_refused_client_may_go_on_sending_until_it_has_read_why(table: Table) -> None:
    table.client.send(b"G@T / HTTP/1.1\r\n\r\n")
    table.turns()
    for _ in range(20):
        table.client.send(b"more and more")
        table.turns(1)
    assert not table.listener.gone
    assert table.read_all() == emit.error(400, close=True)
    table.client.close()
    table.turns()
    assert table.listener.gone == [table.end]


def test_a_closed_end_leaves_nothing_in_the_wheel(table: Table) -> None:
    assert table.end.timer.owner is table.end
    table.end.close()
    assert table.end.timer.owner is None
    table.end.close()
    assert table.listener.gone == [table.end], "told once"


def test_a_pipeline_of_requests_that_we_answer_ourselves_does_not_keep_the_loop(table: Table) -> None:
    table.session.frontend.responder = lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    table.client.send(get() * 100)
    table.reactor.turn()
    answered = [table.session.requests]
    table.turns(10)  # a turn is about a millisecond, however busy the machine
    answered.append(table.session.requests)
    assert answered[-1] == 100
    assert table.read_all().count(b"HTTP/1.1 200") == 100
