"""The three witnesses outside the load balancers: who is served, who holds the VIP, who answers ARP.

Law: a witness records and never judges (`verdicts` does).  All times are
`time.monotonic()`: CLOCK_MONOTONIC is one clock for every namespace.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import time
from bisect import bisect_left
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import trio

from lab.namespaces import NetNamespace
from lab.processes import LabError, Machine
from lab.topology import INTERFACE, IPAddress
from lab.verdicts import Holding, Request, Stream

_NETNS_LAB = str(Path(__file__).parent.parent)
_KEPT_REQUESTS = 400_000
_KEPT_STREAMS = 20_000
LIBRARY = {"PYTHONPATH": _NETNS_LAB}
"""Environment in which `python -m lab.something` works."""


class RequestProber:
    """A fresh TCP connection and request every `interval` seconds, from the client's machine."""

    def __init__(
        self,
        machine: Machine,
        address: IPAddress,
        port: int = 80,
        *,
        interval: float = 0.002,
        timeout: float = 0.5,
    ) -> None:
        self.requests: list[Request] = []
        """In the order in which they ended; the oldest are forgotten after some minutes."""
        self.timeout = timeout
        """Seconds after which a request has failed."""
        self._machine = machine
        self._words = [str(address), str(port), str(interval * 1000), str(timeout * 1000)]

    def recent(self, since: float) -> list[Request]:
        """Those that ended after `since`, and the last success before: its gap begins there."""
        at = bisect_left(self.requests, since, key=lambda request: request.end)
        while at > 0 and not self.requests[at - 1].ok:
            at -= 1
        return self.requests[max(0, at - 1) :]

    async def run(self) -> None:
        words = [sys.executable, "-m", "lab.probe", *self._words]
        process = await self._machine.spawn(words, name="probe", env=LIBRARY)
        process.on_line = self._record
        await process.wait()
        raise LabError(f"the prober has ended:\n{process.tail()}")

    def _record(self, line: str) -> None:
        if len(self.requests) >= _KEPT_REQUESTS:
            del self.requests[: _KEPT_REQUESTS // 2]
        start, end, outcome = line.split(" ", 2)
        if outcome.startswith("!"):
            self.requests.append(Request(float(start), float(end), error=outcome[1:]))
        else:
            backend, via = outcome.split("/")
            self.requests.append(Request(float(start), float(end), backend=backend, via=via))


class StreamProber:
    """Two downloads and two uploads at any time, of bytes that are known."""

    def __init__(self, machine: Machine, address: IPAddress, seed: int = 1) -> None:
        self.streams: list[Stream] = []
        """In the order in which they ended; the oldest are forgotten after hours."""
        self._machine = machine
        self._words = [str(address), "80", str(seed)]

    async def run(self) -> None:
        words = [sys.executable, "-m", "lab.stream_probe", *self._words]
        process = await self._machine.spawn(words, name="streams", env=LIBRARY)
        process.on_line = self._record
        await process.wait()
        raise LabError(f"the streams have ended:\n{process.tail()}")

    def _record(self, line: str) -> None:
        start, end, kind, length, outcome = line.split(" ", 4)
        error = None if outcome == "right" else outcome
        self.streams.append(Stream(float(start), float(end), kind, int(length), error))
        del self.streams[:-_KEPT_STREAMS]


class AdvertWitness:
    """Hears multicast adverts of one family on a machine that takes no part in the election."""

    def __init__(self, namespace: NetNamespace, version: int = 4) -> None:
        self.heard: dict[str, float] = {}
        """Source address -> when its last advert came."""
        self._news = trio.Condition()
        protocol, at = (_ETH_P_IP, 9) if version == 4 else (_ETH_P_IPV6, 6)
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._source = slice(12, 16) if version == 4 else slice(8, 24)
        with namespace.entered():
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(protocol)
            )
            _attach_filter(self._socket, at)
            self._socket.bind((INTERFACE, protocol))

    async def run(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                packet = self._socket.recv(2048)
                self.heard[socket.inet_ntop(self._family, packet[self._source])] = time.monotonic()
                async with self._news:
                    self._news.notify_all()
        finally:
            self._socket.close()

    async def next_from(self, source: str) -> float:
        """When the next advert of `source` came."""
        async with self._news:
            before = self.heard.get(source)
            while self.heard.get(source) == before:
                await self._news.wait()
        return self.heard[source]


class VipSampler:
    """Looks every 10 ms which machines have the VIP, by netlink in each of their namespaces."""

    def __init__(self, machines: Mapping[str, NetNamespace], vip: IPAddress, every: float = 0.01) -> None:
        self.holdings: list[Holding] = []
        """One for each change, the first for the state at the start."""
        self._every = every
        self._pattern = (_IFA_LOCAL if vip.version == 4 else _IFA_ADDRESS_6) + vip.packed
        self._question = _dump(socket.AF_INET if vip.version == 4 else socket.AF_INET6)
        self._sockets: dict[str, socket.socket] = {}
        for name, namespace in machines.items():
            with namespace.entered():
                self._sockets[name] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    @property
    def holders(self) -> frozenset[str]:
        """Who had the VIP at the last look."""
        return self.holdings[-1].holders if self.holdings else frozenset()

    def look(self) -> None:
        """Sample once."""
        now = time.monotonic()
        holders = frozenset(
            name for name, sock in self._sockets.items() if self._pattern in _addresses(sock, self._question)
        )
        if not self.holdings or self.holdings[-1].holders != holders:
            self.holdings.append(Holding(now, holders))

    async def run(self) -> None:
        due = trio.current_time()
        try:
            while True:
                self.look()
                due = max(due + self._every, trio.current_time())
                await trio.sleep_until(due)
        finally:
            for sock in self._sockets.values():
                sock.close()


_IFA_LOCAL = struct.pack("=HH", 8, 2)
_IFA_ADDRESS_6 = struct.pack("=HH", 20, 1)
_NLMSG_DONE, _RTM_GETADDR = 3, 22


def _dump(family: int) -> bytes:
    return struct.pack("=LHHLL", 24, _RTM_GETADDR, 0x301, 1, 0) + struct.pack("=BBBBL", family, 0, 0, 0, 0)


def _addresses(sock: socket.socket, question: bytes) -> bytes:
    """The raw answer to RTM_GETADDR; some 20 µs, where a parsed one would take 1 ms."""
    sock.send(question)
    answer = b""
    while True:
        part = sock.recv(65536)
        answer += part
        # A dump ends with a message of its own, which comes alone or last.
        offset = 0
        while offset < len(part):
            length, kind = struct.unpack_from("=LH", part, offset)
            if kind == _NLMSG_DONE:
                return answer
            offset += (length + 3) & ~3


async def who_has(namespace: NetNamespace, vip: IPAddress, own: IPAddress, *, wait: float = 0.1) -> set[str]:
    """Ask "who has the VIP?" and return the MAC addresses that answer within `wait` seconds.

    More than one is a split brain that clients can see.  `own` is an address of the one that asks.
    """
    match vip, own:
        case IPv4Address(), IPv4Address():
            return await ask_arp(namespace, vip, own, wait=wait)
        case IPv6Address(), IPv6Address():
            return await ask_ndp(namespace, vip, own, wait=wait)
        case _:
            raise LabError(f"{own} cannot ask for {vip}")


async def ask_arp(
    namespace: NetNamespace, vip: IPv4Address, own: IPv4Address, *, wait: float = 0.1
) -> set[str]:
    """The same by ARP."""
    with namespace.entered():
        sock = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ARP)
        )
        sock.bind((INTERFACE, _ETH_P_ARP))
    answers: set[str] = set()
    with sock:
        mac: bytes = sock.getsockname()[4]
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, own.packed, bytes(6), vip.packed)
        sock.send(b"\xff" * 6 + mac + struct.pack("!H", _ETH_P_ARP) + arp)
        with trio.move_on_after(wait):
            while True:
                await trio.lowlevel.wait_readable(sock)
                frame = sock.recv(2048)
                operation, sender, address = struct.unpack_from("!H6s4s", frame, 20)
                if operation == 2 and address == vip.packed:
                    answers.add(sender.hex(":"))
    return answers


