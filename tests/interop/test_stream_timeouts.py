"""Who is silent, half-closed or deaf in a stream, under which time-outs: both proxies end the same side.

Each conversation of the matrix goes through HAProxy and hapair, in TCP mode, through an upgraded connection
and through CONNECT.  What each end saw and when, how long the stream took, and the flags of its log line must
be the same.  Whether the very last a side sees is an end or a reset depends on what its kernel still had to
say; and hapair passes a server's reset on, which a HAProxy client takes for an end.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import socket

import attrs
import pytest
import trio
from app.node import running
from interop.haproxy import running as haproxy_running
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

S, M, L = 400, 900, 1400
"""Milliseconds: far enough from each other, and from each other's sums, to be told apart."""
TOLERANCE = 0.2
TALK = 1.2
"""Seconds that one who talks does so, before it falls silent."""
LAST = 6.0
"""Seconds after which a conversation is left alone."""
ATTEMPTS = 3
"""What differs is held again, with fewer others: a busy machine makes anybody late, but not each time."""

TIMEOUTS: dict[str, dict[str, int]] = {
    "client": {"client": S, "server": L},
    "server": {"client": L, "server": S},
    "equal": {"client": M, "server": M},
    "tunnel": {"client": S, "server": L, "tunnel": M},
    "client_fin": {"client": M, "server": L, "client_fin": S},
    "server_fin": {"client": L, "server": M, "server_fin": S},
    "server, client_fin": {"client": L, "server": M, "client_fin": S},
    "client, server_fin": {"client": M, "server": L, "server_fin": S},
    "tunnel, fins": {"client": S, "server": S, "tunnel": L, "client_fin": S, "server_fin": M},
    "long fins": {"client": S, "server": M, "client_fin": L, "server_fin": L},
}
PAIRS = [
    *itertools.product(("silent", "ends", "polite", "talks"), ("silent", "ends", "polite", "talks")),
    ("resets", "silent"),
    ("silent", "resets"),
]
PAIRS.remove(("talks", "talks"))
FLOODS = [
    ("deaf", "floods"),
    ("floods", "deaf"),
    ("deaf", "floods and ends"),
    ("floods and ends", "deaf"),
]
MODES = ("tcp", "upgrade", "connect")

BEGIN = {
    "tcp": "{path}\n\n",
    "upgrade": "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "connect": "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nX-Path: {path}\r\n\r\n",
}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


@attrs.define
class Ending:
    """How it was for one end: `eof`, `reset` or nothing, and when."""

    how: str = "nothing"
    at: float = 0.0


@attrs.define
class Seen:
    """A conversation, as it went."""

    client: Ending = attrs.Factory(Ending)
    server: Ending = attrs.Factory(Ending)
    flags: str = "no line"
    took: float = 0.0
    begun: float = 0.0


async def behave(stream: trio.SocketStream, how: str, ending: Ending, begun: float) -> None:
    """Be one end until the conversation is over."""

    async def speak() -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if how == "talks":
                for _ in range(int(TALK / 0.1)):
                    await trio.sleep(0.1)
                    await stream.send_all(b"t")
            elif how.startswith("floods"):
                if "ends" in how:
                    await stream.send_all(bytes(16_000_000))
                else:
                    while True:
                        await stream.send_all(bytes(65536))
            elif how == "ends":
                await trio.sleep(0.15)
            elif how == "resets":
                await trio.sleep(0.15)
                stream.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
                stream.socket.close()
            if "ends" in how:
                await stream.send_eof()

    async def hear() -> None:
        try:
            while await stream.receive_some(65536):
                pass
            ending.how = "eof"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            ending.how = "reset"
        ending.at = trio.current_time() - begun
        if how == "polite" or ending.how == "reset":
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        if how != "deaf":
            nursery.start_soon(hear)


