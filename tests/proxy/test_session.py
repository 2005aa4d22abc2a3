"""Getting a server: retries, redispatch and the queue, second by second."""

from __future__ import annotations

from contextlib import suppress

import pytest
from proxy.world import TIMEOUTS, World, answer, get, servers, statuses

from hapair.config.model import Cookie, CookieMode, Server, Timeouts
from hapair.proxy.session import QUEUED


def test_a_balanced_request_goes_to_another_server_at_once() -> None:
    world = World(servers=servers(2), redispatch=-1, retries=3)
    world.connects["s1"] = "refused"
    client = world.client(get())
    assert client.server.server.name == "s2"
    client.server.says(answer())
    assert world.lines()[0].startswith("fe be/s2 0/0/0/0/0 200 ")
    world.over()


def test_a_redispatch_is_marked_in_the_log() -> None:
    world = World(servers=servers(2), redispatch=-1)
    world.connects["s1"] = "refused"
    world.client(get()).server.says(answer())
    assert " 1/1/0/0/+1 0/0 " in world.lines()[0]
    first, second = world.backend.servers
    assert (first.retries, first.redispatches, first.connect_errors, second.retries) == (1, 1, 1, 0)
    world.over()


def test_without_redispatch_the_same_server_is_tried_until_the_end() -> None:
    world = World(servers=servers(2), retries=2)
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(2)
    assert statuses(client.got) == [503]
    assert world.lines()[0].startswith("fe be/s1 0/0/-1/-1/2000 503")
    assert world.backend.servers[1].total == 0
    world.over()


def test_every_server_refuses_and_all_tries_are_over_at_once() -> None:
    world = World(servers=servers(2), redispatch=-1, retries=3)
    world.connects.update(s1="refused", s2="refused")
    client = world.client(get())
    assert statuses(client.got) == [503]
    assert " SC-- 1/1/0/0/+3 0/0 " in world.lines()[0]
    world.over()


def test_the_only_server_is_not_hammered() -> None:
    world = World(redispatch=-1, retries=2)
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(0.99)
    assert len(world.links) == 1
    world.wait(0.02)
    assert len(world.links) == 2
    world.wait(1)
    assert statuses(client.got) == [503]
    assert len(world.links) == 3
    world.over()


def test_a_server_that_came_back_answers_the_next_try() -> None:
    world = World(retries=3)
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(0.5)
    world.connects.clear()
    world.wait(0.5)
    client.server.says(answer())
    assert world.lines()[0].startswith("fe be/s1 0/0/1000/0/1000 200 ")
    world.over()


def test_a_connect_timeout_is_followed_at_once_by_the_next_try() -> None:
    world = World(servers=servers(2), redispatch=-1)
    world.connects["s1"] = "hangs"
    client = world.client(get())
    world.wait(2.0)
    assert client.server.server.name == "s2"
    assert world.links[0].state == "closed"
    client.server.says(answer())
    assert world.lines()[0].startswith("fe be/s2 0/2000/0/0/2000 200 ")
    world.over()


def test_the_server_goes_down_while_a_try_waits() -> None:
    world = World(servers=(*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1)), redispatch=-1)
    world.connects.update(s1="refused", s2="refused")
    world.backend.set_weight(world.backend.servers[1], 0)
    client = world.client(get())
    world.wait(0.5)
    world.backend.set_weight(world.backend.servers[1], 1)
    world.connects.clear()
    world.set_up("s1", up=False)
    world.wait(0.5)
    assert client.server.server.name == "s2"
    world.over()


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_retries_are_the_attempts_after_the_first(retries: int) -> None:
    world = World(retries=retries, timeouts=Timeouts(connect=0.1))
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(1)
    assert len(world.links) == retries + 1
    assert statuses(client.got) == [503]
    world.over()


# -- the queue -----------------------------------------------------------------------------------


