"""Flights over real sockets on loopback, with time as an argument: every way a conversation can go."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import time
from pathlib import Path

import attrs
import pytest
from kernel.namespaces import Namespace

from hapair.config.model import CheckKind, HttpCheck
from hapair.health.flight import BATCH, Flights
from hapair.health.plan import CheckPlan
from hapair.health.probes.dialogue import MAX_ANSWER
from hapair.health.probes.http import HttpProbe
from hapair.health.probes.outcome import EXCERPT, Finding
from hapair.health.probes.tcp import TcpProbe

PLAN = CheckPlan(
    kind=CheckKind.HTTP,
    host="",
    port=0,
    http=HttpCheck(),
    inter=1.0,
    fastinter=1.0,
    downinter=1.0,
    rise=2,
    fall=3,
    connect_timeout=1.0,
    read_timeout=5.0,
)
BOTH_WITHIN_ONE = attrs.evolve(PLAN, read_timeout=None)
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\n\r\n"


class Sky:
    """Flights, a listener, and what has landed."""

    def __init__(self) -> None:
        self.landed: dict[object, object] = {}
        self.flights: Flights[str] = Flights(self._landed)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.listener.settimeout(5)
        self.now = 100.0

    def _landed(self, target, outcome, now) -> None:
        assert target not in self.landed
        assert now == self.now
        self.landed[target] = outcome

    def launch(self, target="t", dialogue=None, plan=PLAN, address=None, family=socket.AF_INET) -> None:
        self.flights.launch(
            target,
            plan,
            family,
            address or self.listener.getsockname(),
            dialogue or HttpProbe(REQUEST),
            self.now,
        )

    def turn(self) -> bool:
        return self.flights.turn(self.now)

    def until_landed(self, count=1):
        """Real events at a standing clock."""
        until = time.monotonic() + 5
        while len(self.landed) < count:
            assert time.monotonic() < until, self.landed
            select.select([self.flights.fileno()], [], [], 0.1)
            self.turn()
        return self.landed.get("t")

    def connected(self) -> socket.socket:
        """The server's side, when the request has come."""
        self.wait_for_events()
        self.turn()
        sock, _ = self.listener.accept()
        sock.settimeout(5)
        return sock

    def wait_for_events(self) -> None:
        assert select.select([self.flights.fileno()], [], [], 5)[0]


@pytest.fixture
def sky():
    found = Sky()
    yield found
    found.flights.close()
    found.listener.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_dialogue_goes_back_and_forth_and_leaves_an_excerpt(sky):
    sky.launch()
    with sky.connected() as server:
        assert server.recv(1000) == REQUEST
        sky.now += 0.25
        server.sendall(GOOD + b"x" * 1000)
        outcome = sky.until_landed()
    assert (outcome.ok, outcome.status, outcome.code, outcome.duration) == (True, "L7OK", 200, 0.25)
    assert outcome.sent == REQUEST
    assert outcome.received == (GOOD + b"x" * 1000)[:EXCERPT]
    assert len(sky.flights) == 0


def connections(sky) -> set[tuple[str, str, str]]:
    """Local and remote address and state of those to the listener; an earlier test may have had its port."""
    port = sky.listener.getsockname()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {(row[1], row[2], row[3]) for row in rows if row[2].endswith(f":{port:04X}")}


def test_a_tcp_check_bothers_no_program_and_leaves_no_time_wait(sky):
    """The server's kernel answers; our reset takes the place of the handshake's last ACK."""
    before = connections(sky)
    sky.launch(dialogue=TcpProbe())
    assert sky.until_landed().status == "L4OK"
    sky.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        sky.listener.accept()
    assert connections(sky) <= before


def test_a_probe_that_was_answered_leaves_no_time_wait_either(sky):
    before = connections(sky)
    sky.launch()
    with sky.connected() as server:
        server.sendall(GOOD)
        sky.until_landed()
    assert connections(sky) <= before


def test_a_connection_that_is_refused_lands_with_its_reason(sky):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sky.launch(address=closed.getsockname())
        outcome = sky.until_landed()
    assert (outcome.ok, outcome.status, outcome.info) == (False, "L4CON", "Connection refused")


