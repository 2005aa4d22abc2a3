"""The guard while workers serve on: whom it believes, and when a VIP goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_interface

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import ChecksumForm, VrrpInstance
from hapair.kernel import guard_child
from hapair.vrrp import wire
from hapair.vrrp.guard import dialect_of, plan, relief

INSTANCE = VrrpInstance("web", "eth0", 51, (ip_interface("192.0.2.100/24"),))
WAYS = {
    "version 3": (INSTANCE, IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    "unicast": (
        attrs.evolve(INSTANCE, unicast_peers=(IPv4Address("192.0.2.2"),)),
        IPv4Address("192.0.2.1"),
        IPv4Address("192.0.2.2"),
    ),
    "version 2": (
        attrs.evolve(INSTANCE, version=2, auth_pass="secret"),
        IPv4Address("192.0.2.1"),
        IPv4Address("192.0.2.2"),
    ),
    "IPv6": (
        attrs.evolve(INSTANCE, addresses=(ip_interface("fe80::100/64"),)),
        IPv6Address("fe80::1"),
        IPv6Address("fe80::2"),
    ),
}


def advert(instance, source, destination, priority=100, form=ChecksumForm.AUTO):
    return wire.encode(
        vrid=instance.virtual_router_id,
        priority=priority,
        interval=instance.advert_interval,
        addresses=tuple(vip.ip for vip in instance.addresses),
        source=source,
        destination=destination,
        form=form,
        dialect=dialect_of(instance),
    )


def goodbye_and_destination(instance, us):
    made = plan(instance, ifindex=1, source=us, requests=(), form=ChecksumForm.AUTO)
    destination = wire.group_of(us) if instance.multicasts else us
    return made.packets[0], destination


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", [ChecksumForm.PSEUDO, ChecksumForm.RFC9568])
def test_an_advert_of_the_peer_is_one_of_a_master(way, form):
    instance, us, peer = WAYS[way]
    goodbye, destination = goodbye_and_destination(instance, us)
    payload = advert(instance, peer, destination, form=form)
    assert guard_child.is_master((peer.packed, destination.packed, 255, payload), goodbye)


@pytest.mark.parametrize("way", WAYS)
def test_a_goodbye_our_own_advert_and_one_from_afar_are_not(way):
    instance, us, peer = WAYS[way]
    goodbye, destination = goodbye_and_destination(instance, us)
    resigned = advert(instance, peer, destination, priority=0)
    assert not guard_child.is_master((peer.packed, destination.packed, 255, resigned), goodbye)
    own = advert(instance, us, destination)
    assert not guard_child.is_master((us.packed, destination.packed, 255, own), goodbye)
    routed = advert(instance, peer, destination)
    assert not guard_child.is_master((peer.packed, destination.packed, 254, routed), goodbye)


@given(
    way=st.sampled_from(sorted(WAYS)),
    changes=st.lists(st.tuples(st.integers(0, 35), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 4),
    stranger=st.booleans(),
    ttl=st.sampled_from([255, 255, 255, 64]),
)
def test_it_believes_nothing_that_hapair_would_not(way, changes, cut, stranger, ttl):
    instance, us, peer = WAYS[way]
    goodbye, destination = goodbye_and_destination(instance, us)
    source = peer + 5 if stranger else peer
    payload = bytearray(advert(instance, source, destination))
    for at, value in changes:
        payload[at % len(payload)] = value
    del payload[len(payload) - 2 * cut :]
    judged = wire.decode(
        wire.Packet(source, destination, ttl, bytes(payload)),
        wire.Expected(
            51,
            us,
            frozenset(instance.unicast_peers),
            multicast=instance.multicasts,
            dialect=dialect_of(instance),
        ),
    )
    believed = guard_child.is_master((source.packed, destination.packed, ttl, bytes(payload)), goodbye)
    assert believed == (isinstance(judged, wire.Advert) and judged.priority > 0)


def test_a_pair_without_a_skew_time_is_relieved_in_no_time():
    assert relief(attrs.evolve(INSTANCE, skew=False)) == pytest.approx(0.05)
    assert relief(INSTANCE) == pytest.approx(1.05)
    assert relief(attrs.evolve(INSTANCE, advert_interval=30.0)) == pytest.approx(1.05), "less than a lifetime"


class Ears:
    """Hears what the test says."""

    def __init__(self) -> None:
        self.mouth, self._ear = socket.socketpair()
        self._ear.setblocking(False)

    def close(self) -> None:
        self.mouth.close()
        self._ear.close()

    def filenos(self):
        return {self._ear.fileno()}

    def join(self, records):
        pass

    def hear(self):
        instance, us, peer = WAYS["version 3"]
        _, destination = goodbye_and_destination(instance, us)
        try:
            priorities = self._ear.recv(100)
        except BlockingIOError:
            return []
        return [
            (7, (peer.packed, destination.packed, 255, advert(instance, peer, destination, priority)))
            for priority in priorities
        ]


class Striker:
    """Notes what would be done to the kernel, and to the network."""

    def __init__(self, note) -> None:
        self._note = note

    def delete(self, records):
        assert records
        self._note("deleted")

    def say_goodbye(self, records):
        assert records
        self._note("goodbye")

    def strike(self, plans):
        for records in plans.values():
            self.delete(records)
            self.say_goodbye(records)


class Relief:
    """A Reliever without a kernel, and one worker, which does what it hears."""

    def __init__(self) -> None:
        self.did: list[tuple[float, str]] = []
        self.ears = Ears()
        self.hapair, hapair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.leash, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(["sleep", "60"])
        self.pidfd = os.pidfd_open(self.process.pid)
        self.workers = guard_child.Workers([(worker.detach(), self.pidfd)])
        self.reliever = guard_child.Reliever(Striker(self._note), self.ears, self.workers, hapair)
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()
        self._guards_end = hapair

    def _note(self, what: str) -> None:
        self.did.append((time.monotonic(), what))

    def _serve(self) -> None:
        while message := self.leash.recv(1000):
            self._note(f"reset {message.decode()}")
            self.leash.send(guard_child.GATES_CLOSED)

    def relieve(self, limit: float) -> float:
        """Returns the seconds from the goodbye until the VIP was gone."""
        instance, us, _ = WAYS["version 3"]
        goodbye, _ = goodbye_and_destination(instance, us)
        told = guard_child.MILLISECONDS.pack(round(limit * 1000)) + b"192.0.2.100"
        self.reliever.relieve({b"web": [(b"N", 7, b"x"), (b"I", 7, goodbye), (b"V", 7, told)]})
        times = {what: when for when, what in self.did}
        return times["deleted"] - times["goodbye"]

    @property
    def order(self) -> list[str]:
        return [what for _, what in self.did]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.workers.end()
        self._serving.join()
        self.ears.close()
        for sock in (self.hapair, self._guards_end, self.leash):
            sock.close()


@pytest.fixture
def world():
    made = Relief()
    yield made
    made.close()


SERVED_ON = ["goodbye", "reset 192.0.2.100", "deleted"]


def later(seconds: float, act, *arguments) -> None:
    threading.Timer(seconds, act, arguments).start()


def test_the_vip_goes_when_the_peer_is_heard_and_its_sessions_are_reset(world):
    world.hapair.close()
    later(0.05, world.ears.mouth.send, bytes([0, 100]))
    assert 0.04 < world.relieve(5) < 2
    assert world.order == SERVED_ON


def test_a_peer_that_says_goodbye_too_relieves_nobody(world):
    world.hapair.close()
    world.ears.mouth.send(bytes([0]))
    assert 0.19 < world.relieve(0.2) < 2
    assert world.order == SERVED_ON


def test_a_peer_that_was_heard_already_is_not_waited_for(world):
    world.hapair.close()
    world.ears.mouth.send(bytes([100]))
    assert world.relieve(5) < 1


def test_a_process_that_wakes_up_finds_the_vip_gone_at_once(world):
    later(0.05, world.hapair.send, guard_child.HEARTBEAT)
    assert 0.04 < world.relieve(5) < 2
    assert world.order == SERVED_ON


def test_a_worker_that_dies_takes_the_vip_with_it(world):
    world.hapair.close()
    later(0.05, world.process.kill)
    assert 0.04 < world.relieve(5) < 2


def test_without_a_worker_the_vip_goes_before_the_goodbye(world):
    world.hapair.close()
    world.process.kill()
    world.process.wait()
    world.relieve(5)
    assert world.order == ["deleted", "goodbye"]


def test_a_worker_that_does_not_end_is_killed(world, monkeypatch):
    monkeypatch.setattr(guard_child, "END_TIMEOUT", 0.05)
    os.kill(world.process.pid, signal.SIGSTOP)
    world.workers.end()
    assert world.process.wait(5) == -signal.SIGKILL
