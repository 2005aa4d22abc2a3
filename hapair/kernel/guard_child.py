"""The guard: a small process that takes the VIPs away when hapair is dead or frozen.

Run by path under `python -I -S`, so it must not import hapair or anything outside
the standard library; the less it loads the sooner it watches.  It knows nothing of
VRRP: it plays ready-made bytes back (vrrp/guard.py makes them).

Descriptor 0 is a SOCK_SEQPACKET pair with hapair.  Every message is one packet:

    hapair -> guard   H                     heartbeat
                      P name plan           replaces the plan of that name
                      R name                forgets it
                      T seconds             how long a silence it takes for a freeze from now on
                      E                     hapair ends, and has done what it could: play every plan now
    guard -> hapair   G                     ready
                      A                     alive, for each heartbeat
                      S                     struck: sent *before* the first VIP goes, so that a
                                            process that wakes up cannot miss it

name is one length byte and that many bytes; a plan is a sequence of records, each
kind (N netlink request, F nfnetlink batch, I IP packet, V relief), interface index, length, and the bytes.

End of file: hapair is dead: play every plan, then end.  No message for the time
given as the first argument (seconds), or by a T: hapair is frozen: play them, forget them, stay.

All in one file, since it can import none of its neighbours.

Relief: with workers, each given as a further argument leash:pidfd, those serve on while
hapair cannot.  The goodbye of a plan that has a V record (milliseconds and the VIPs) is sent
first, and the VIPs are taken away when another MASTER is heard, or after that time at the
latest; before that the workers have reset what runs on them.  Whatever is in doubt (no worker
is left, hapair wakes up, somebody else was heard already) means at once, as without workers.

Longer than most files: it is read by path, and cannot import a second one.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

HEARTBEAT, PLAN, RELEASE, END, PATIENCE = b"H", b"P", b"R", b"E", b"T"
READY, ALIVE, STRUCK = b"G", b"A", b"S"
GATES_CLOSED = b"D"
NETLINK, FILTER, PACKET, RELIEF = b"N", b"F", b"I", b"V"
NETFILTER = 12
RECORD = struct.Struct("=cIH")
MILLISECONDS = struct.Struct("=I")
SECONDS = struct.Struct("=d")
RESET_TIMEOUT = 0.02
END_TIMEOUT = 0.5
"""Seconds that workers may take to reset their sessions, and to end."""
VRRP = 112
LARGEST = 1 << 20

_IP_PKTINFO = 8
_IP_MULTICAST_ALL = 49
_DESTINATION = slice(16, 20)
_DESTINATION6 = slice(24, 40)

Record = tuple[bytes, int, bytes]


def parse(message: bytes) -> tuple[bytes, bytes, list[Record]]:
    """Return kind, name (or the seconds of a PATIENCE) and records of a message from hapair."""
    kind = message[:1]
    if kind in (HEARTBEAT, END, PATIENCE):
        return kind, message[1:], []
    at = 2 + message[1]
    name = message[2:at]
    records = []
    while at < len(message):
        what, ifindex, length = RECORD.unpack_from(message, at)
        at += RECORD.size
        records.append((what, ifindex, message[at : at + length]))
        at += length
    return kind, name, records


class Striker:
    """The sockets, opened before they are needed: later there may be no descriptor, no memory, no right."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._netlink.setblocking(False)
        self._netfilter: socket.socket | None = None
        try:
            self._netfilter = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
            self._netfilter.setblocking(False)
        except OSError as error:
            if error.errno != errno.EPROTONOSUPPORT:  # a kernel without nftables has no tables of ours
                raise
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._raw.setblocking(False)
        self._raw6: socket.socket | None = None
        try:
            self._raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._raw6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            self._raw6.setblocking(False)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:  # a kernel without IPv6 has no such VIPs
                raise

    def learn(self, records: list[Record]) -> None:
        """A plan has come: nothing else has to be prepared."""

    def pass_time(self) -> None:
        """hapair is well."""

    def relieve(self, plans: dict[bytes, list[Record]]) -> None:
        """hapair is dead or frozen, and nobody else serves here."""
        self.strike(plans)

    def strike(self, plans: dict[bytes, list[Record]]) -> None:
        """Delete every VIP of every instance, then say goodbye for each."""
        records = [record for plan in plans.values() for record in plan]
        self.delete(records)
        self.say_goodbye(records)

    def delete(self, records: list[Record]) -> None:
        for kind, _, data in records:
            if kind == NETLINK:
                attempt(self._netlink.send, data)
            elif kind == FILTER and self._netfilter is not None:
                attempt(self._netfilter.send, data)

    def say_goodbye(self, records: list[Record]) -> None:
        for kind, ifindex, data in records:
            if kind == PACKET:
                attempt(self._send, ifindex, data)

    def _send(self, ifindex: int, packet: bytes) -> None:
        if packet[0] >> 4 == 6:
            if self._raw6 is not None:
                destination = socket.inet_ntop(socket.AF_INET6, packet[_DESTINATION6])
                self._raw6.sendto(packet, (destination, 0, 0, ifindex))
            return
        out_of = struct.pack("=i8x", ifindex)
        destination = socket.inet_ntoa(packet[_DESTINATION])
        self._raw.sendmsg([packet], [(socket.IPPROTO_IP, _IP_PKTINFO, out_of)], 0, (destination, 0))