def test_requests_beyond_maxconn_wait_their_turn_in_order() -> None:
    world = World(servers=servers(1, maxconn=1))
    clients = [world.client(get(f"/{i}")) for i in range(4)]
    for i, client in enumerate(clients):
        assert client.server.got.startswith(b"GET /%d " % i)
        assert all(later.session.stage == QUEUED for later in clients[i + 1 :])
        world.wait(0.1)
        client.server.says(answer())
        assert statuses(client.got) == [200]
    lines = world.lines()
    assert [line.split()[2] for line in lines] == [f"0/{100 * i}/0/100/{100 * i + 100}" for i in range(4)]
    assert [line.split()[9] for line in lines] == ["0/0", "0/1", "0/2", "0/3"]
    world.over()


def test_a_persistent_client_waits_for_its_own_server() -> None:
    pool = tuple(Server(name=n, id=i, host="h", port=1, cookie=n, maxconn=1) for i, n in enumerate("AB"))
    world = World(servers=pool, cookie=Cookie("SID", CookieMode.INSERT, indirect=True))
    first = world.client(get("/", "Cookie: SID=A"))
    second = world.client(get("/", "Cookie: SID=A"))
    assert second.session.stage == QUEUED
    assert world.client(get()).server.server.name == "B"
    first.server.says(answer())
    assert second.server.server.name == "A"
    second.server.says(answer())
    assert world.lines()[-1].split()[9] == "1/0"
    world.over()


def test_a_full_server_queue_sends_its_clients_elsewhere() -> None:
    pool = tuple(
        Server(name=n, id=i, host="h", port=1, cookie=n, maxconn=1, maxqueue=1) for i, n in enumerate("AB")
    )
    world = World(servers=pool, cookie=Cookie("SID", CookieMode.INSERT, indirect=True), redispatch=-1)
    world.client(get("/", "Cookie: SID=A"))
    waits = world.client(get("/", "Cookie: SID=A"))
    other = world.client(get("/", "Cookie: SID=A"))
    assert waits.session.stage == QUEUED
    assert other.server.server.name == "B"
    world.over()


def test_who_waits_for_a_server_that_goes_down_is_placed_anew() -> None:
    pool = tuple(Server(name=n, id=i, host="h", port=1, cookie=n, maxconn=1) for i, n in enumerate("AB"))
    world = World(servers=pool, cookie=Cookie("SID", CookieMode.INSERT, indirect=True))
    world.client(get("/", "Cookie: SID=A"))
    waits = world.client(get("/", "Cookie: SID=A"))
    world.set_up("A", up=False)
    assert waits.server.server.name == "B"
    world.over()


def test_the_last_server_goes_down_and_nobody_waits_for_nothing() -> None:
    world = World(servers=servers(1, maxconn=1))
    first = world.client(get())
    waits = world.client(get())
    world.set_up("s1", up=False)
    assert statuses(waits.got) == [503]
    assert " SC-- " in world.lines()[0]
    first.server.says(answer())
    assert statuses(first.got) == [200], "what a server has begun it may finish"
    world.over()


def test_a_backup_takes_over_who_waited_for_the_last_active() -> None:
    world = World(servers=(*servers(1, maxconn=1), Server(name="b", id=9, host="h", port=1, backup=True)))
    world.client(get())
    waits = world.client(get())
    world.set_up("s1", up=False)
    assert waits.server.server.name == "b"
    world.over()


def test_a_backup_that_serves_its_own_takes_nobody_from_the_queue() -> None:
    backup = Server(name="b", id=9, host="h", port=1, backup=True, cookie="B")
    world = World(
        servers=(*servers(1, maxconn=1), backup), cookie=Cookie("SID", CookieMode.INSERT, indirect=True)
    )
    first = world.client(get())
    waits = world.client(get())
    persistent = world.client(get("/", "Cookie: SID=B"))
    persistent.server.says(answer())
    assert waits.session.stage == QUEUED
    first.server.says(answer())
    assert waits.server.server.name == "s1"
    world.over()


def test_a_timeout_and_a_turn_in_one_batch_lose_no_slot() -> None:
    """The turn is withdrawn, and a stale wake-up must not queue the client's next request twice."""
    world = World(servers=servers(1, maxconn=1))
    first, second = world.client(get()), world.client(get())
    # Within one batch of events: the slot goes to `second`, whose deadline passes before it is told.
    first.session.server_data(answer(), world.now)
    assert second.session in world.woken
    second.session.timeout(world.now)
    assert b" 503 " in second.session.to_client
    woken, world.woken[:] = list(world.woken), []
    third = world.client(get())
    second.sends(get())
    assert second.session.stage == QUEUED
    world.woken.extend(woken)
    world.settle(second)
    world.settle(first)
    third.server.says(answer())
    second.server.says(answer())
    world.over()


