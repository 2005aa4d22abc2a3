"""The epoll loop by itself: reused numbers, exceptions, what is closed when."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from hapair.dataplane.reactor import READ, WRITE, Reactor
from hapair.dataplane.timers import Timer


class End:
    def __init__(self, call: Callable[[int, float], None]) -> None:
        self.call = call
        self.calls = 0

    def on_ready(self, mask: int, now: float) -> None:
        self.calls += 1
        self.call(mask, now)


@pytest.fixture
def bugs() -> list[tuple[object, Exception]]:
    return []


@pytest.fixture
def reactor(bugs: list[tuple[object, Exception]]) -> Iterator[Reactor]:
    reactor = Reactor(lambda end, error: bugs.append((end, error)))
    yield reactor
    reactor.shut()


@pytest.fixture
def pairs() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    made: list[socket.socket] = []

    def pair() -> tuple[socket.socket, socket.socket]:
        made.extend(socket.socketpair())
        return made[-2], made[-1]

    yield pair
    for sock in made:
        sock.close()


def test_a_number_reopened_within_a_batch_gets_no_event_of_its_past(
    reactor: Reactor, pairs: Callable
) -> None:
    """Both are ready; whichever is served first closes the other and opens a new socket."""
    ends: list[End] = []
    news: list[socket.socket] = []
    stale = End(lambda *_: None)
    socks = [pairs() for _ in range(2)]

    def serve(other: int) -> Callable[[int, float], None]:
        def on_ready(*_: object) -> None:
            reactor.close(socks[other][0])
            ours, theirs = pairs()
            news.append(ours)
            assert ours.fileno() not in (socks[0][0].fileno(), socks[1][0].fileno())
            reactor.add(ours, stale, READ)
            theirs.setblocking(False)

        return on_ready

    for i, (ours, theirs) in enumerate(socks):
        end = End(serve(1 - i))
        ends.append(end)
        reactor.add(ours, end, READ)
        theirs.send(b"x")
    reactor.turn()
    assert sorted(end.calls > 0 for end in ends) == [False, True]
    assert stale.calls == 0
    assert len([sock for sock, _ in socks if sock.fileno() == -1]) == 1, "closed when the turn ended"


def test_an_exception_costs_one_endpoint(reactor: Reactor, pairs: Callable, bugs: list) -> None:
    error = RuntimeError("a bug")

    def fail(*_: object) -> None:
        raise error

    bad, good = End(fail), End(lambda *_: None)
    for end in (bad, good):
        ours, theirs = pairs()
        reactor.add(ours, end, READ)
        theirs.send(b"x")
    reactor.turn()
    assert bugs[0] == (bad, error)
    assert good.calls > 0


def test_an_exception_in_a_deadline_costs_one_endpoint(reactor: Reactor, bugs: list) -> None:
    class Bad:
        def on_deadline(self, now: float) -> None:
            raise RuntimeError(now)

    bad = Bad()
    reactor.wheel.arm(Timer(bad), reactor.now)
    while not bugs:
        reactor.turn()
    assert bugs[0][0] is bad


def test_forgotten_and_closed_sockets_are_told_nothing(reactor: Reactor, pairs: Callable) -> None:
    end = End(lambda *_: None)
    forgotten, theirs = pairs()
    reactor.add(forgotten, end, READ)
    reactor.forget(forgotten)
    reactor.forget(forgotten)
    reactor.watch(forgotten, WRITE)
    closed, theirs2 = pairs()
    reactor.add(closed, end, READ)
    reactor.close(closed)
    theirs.send(b"x")
    theirs2.send(b"x")
    reactor.turn()
    assert end.calls == 0
    assert forgotten.fileno() >= 0
    assert closed.fileno() == -1


def test_a_turn_ends_even_when_there_is_always_work(reactor: Reactor, pairs: Callable) -> None:
    ours, theirs = pairs()
    reactor.add(ours, End(lambda *_: None), READ)
    theirs.send(b"x")  # never read: always ready
    assert reactor.turn() is True
    reactor.forget(ours)
    assert reactor.turn() is False


def test_calls_at_the_end_of_a_turn_come_after_every_batch(reactor: Reactor, pairs: Callable) -> None:
    order: list[str] = []
    reactor.after_turn(lambda _: order.append("after"))
    ours, theirs = pairs()
    reactor.add(ours, End(lambda *_: order.append(ours.recv(1).decode())), READ)
    theirs.send(b"x")
    reactor.turn()
    assert order[:2] == ["x", "after"]


def test_who_puts_itself_off_is_served_again_after_the_others(reactor: Reactor, pairs: Callable) -> None:
    order: list[str] = []
    (ready, peer), rounds = pairs(), iter(range(3))

    def greedy(mask: int, _: float) -> None:
        order.append("greedy")
        assert mask == 0
        if next(rounds, None) is not None:
            reactor.soon(again)

    again = End(greedy)
    other = End(lambda *_: order.append("other") or ready.recv(1))
    reactor.add(ready, other, READ)
    peer.send(b"x")
    reactor.soon(again)
    while reactor.turn():
        pass
    assert order.count("greedy") == 4
    assert order.index("other") <= 1