class World:
    """All conversations through one proxy."""

    def __init__(self, ports: dict[tuple[str, str], int]) -> None:
        self.ports = ports
        self.seen: dict[tuple[str, str, str, str], Seen] = {}
        self.by_client: dict[tuple[str, str], Seen] = {}

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            head = b""
            while b"\n\n" not in head and b"\r\n\r\n" not in head:
                more = await stream.receive_some(4096)
                if not more:
                    return
                head += more
            if b"HTTP" in head:
                await stream.send_all(SWITCH if head.startswith(b"GET") else b"HTTP/1.1 200 OK\r\n\r\n")
            found = re.search(rb"/(\d+)/([a-z-]+)", head)
            assert found is not None, head
            seen = list(self.seen.values())[int(found[1])]
            await behave(stream, found[2].decode().replace("-", " "), seen.server, seen.begun)
            await trio.sleep_forever()

    async def ask(self, key: tuple[str, str, str, str], port: int, after: float) -> None:
        await trio.sleep(after)
        number = list(self.seen).index(key)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await self._ask(stream, key, number)

    async def _ask(self, stream: trio.SocketStream, key: tuple[str, str, str, str], number: int) -> None:
        mode, name, mine, theirs = key
        seen = self.seen[key]
        with trio.move_on_after(LAST):
            path = f"/{number}/{theirs.replace(' ', '-')}"
            # Two connections to different ports may come from the same one.
            frontend = list(self.ports).index((mode, name))
            self.by_client[str(stream.socket.getsockname()[1]), f"f{frontend}"] = seen
            seen.begun = trio.current_time()
            await stream.send_all(BEGIN[mode].format(path=path).encode())
            if mode != "tcp":
                said = await stream.receive_some(4096)
                if not said.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
                    seen.client.how = said.partition(b"\r\n")[0].decode()
                    return
            await behave(stream, mine, seen.client, seen.begun)
            await trio.sleep_forever()

    async def collect(self, sink: trio.socket.SocketType) -> None:
        while True:
            line = (await sink.recv(65536)).decode()
            found = re.search(r"127\.0\.0\.1:(\d+) \[[^]]*\] (f\d+) ", line)
            if found is None:
                continue
            seen = self.by_client[found[1], found[2]]
            timers = re.search(r"(?<= )[-\d]+(?:/[-\d]+)+(?= )", line)
            flags = re.search(r" ([-A-Za-z]{2})(?:--)? \d+/\d+/\d+/", line)
            assert timers is not None, line
            assert flags is not None, line
            seen.flags = flags[1]
            seen.took = int(timers[0].split("/")[-1]) / 1000


Key = tuple[str, str, str, str]
EVERY: list[Key] = [
    (mode, name, mine, theirs)
    for mode, name, (mine, theirs) in itertools.product(MODES, TIMEOUTS, PAIRS + FLOODS)
]


async def converse(
    ports: dict[tuple[str, str], int], server: int, log: int, keys: list[Key]
) -> dict[Key, Seen]:
    world = World(ports)
    world.seen = {key: Seen() for key in keys}
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        await sink.bind(("127.0.0.1", log))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.collect, sink)
            await nursery.start(functools.partial(trio.serve_tcp, world.serve, server, host="127.0.0.1"))
            for pairs, apart in ((PAIRS, 0.005), (FLOODS, 0.05)):
                async with trio.open_nursery() as clients:
                    for number, key in enumerate(key for key in world.seen if key[2:] in pairs):
                        clients.start_soon(world.ask, key, ports[key[:2]], number * apart)
            await trio.sleep(0.3)  # what is ended by their end has its line too
            nursery.cancel_scope.cancel()
    return world.seen


def ports() -> dict[tuple[str, str], int]:
    return {(mode, name): free_port() for mode in MODES for name in TIMEOUTS}


