"""The guard: a small process that takes the VIPs away when hapair is dead or frozen.

Run by path under `python -I -S`, so it must not import hapair or anything outside
the standard library; the less it loads the sooner it watches.  It knows nothing of
VRRP: it plays ready-made bytes back (vrrp/guard.py makes them).

Descriptor 0 is a SOCK_SEQPACKET pair with hapair.  Every message is one packet:

    hapair -> guard   H                     heartbeat
                      P name plan           replaces the plan of that name
                      R name                forgets it
    guard -> hapair   G                     ready
                      S                     struck: sent *before* the first VIP goes, so that a
                                            process that wakes up cannot miss it

name is one length byte and that many bytes; a plan is a sequence of records, each
kind (N netlink request, I IP packet), interface index, length, and the bytes.

End of file: hapair is dead: play every plan, then end.  No message for the time
given as the first argument (seconds): hapair is frozen: play them, forget them, stay.
"""

from __future__ import annotations

import errno
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

HEARTBEAT, PLAN, RELEASE = b"H", b"P", b"R"
READY, STRUCK = b"G", b"S"
NETLINK, PACKET = b"N", b"I"
RECORD = struct.Struct("=cIH")
LARGEST = 1 << 20

_IP_PKTINFO = 8
_DESTINATION = slice(16, 20)
_DESTINATION6 = slice(24, 40)

Record = tuple[bytes, int, bytes]


def parse(message: bytes) -> tuple[bytes, bytes, list[Record]]:
    """Return kind, name and records of a message from hapair."""
    kind = message[:1]
    if kind == HEARTBEAT:
        return kind, b"", []
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

    def strike(self, plans: dict[bytes, list[Record]]) -> None:
        """Delete every VIP of every instance, then say goodbye for each."""
        records = [record for plan in plans.values() for record in plan]
        for kind, _, data in records:
            if kind == NETLINK:
                self._attempt(self._netlink.send, data)
        for kind, ifindex, data in records:
            if kind == PACKET:
                self._attempt(self._send, ifindex, data)

    def _send(self, ifindex: int, packet: bytes) -> None:
        if packet[0] >> 4 == 6:
            if self._raw6 is not None:
                destination = socket.inet_ntop(socket.AF_INET6, packet[_DESTINATION6])
                self._raw6.sendto(packet, (destination, 0, 0, ifindex))
            return
        out_of = struct.pack("=i8x", ifindex)
        destination = socket.inet_ntoa(packet[_DESTINATION])
        self._raw.sendmsg([packet], [(socket.IPPROTO_IP, _IP_PKTINFO, out_of)], 0, (destination, 0))

    @staticmethod
    def _attempt(call: Callable[..., object], *arguments: object) -> None:
        """Whatever fails, the rest of the plan still matters; there is nobody left to tell but stderr."""
        try:
            call(*arguments)
        except OSError as error:
            sys.stderr.write(f"hapair guard: {error}\n")


def watch(hapair: socket.socket, patience: float, striker: Striker) -> None:
    """Keep the newest plans until hapair is dead; strike whenever it is silent for `patience` seconds."""
    plans: dict[bytes, list[Record]] = {}
    poll = select.poll()
    poll.register(hapair, select.POLLIN)
    _tell(hapair, READY)
    while True:
        if not poll.poll(patience * 1000):
            if plans:
                _tell(hapair, STRUCK)
                striker.strike(plans)
                plans.clear()
            continue
        try:
            message = hapair.recv(LARGEST)
        except ConnectionResetError:  # it died with a message of ours unread
            message = b""
        if not message:
            striker.strike(plans)
            return
        kind, name, records = parse(message)
        if kind == PLAN:
            plans[name] = records
        elif kind == RELEASE:
            plans.pop(name, None)


def _tell(hapair: socket.socket, message: bytes) -> None:
    """It may have died this very moment: what it needs then is not to be told, but done."""
    try:
        hapair.send(message)
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
    watch(socket.socket(fileno=0), float(sys.argv[1]), Striker())


if __name__ == "__main__":
    main()