@contextlib.contextmanager
def swallowing_address():
    """A queue that is full: the kernel drops further SYNs."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()


def test_the_connection_has_its_time_out_to_the_point(sky):
    with swallowing_address() as address:
        sky.launch(address=address)
        sky.now += 0.999
        sky.turn()
        assert sky.landed == {}
        sky.now += 0.001
        sky.turn()
    assert (sky.landed["t"].status, sky.landed["t"].duration) == ("L4TOUT", pytest.approx(1.0))


def test_the_answer_has_its_own_time_out_after_the_connection(sky):
    sky.launch()
    sky.now += 0.9
    with sky.connected():
        sky.now += 4.99
        sky.turn()
        assert sky.landed == {}
        sky.now += 0.01
        sky.turn()
    assert (sky.landed["t"].status, sky.landed["t"].duration) == ("L7TOUT", pytest.approx(5.9))


def test_without_a_read_time_out_the_connections_covers_both(sky):
    sky.launch(plan=BOTH_WITHIN_ONE)
    sky.now += 0.9
    with sky.connected():
        sky.now += 0.09
        sky.turn()
        assert sky.landed == {}
        sky.now += 0.01
        sky.turn()
    assert (sky.landed["t"].status, sky.landed["t"].duration) == ("L7TOUT", pytest.approx(1.0))


def test_a_trickle_does_not_move_the_time_out(sky):
    sky.launch()
    with sky.connected() as server:
        for byte in GOOD[:10]:
            server.sendall(bytes([byte]))
            sky.now += 0.499
            sky.wait_for_events()
            sky.turn()
        assert sky.landed == {}
        sky.now += 0.02
        sky.turn()
    assert sky.landed["t"].status == "L7TOUT"
    assert sky.landed["t"].received == GOOD[:10]


def test_answers_that_came_while_we_were_kept_from_listening_count(sky):
    """A stopped process must not wake up to a hundred dead servers."""
    count = 3 * BATCH
    for index in range(count):
        sky.launch(index)
    servers = []
    for _ in range(count):
        sky.turn()
        servers.append(sky.listener.accept()[0])
    while sky.turn():
        pass
    for server in servers:
        server.sendall(GOOD)
    sky.now += 60
    while sky.turn():
        pass
    assert [outcome.status for outcome in sky.landed.values()] == ["L7OK"] * count
    for server in servers:
        server.close()


def test_a_reset_is_a_socket_error(sky):
    sky.launch()
    server = sky.connected()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    outcome = sky.until_landed()
    assert (outcome.ok, outcome.status, outcome.info) == (False, "SOCKERR", "Connection reset by peer")


class Talker:
    """Says `first`, then echoes; is satisfied with `enough` bytes."""

    silent = False
    limit = MAX_ANSWER

    def __init__(self, first=b"", enough=10**9) -> None:
        self.first, self.enough, self.heard = first, enough, b""

    def connected(self):
        return self.first

    def received(self, data):
        assert data
        self.heard += data
        return Finding("L7OK") if len(self.heard) >= self.enough else data

    def ended(self):
        return Finding("L7RSP", "enough of this")

    def late(self):
        return Finding("L7TOUT", "still talking")

    def excerpt(self, sent, received):
        return sent, received


def test_an_answer_without_end_is_cut_whatever_the_dialogue_thinks(sky):
    sky.launch(dialogue=Talker())
    with sky.connected() as server:
        server.settimeout(0.01)
        with contextlib.suppress(TimeoutError):
            server.sendall(b"x" * 10 * MAX_ANSWER)
        outcome = sky.until_landed()
    assert (outcome.status, outcome.info) == ("L7RSP", "the answer is too long")


def test_a_server_that_speaks_first_is_answered(sky):
    sky.launch(dialogue=Talker(enough=8))
    with sky.connected() as server:
        server.sendall(b"220 ")
        sky.wait_for_events()
        sky.turn()
        assert server.recv(100) == b"220 "
        server.sendall(b"ok\r\n")
        assert sky.until_landed().status == "L7OK"


def test_a_long_request_is_sent_as_fast_as_it_is_taken(sky):
    request = bytes(range(256)) * 40_000
    sky.launch(dialogue=Talker(request, enough=1))
    with sky.connected() as server:
        taken = b""
        while len(taken) < len(request):
            select.select([sky.flights.fileno()], [], [], 0.01)
            sky.turn()
            taken += server.recv(1 << 20)
        assert taken == request
        server.sendall(b"!")
        outcome = sky.until_landed()
    assert (outcome.status, outcome.sent) == ("L7OK", request[:EXCERPT])


class Broken(Talker):
    """A dialogue with a bug."""

    def received(self, _data):
        raise RuntimeError("boom")


def test_a_bug_in_a_dialogue_costs_that_flight_only(sky, caplog):
    sky.launch(dialogue=Broken())
    server = sky.connected()
    sky.launch("other")
    with sky.connected() as other, caplog.at_level(logging.ERROR, "hapair.health"):
        server.sendall(b"x")
        other.sendall(GOOD)
        sky.until_landed(2)
    server.close()
    assert (sky.landed["t"].ok, sky.landed["t"].status) == (False, "SOCKERR")
    assert sky.landed["other"].ok
    assert "boom" in caplog.text


def test_an_abandoned_flight_never_lands_and_leaves_nothing(sky):
    before = descriptors()
    sky.launch()
    with sky.connected():
        sky.flights.abandon("t")
        sky.flights.abandon("never launched")
    assert sky.flights.next_timeout() == float("inf")
    sky.now += 100
    sky.turn()
    assert sky.landed == {}
    assert descriptors() == before


def test_what_cannot_be_connected_to_leaves_no_socket(sky, tmp_path):
    before = descriptors()
    sky.launch("absent", family=socket.AF_UNIX, address=str(tmp_path / "absent"))
    sky.launch("long", family=socket.AF_UNIX, address="/" + "x" * 200)
    sky.launch("broadcast", address=("255.255.255.255", 1))
    assert [(sky.landed[t].status, sky.landed[t].info) for t in ("absent",)] == [
        ("L4CON", "No such file or directory")
    ]
    assert {sky.landed[t].status for t in ("long", "broadcast")} <= {"SOCKERR", "L4CON"}
    assert descriptors() == before


def test_a_server_on_a_unix_socket_is_probed_too(sky, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sky.launch(family=socket.AF_UNIX, address=path, dialogue=TcpProbe())
        assert sky.until_landed().status == "L4OK"


def test_closing_abandons_everything(sky):
    before = descriptors()
    other = Sky()
    for index in range(20):
        other.launch(index)
    other.flights.close()
    other.listener.close()
    assert other.landed == {}
    assert descriptors() == before


def ping(sky: Sky, target: str, address: str) -> None:
    sky.flights.launch(
        target, PLAN, socket.AF_INET6 if ":" in address else socket.AF_INET, (address, 0), None, sky.now
    )


@pytest.mark.netns
def test_pings_share_a_socket_and_each_gets_its_own_answer(sky):
    """Needs NET_RAW or ping sockets."""
    before = descriptors()
    for index in range(100):
        ping(sky, f"four {index}", f"127.0.0.{index + 1}")
        ping(sky, f"six {index}", "::1")
    assert descriptors() == before + 2
    sky.now += 0.125
    sky.until_landed(200)
    assert {(outcome.status, outcome.duration) for outcome in sky.landed.values()} == {("L3OK", 0.125)}


@pytest.fixture
def alone():
    """Flights in a network of their own, where only loopback is."""
    namespace = Namespace()
    with namespace.entered():
        sky = Sky()
        yield sky, namespace
        sky.flights.close()
        sky.listener.close()
    namespace.close()


@pytest.mark.netns
def test_a_host_that_does_not_answer_pings_runs_out_of_time(alone):
    sky, namespace = alone
    namespace.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
    ping(sky, "t", "127.0.0.1")
    sky.now += 0.999
    sky.turn()
    assert sky.landed == {}
    sky.now += 0.001
    sky.turn()
    assert (sky.landed["t"].status, sky.landed["t"].duration) == ("L3TOUT", pytest.approx(1.0))


@pytest.mark.netns
def test_an_answer_that_comes_too_late_is_nobodys(alone):
    sky, _ = alone
    ping(sky, "t", "127.0.0.1")
    sky.flights.abandon("t")
    sky.launch("t")
    sky.wait_for_events()
    sky.turn()
    assert sky.landed == {}


@pytest.mark.netns
def test_an_address_without_a_route_is_unreachable_at_once(alone):
    sky, _ = alone
    ping(sky, "t", "192.0.2.1")
    assert (sky.landed["t"].status, sky.landed["t"].info) == ("L3CON", "Network is unreachable")
    assert sky.landed["t"].description == 'Layer3 unreachable, info: "Network is unreachable"'