def haproxy_sections(places: dict[tuple[str, str], int], server: int, log: int) -> str:
    text = []
    for number, ((mode, name), port) in enumerate(places.items()):
        limits = TIMEOUTS[name]
        kind = "tcp" if mode == "tcp" else "http"
        text.append(f"""
frontend f{number}
 mode {kind}
 bind 127.0.0.1:{port}
 log 127.0.0.1:{log} local0
 option {kind}log
 default_backend b{number}
backend b{number}
 mode {kind}
 server s 127.0.0.1:{server}
""")
        front = "".join(
            f" timeout {key.replace('_', '-')} {limits[key]}ms\n"
            for key in ("client", "client_fin")
            if key in limits
        )
        back = "".join(
            f" timeout {key.replace('_', '-')} {limits[key]}ms\n"
            for key in ("server", "server_fin", "tunnel")
            if key in limits
        )
        text[-1] = text[-1].replace(f"backend b{number}\n mode", f"{front}backend b{number}\n{back} mode")
    return "".join(text)


def hapair_file(places: dict[tuple[str, str], int], server: int, log: int, folder: object) -> str:
    text = [
        f"""[node]
name = "test"
log = [{{ target = "127.0.0.1:{log}" }}, {{ target = "stdout" }}]
[api]
socket = "{folder}/api.sock"
"""
    ]
    for number, ((mode, name), port) in enumerate(places.items()):
        limits = TIMEOUTS[name]
        kind = "tcp" if mode == "tcp" else "http"
        front = ", ".join(f'{key} = "{limits[key]}ms"' for key in ("client", "client_fin") if key in limits)
        back = ", ".join(
            f'{key} = "{limits[key]}ms"' for key in ("server", "server_fin", "tunnel") if key in limits
        )
        text.append(f"""
[frontend.f{number}]
mode = "{kind}"
bind = "127.0.0.1:{port}"
log_format = "{kind}log"
timeout = {{ {front} }}
default_backend = "b{number}"
[backend.b{number}]
mode = "{kind}"
timeout = {{ connect = "2s", {back} }}
server.s = {{ address = "127.0.0.1:{server}" }}
""")
    return "".join(text)


def alike(key: tuple[str, str, str, str], one: Seen, other: Seen) -> bool:
    limits = TIMEOUTS[key[1]]
    if limits["client"] == limits["server"] and "tunnel" not in limits:
        # Who of two is the first to be late is a matter of a millisecond.
        same = one.flags.upper()[1] == other.flags.upper()[1]
    else:
        same = one.flags == other.flags
    if key[2] == "resets":
        same = same and one.server.how == other.server.how
    return same and all(
        (a.how == "nothing") == (b.how == "nothing") and abs(a.at - b.at) < TOLERANCE
        for a, b in (
            (one.client, other.client),
            (one.server, other.server),
            (Ending("", one.took), Ending("", other.took)),
        )
    )


def shown(seen: Seen) -> str:
    return (
        f"{seen.flags} after {seen.took:.1f}"
        f", client {seen.client.how} {seen.client.at:.1f}, server {seen.server.how} {seen.server.at:.1f}"
    )


def test_streams_end_as_in_haproxy(tmp_path):
    theirs, ours = ports(), ports()
    server, log = free_port(), free_port()
    config = tmp_path / "node.toml"
    config.write_text(hapair_file(ours, server, log, tmp_path))
    expected: dict[Key, Seen] = {}
    got: dict[Key, Seen] = {}
    different = EVERY
    with haproxy_running(tmp_path, haproxy_sections(theirs, server, log)), running(config):
        for _ in range(ATTEMPTS):
            expected |= trio.run(converse, theirs, server, log, different)
            got |= trio.run(converse, ours, server, log, different)
            different = [key for key in different if not alike(key, expected[key], got[key])]
            if not different:
                break
    assert not different, f"{len(different)} of {len(EVERY)} differ:\n" + "\n".join(
        f"{', '.join(key)}:\n  HAProxy {shown(expected[key])}\n  hapair  {shown(got[key])}"
        for key in different
    )