def test_the_queue_timeout_is_each_clients_own() -> None:
    world = World(servers=servers(1, maxconn=1), timeouts=TIMEOUTS)
    world.client(get())
    early = world.client(get())
    world.wait(0.5)
    late = world.client(get())
    world.wait(0.5)
    assert statuses(early.got) == [503]
    assert late.got == b""
    world.wait(0.5)
    assert statuses(late.got) == [503]
    world.over()


@pytest.mark.parametrize(
    ("interval", "tried"),
    [
        (0, "1111"),  # never
        (-1, "1112"),  # the last only
        (-2, "1121"),  # the one before the last
        (1, "1212"),  # each
        (2, "1121"),  # every second
        (3, "1112"),
        (-9, "1111"),  # further back than there are tries
    ],
)
def test_a_persistent_client_leaves_its_server_at_the_interval(interval: int, tried: str) -> None:
    """Once it has left it is balanced like anybody: each further try goes elsewhere."""
    pool = (*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1, cookie="B"))
    world = World(
        servers=pool, redispatch=interval, retries=3, cookie=Cookie("C"), timeouts=Timeouts(connect=0.1)
    )
    world.connects.update(s1="hangs", s2="hangs")
    world.client(get("/", "Cookie: C=A"))
    world.wait(1)
    assert "".join(link.server.name[1] for link in world.links) == tried
    world.over()


def test_the_urgent_are_served_before_those_who_came_earlier() -> None:
    world = World(servers=servers(1, maxconn=1))
    first = world.client(get("/1"))
    waiting = [world.client(), world.client(), world.client()]
    for client, (group, offset) in zip(waiting, [(0, 0.0), (0, -0.5), (-1, 5.0)], strict=True):
        client.session.priority_class = group
        client.session.priority_offset = offset
        client.sends(get())
    served = []
    current = first
    for _ in range(3):
        current.server.says(answer())
        (current,) = [client for client in waiting if client.link is not None]
        served.append(waiting.index(current))
    assert served == [2, 1, 0]
    current.server.says(answer())
    world.over()


def test_the_priority_of_one_request_is_not_the_next_ones() -> None:
    world = World()
    client = world.client()
    client.session.priority_class, client.session.priority_offset = 7, 1.0
    client.sends(get())
    client.server.says(answer())
    assert (client.session.priority_class, client.session.priority_offset) == (0, 0.0)
    world.over()


def test_a_want_of_descriptors_is_no_fault_of_the_server() -> None:
    world = World(retries=0, timeouts=Timeouts(connect=2.0, server=3.0))
    world.connects["s1"] = "no descriptor"
    client = world.client(get())
    world.wait(1.9)
    assert client.got == b""
    assert world.backend.servers[0].connect_errors == 0
    world.connects.clear()
    world.wait(0.05)
    client.server.says(answer())
    assert world.lines()[0].startswith("fe be/s1 0/0/19")
    world.over()


def test_a_want_of_descriptors_lasts_no_longer_than_a_connect_may() -> None:
    world = World(retries=0, timeouts=Timeouts(connect=2.0))
    world.connects["s1"] = "no descriptor"
    client = world.client(get())
    world.wait(2.1)
    assert statuses(client.got) == [503]
    world.over()


def test_an_exception_in_the_log_costs_the_backend_one_session_only() -> None:
    """The data plane ends such a client with `client_gone`; the backend has been left by then."""
    world = World(servers=servers(1))

    def fail(_level: int, _line: bytes, _data: bytes) -> None:
        raise ValueError("a bug")

    client = world.client(get())
    other = world.client(get())
    for name in ("log", "log_clean"):
        setattr(world.frontend, name, fail)
    with pytest.raises(ValueError, match="a bug"):
        client.server.says(answer())
    with suppress(ValueError):
        client.session.client_gone(world.now)
    assert world.backend.current == 1
    del other