async def ask_ndp(
    namespace: NetNamespace, vip: IPv6Address, own: IPv6Address, *, wait: float = 0.1
) -> set[str]:
    """The same by neighbour solicitation (RFC 4861 section 4.3)."""
    with namespace.entered():
        sock = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_IPV6)
        )
        sock.bind((INTERFACE, _ETH_P_IPV6))
    answers: set[str] = set()
    with sock:
        mac: bytes = sock.getsockname()[4]
        sock.send(_solicitation(mac, own, vip))
        with trio.move_on_after(wait):
            while True:
                await trio.lowlevel.wait_readable(sock)
                frame = sock.recv(2048)
                if frame[20] == _ICMPV6 and frame[54] == 136 and frame[62:78] == vip.packed:
                    answers.add(frame[6:12].hex(":"))
    return answers


def _solicitation(mac: bytes, own: IPv6Address, vip: IPv6Address) -> bytes:
    group = IPv6Address("ff02::1:ff00:0").packed[:13] + vip.packed[13:]
    option = b"\x01\x01" + mac

    def message(checksum: int) -> bytes:
        return struct.pack("!BBHI16s", 135, 0, checksum, 0, vip.packed) + option

    length = len(message(0))
    summed = own.packed + group + struct.pack("!II", length, _ICMPV6) + message(0)
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header = struct.pack("!IHBB16s16s", 6 << 28, length, _ICMPV6, 255, own.packed, group)
    ethernet = b"\x33\x33" + group[12:] + mac + struct.pack("!H", _ETH_P_IPV6)
    return ethernet + header + message(~total & 0xFFFF)


def _attach_filter(sock: socket.socket, protocol_at: int) -> None:
    """Let only VRRP through: the client's own traffic is thousands of packets a second."""
    load_protocol, jump_if_equal, accept = 0x30, 0x15, 0x06
    program = (
        (load_protocol, 0, 0, protocol_at),
        (jump_if_equal, 0, 1, _VRRP),
        (accept, 0, 0, 0xFFFF),
        (accept, 0, 0, 0),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBL", *line) for line in program))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
    )


_ETH_P_IP = 0x0800
_VRRP = 112
_SO_ATTACH_FILTER = 26
_ETH_P_ARP = 0x0806
_ETH_P_IPV6 = 0x86DD
_ICMPV6 = 58


async def fetch(namespace: NetNamespace, address: IPAddress, path: str) -> tuple[int, dict[str, str], bytes]:
    """GET one small resource from inside `namespace`: status, header fields (lower-case), body.

    Raises:
        LabError: no answer within 5 s.
        OSError: no connection.
    """
    family, host = (
        (socket.AF_INET, f"{address}") if address.version == 4 else (socket.AF_INET6, f"[{address}]")
    )
    with namespace.entered():
        sock = trio.socket.socket(family)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hapair-lab\r\nConnection: close\r\n\r\n"
    with trio.move_on_after(5), sock:
        await sock.connect((str(address), 80))
        await sock.send(request.encode())
        answer = b""
        while part := await sock.recv(65536):
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return int(status_line.split(" ")[1]), fields, body
    raise LabError(f"no answer from {address}{path}")