def attempt(call: Callable[..., object], *arguments: object) -> None:
    """Whatever fails, the rest of the plan still matters; there is nobody left to tell but stderr."""
    try:
        call(*arguments)
    except OSError as error:
        sys.stderr.write(f"hapair guard: {error}\n")


class Ears:
    """Hears who else is MASTER.  Without them (no IPv6, no membership) it is only later that a VIP goes."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._joined: set[tuple[int, int]] = set()
        attempt(self._open4)
        attempt(self._open6)

    def _open4(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, VRRP)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        self._sockets[4] = sock

    def _open6(self) -> None:
        try:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, VRRP)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:  # a kernel without IPv6 has no such VIPs
                return
            raise
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self._sockets[6] = sock

    def filenos(self) -> set[int]:
        return {sock.fileno() for sock in self._sockets.values()}

    def join(self, records: list[Record]) -> None:
        """Receive what is sent to where our own goodbye goes."""
        for kind, ifindex, packet in records:
            if kind != PACKET:
                continue
            version = packet[0] >> 4
            if (version, ifindex) in self._joined or version not in self._sockets:
                continue
            sock = self._sockets[version]
            if version == 6 and packet[24] == 0xFF:
                request = packet[_DESTINATION6] + struct.pack("=I", ifindex)
                attempt(sock.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            elif version == 4 and packet[16] >> 4 == 0xE:
                request = packet[_DESTINATION] + struct.pack("=4xI", ifindex)
                attempt(sock.setsockopt, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            self._joined.add((version, ifindex))

    def hear(self) -> list[tuple[int, Heard]]:
        """All that has come since the last time, with the interface."""
        found = []
        for version, sock in self._sockets.items():
            while True:
                try:
                    data, ancillary, _, sender = sock.recvmsg(2048, 256)
                except BlockingIOError:
                    break
                except OSError as error:  # what the network reports, one at a time
                    sys.stderr.write(f"hapair guard: {error}\n")
                    break
                values = {(level, kind): value for level, kind, value in ancillary}
                found.append(_heard4(data, values) if version == 4 else _heard6(data, values, sender[0]))
        return found


Heard = tuple[bytes, bytes, int, bytes]
"""Source, destination, TTL or hop limit, payload."""
Ancillary = dict[tuple[int, int], bytes]


def _heard4(data: bytes, values: Ancillary) -> tuple[int, Heard]:
    (ifindex,) = struct.unpack_from("=I", values.get((socket.IPPROTO_IP, _IP_PKTINFO), bytes(4)))
    return ifindex, (data[12:16], data[16:20], data[8], data[(data[0] & 15) * 4 :])


def _heard6(data: bytes, values: Ancillary, sender: str) -> tuple[int, Heard]:
    info = values.get((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO), bytes(20))
    (limit,) = struct.unpack("=i", values.get((socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT), bytes(4)))
    source = socket.inet_pton(socket.AF_INET6, sender.partition("%")[0])
    (ifindex,) = struct.unpack_from("=I", info, 16)
    return ifindex, (source, info[:16], limit, data)


def is_master(heard: Heard, goodbye: bytes) -> bool:
    """Whether another station says that it is MASTER of the router that our goodbye was for.

    As strict as hapair.vrrp.wire, which cannot be imported here; all that it compares with is in
    the goodbye.  Only the networks of the interface are not known.
    """
    source, destination, ttl, payload = heard
    six = goodbye[0] >> 4 == 6
    us, to, said = (
        (goodbye[8:24], goodbye[24:40], goodbye[40:])
        if six
        else (goodbye[12:16], goodbye[16:20], goodbye[20:])
    )
    if len(source) != len(us) or source == us or ttl != 255:
        return False
    if six and to[0] == 0xFF:
        wanted = destination == to and source[0] == 0xFE and source[1] >> 6 == 2
    elif not six and to[0] >> 4 == 0xE:
        wanted = destination == to and source[0] not in (0, 127) and source[0] < 224
    else:
        wanted = (source, destination) == (to, us)
    if not wanted or len(payload) < 8 or payload[:2] != said[:2] or not payload[2] or not payload[3]:
        return False
    end = 8 + len(us) * payload[3]
    if said[0] >> 4 == 2:
        if len(payload) != end + 8 or payload[4:6] != said[4:6] or (said[4] and payload[end:] != said[-8:]):
            return False
        return _sum(payload) == 0xFFFF
    interval, ours = ((message[4] & 15) << 8 | message[5] for message in (payload, said))
    if len(payload) != end or not 0 < interval <= 100 * ours:
        return False
    form, fields = ("!xxHxxxB", (end, VRRP)) if six else ("!BBH", (0, VRRP, end))
    pseudo = source + destination + struct.pack(form, *fields)
    return _sum(pseudo + payload) == 0xFFFF or (not six and _sum(payload) == 0xFFFF)


def _sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Workers:
    """The other processes of the node, as far as the guard has to do with them."""

    def __init__(self, lines: Sequence[tuple[int, int]]) -> None:
        self._lines = [(socket.socket(fileno=leash), pidfd) for leash, pidfd in lines]
        for leash, _ in self._lines:
            leash.setblocking(False)

    def pidfds(self) -> list[int]:
        return [pidfd for _, pidfd in self._lines]

    def serve(self) -> bool:
        """Whether there are any, and all of them live."""
        return bool(self._lines) and not any(_readable(pidfd, 0) for pidfd in self.pidfds())

    def reset(self, addresses: bytes) -> None:
        """Have them reset what runs on these addresses; they close their gates as well."""
        told = []
        for leash, _ in self._lines:
            with suppress(OSError):  # dead, or stuck: the address goes all the same
                leash.send(addresses)
                told.append(leash)
        until = time.monotonic() + RESET_TIMEOUT
        for leash in told:
            if _readable(leash.fileno(), until - time.monotonic()):
                with suppress(OSError):
                    leash.recv(16)

    def end(self) -> None:
        """Let them go, for there is nobody left to hold them; who does not is killed."""
        for leash, _ in self._lines:
            leash.close()
        until = time.monotonic() + END_TIMEOUT
        for _, pidfd in self._lines:
            if not _readable(pidfd, until - time.monotonic()):
                attempt(signal.pidfd_send_signal, pidfd, signal.SIGKILL)
            os.close(pidfd)
        self._lines.clear()


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


class Reliever:
    """In the place of a Striker when there are workers: strikes when somebody else serves."""

    def __init__(self, striker: Striker, ears: Ears, workers: Workers, hapair: socket.socket) -> None:
        self.strike = striker.strike
        self._striker = striker
        self._hapair = hapair
        self._ears = ears
        self._workers = workers

    def learn(self, records: list[Record]) -> None:
        """What an instance will need."""
        self._ears.join(records)
        self._ears.hear()

    def pass_time(self) -> None:
        """hapair is well: what was heard until now is its business."""
        self._ears.hear()

    def relieve(self, plans: dict[bytes, list[Record]]) -> None:
        """Say goodbye, and delete the VIPs of each instance when another MASTER of it is heard."""
        now = time.monotonic()
        left = {name: now + limit for name, plan in plans.items() if (limit := _limit(plan))}
        if not self._workers.serve():
            left.clear()
        self.strike({name: plan for name, plan in plans.items() if name not in left})
        for name in left:
            self._striker.say_goodbye(plans[name])
        poll = select.poll()
        ears = self._ears.filenos()
        for fd in ears:
            poll.register(fd, select.POLLIN)
        for pidfd in self._workers.pidfds():
            poll.register(pidfd, select.POLLIN)
        if self._is_frozen():
            poll.register(self._hapair, select.POLLIN)
        while left:
            heard = self._ears.hear()
            now = time.monotonic()
            for name in [name for name in left if left[name] <= now or _relieved(plans[name], heard)]:
                self._part(plans[name])
                del left[name]
            if not left:
                return
            ready = {fd for fd, _ in poll.poll((min(left.values()) - now) * 1000 + 1)}
            if not ready <= ears:  # a worker has died, or hapair is back: no more waiting
                left = dict.fromkeys(left, now)

    def _part(self, plan: list[Record]) -> None:
        for kind, _, data in plan:
            if kind == RELIEF:
                self._workers.reset(data[MILLISECONDS.size :])
        self._striker.delete(plan)

    def _is_frozen(self) -> bool:
        """Or dead."""
        try:
            return bool(self._hapair.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False


def _limit(plan: list[Record]) -> float:
    """Seconds that its VIPs may stay; 0 without workers."""
    for kind, _, data in plan:
        if kind == RELIEF:
            return float(MILLISECONDS.unpack_from(data)[0]) / 1000
    return 0.0


def _relieved(plan: list[Record], heard: list[tuple[int, Heard]]) -> bool:
    return any(
        kind == PACKET and index == ifindex and is_master(what, data)
        for kind, ifindex, data in plan
        for index, what in heard
    )


def watch(hapair: socket.socket, patience: float, striker: Striker | Reliever) -> None:
    """Keep the newest plans until hapair is dead; strike whenever it is silent for `patience` seconds."""
    plans: dict[bytes, list[Record]] = {}
    poll = select.poll()
    poll.register(hapair, select.POLLIN)
    _tell(hapair, READY)
    while True:
        if not poll.poll(patience * 1000):
            if plans:
                _tell(hapair, STRUCK)
                striker.relieve(plans)
                plans.clear()
            continue
        try:
            message = hapair.recv(LARGEST)
        except ConnectionResetError:  # it has left a message of ours unread; its last ones still come
            continue
        if not message:
            striker.relieve(plans)
            return
        striker.pass_time()
        kind, name, records = parse(message)
        if kind == HEARTBEAT:
            _tell(hapair, ALIVE)
        elif kind == PLAN:
            plans[name] = records
            striker.learn(records)
        elif kind == END:
            striker.strike(plans)
            plans.clear()
        elif kind == RELEASE:
            plans.pop(name, None)
        elif kind == PATIENCE:
            (patience,) = SECONDS.unpack(name)


def _tell(hapair: socket.socket, message: bytes) -> None:
    """It may have died this very moment: what it needs then is not to be told, but done.

    Never waits: it reads after every heartbeat, so that what is unread cannot fill the buffer.
    """
    try:
        hapair.send(message, socket.MSG_DONTWAIT)
    except OSError:
        return


def main() -> None:
    # A stop is for hapair, which then releases its plans and closes the pipe.
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        signal.signal(number, signal.SIG_IGN)
    try:
        striker = Striker()
    except OSError as error:
        sys.exit(f"hapair guard: its sockets cannot be opened: {error.strerror}")
    hapair, patience = socket.socket(fileno=0), float(sys.argv[1])
    if len(sys.argv) == 2:
        watch(hapair, patience, striker)
        return
    lines = [argument.partition(":") for argument in sys.argv[2:]]
    workers = Workers([(int(leash), int(pidfd)) for leash, _, pidfd in lines])
    watch(hapair, patience, Reliever(striker, Ears(), workers, hapair))
    workers.end()


if __name__ == "__main__":
    main()
