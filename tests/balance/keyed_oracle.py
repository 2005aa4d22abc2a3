"""Plays the scenarios of `keyed` on the real HAProxy, which believes a PROXY header about who asks."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))

from balance.keyed import KINDS, LETTERS, Scenario, head  # noqa: E402  # above: to be run as a program
from balance.keyed import scenario as make  # noqa: E402
from interop.haproxy import Haproxy, running  # noqa: E402


class Server:
    """Says its letter; a request whose header Hold names a number waits until that is freed."""

    def __init__(self, letter: str, path: Path) -> None:
        self.letter = letter
        self.holding: dict[str, threading.Event] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                data = client.recv(65536)
                if not data:
                    return
                request += data
            for line in request.decode().lower().split("\r\n"):
                if line.startswith("hold: "):
                    freed = self.holding[line[6:]] = threading.Event()
                    freed.wait(10)
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n" + self.letter.encode()
            )

    def end(self) -> None:
        for freed in self.holding.values():
            freed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def play(scenario: Scenario, folder: Path) -> str:
    """The servers that HAProxy chooses."""
    servers = [Server(LETTERS[i], folder / f"{LETTERS[i]}.sock") for i in range(len(scenario["servers"]))]
    lines = "".join(
        f"  server {server.letter} unix@{folder}/{server.letter}.sock id {one['id']} weight {one['weight']}"
        f"{' backup' if one['backup'] else ''}\n"
        for server, one in zip(servers, scenario["servers"], strict=True)
    )
    sections = (
        f"listen l\n  bind unix@{folder}/front.sock accept-proxy\n  balance {scenario['balance']}\n"
        f"  hash-type {scenario['hash_type']}\n  hash-balance-factor {scenario['factor']}\n"
        f"  option httpclose\n{'  option allbackups' if scenario['allbackups'] else ''}\n{lines}"
    )
    try:
        with running(folder, sections) as haproxy:
            return "".join(_play(scenario, haproxy, servers, folder / "front.sock"))
    finally:
        for server in servers:
            server.end()


def _play(scenario: Scenario, haproxy: Haproxy, servers: list[Server], front: Path) -> Iterator[str]:
    held: dict[int, tuple[socket.socket, Server]] = {}
    try:
        for step in scenario["steps"]:
            match step:
                case ["ask", target, source, key]:
                    with _send(front, source, head(target, key)) as sock:
                        yield _answer(sock)
                case ["hold", number, target, source, key]:
                    text = head(target, key)[:-2] + f"Hold: {number}\r\n\r\n"
                    sock = _send(front, source, text)
                    server = _holder(servers, str(number))
                    held[number] = sock, server
                    yield server.letter
                case ["free", number]:
                    sock, server = held.pop(number)
                    server.holding[str(number)].set()
                    with sock:
                        _answer(sock)
                case ["weight", index, weight]:
                    _order(haproxy, f"set weight l/{LETTERS[index]} {weight}")
                case ["maint" | "ready" as state, index]:
                    _order(haproxy, f"set server l/{LETTERS[index]} state {state}")
    finally:
        for sock, _ in held.values():
            sock.close()


def _order(haproxy: Haproxy, command: str) -> None:
    answer = haproxy.command(command)
    assert not answer.strip(), f"{command}: {answer}"


def _send(front: Path, source: str, request: str) -> socket.socket:
    family = "TCP6" if ":" in source else "TCP4"
    here = "::1" if ":" in source else "127.0.0.1"
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(front))
    sock.sendall(f"PROXY {family} {source} {here} 1000 80\r\n{request}".encode())
    return sock


def _answer(sock: socket.socket) -> str:
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer[-1:].decode() if answer.startswith(b"HTTP/1.1 200 ") else "-"


def _holder(servers: list[Server], number: str) -> Server:
    until = time.monotonic() + 10
    waits = threading.Event()
    while time.monotonic() < until:
        for server in servers:
            if number in server.holding:
                return server
        waits.wait(0.002)
    raise AssertionError("no server got the request that was to be held")


GOLDEN = Path(__file__).with_name("golden_keyed.json")
EACH = 5
"""Recorded scenarios of each kind."""


def main() -> None:
    """Record what the unit tests expect: `python tests/balance/keyed_oracle.py`."""
    recorded = []
    for kind in KINDS:
        chance = random.Random(f"2026 {kind}")
        for _ in range(EACH):
            scenario = make(kind, chance)
            with tempfile.TemporaryDirectory() as folder:
                recorded.append({"kind": kind, **scenario, "order": play(scenario, Path(folder))})
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in recorded)
    GOLDEN.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
