"""Plays scenarios on the real HAProxy.  `python tests/balance/oracle.py` records golden_orders.json."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))

from balance.scenarios import KINDS, LETTERS, Scenario  # noqa: E402  # above: to be run as a program
from interop.haproxy import Haproxy, running  # noqa: E402

GOLDEN = Path(__file__).with_name("golden_orders.json")
EACH = 25
"""Recorded scenarios of each kind."""
SEED = 2026


class Server:
    """A server on a unix socket that says its letter; /hold waits until it is told to go on."""

    def __init__(self, letter: str, path: Path) -> None:
        self.letter = letter
        self._path = path
        self._go_on = threading.Event()
        self.holds = threading.Event()
        self._listen()

    def _listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        self._socket.listen(64)
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                data = client.recv(65536)
                if not data:
                    return
                request += data
            if request.startswith(b"GET /hold "):
                self.holds.set()
                self._go_on.wait(10)
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n" + self.letter.encode()
            )

    def free(self) -> None:
        self.holds.clear()
        self._go_on.set()
        self._go_on = threading.Event()

    def refuse(self) -> None:
        """Stay bound but do not listen: connections are refused."""
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept, too
        self._socket.close()
        self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))

    def revive(self) -> None:
        self._socket.close()
        self._listen()

    def end(self) -> None:
        self.free()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def play(scenario: Scenario, folder: Path) -> str:
    """The order that HAProxy gives."""
    weights = scenario["weights"]
    servers = [Server(LETTERS[i], folder / f"{LETTERS[i]}.sock") for i in range(len(weights))]
    limit = " maxconn 1" if scenario["maxconn"] else ""
    lines = "".join(
        f"  server {server.letter} unix@{folder}/{server.letter}.sock weight {weight}{limit}\n"
        for server, weight in zip(servers, weights, strict=True)
    )
    sections = (
        f"listen l\n  bind unix@{folder}/front.sock\n  balance roundrobin\n"
        f"  option redispatch 1\n  retries 1\n{lines}"
    )
    try:
        with running(folder, sections) as haproxy:
            return "".join(_Player(haproxy, servers, folder / "front.sock").play(scenario["steps"]))
    finally:
        for server in servers:
            server.end()


class _Player:
    def __init__(self, haproxy: Haproxy, servers: list[Server], front: Path) -> None:
        self._haproxy = haproxy
        self._servers = servers
        self._front = front
        self._held: dict[int, socket.socket] = {}
        self._dead: set[int] = set()

    def play(self, steps: list[list[Any]]) -> Iterator[str]:
        try:
            for step in steps:
                yield from self._step(step)
        finally:
            for sock in self._held.values():
                sock.close()

    def _step(self, step: list[Any]) -> Iterator[str]:
        match step:
            case ["pick", count]:
                for _ in range(count):
                    with self._send("/") as sock:
                        yield self._answer(sock)
            case ["hold"]:
                sock = self._send("/hold")
                index = self._holder()
                self._held[index] = sock
                yield LETTERS[index]
            case ["free", index]:
                # Held by another server than was expected: the orders differ already.
                if index in self._held:
                    self._servers[index].free()
                    with self._held.pop(index) as sock:
                        self._answer(sock)
            case ["weight", index, weight]:
                self._order(f"set weight l/{LETTERS[index]} {weight}")
            case ["maint" | "ready" as state, index]:
                self._order(f"set server l/{LETTERS[index]} state {state}")
            case ["dead", index]:
                if index not in self._dead:
                    self._dead.add(index)
                    self._servers[index].refuse()
            case ["alive", index]:
                if index in self._dead:
                    self._dead.remove(index)
                    self._servers[index].revive()

    def _order(self, command: str) -> None:
        answer = self._haproxy.command(command)
        assert not answer.strip(), f"{command}: {answer}"

    def _send(self, path: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(str(self._front))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return sock

    @staticmethod
    def _answer(sock: socket.socket) -> str:
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer[-1:].decode() if answer.startswith(b"HTTP/1.1 200 ") else "-"

    def _holder(self) -> int:
        waits = threading.Event()
        for _ in range(2000):
            for index, server in enumerate(self._servers):
                if index not in self._held and server.holds.is_set():
                    return index
            waits.wait(0.005)
        raise AssertionError("no server got the request that was to be held")


def main() -> None:
    """Record the orders that the unit tests expect."""
    chance = random.Random(SEED)
    recorded = []
    for kind, make in KINDS.items():
        for _ in range(EACH):
            scenario = make(chance)
            with tempfile.TemporaryDirectory() as folder:
                recorded.append({"kind": kind, **scenario, "order": play(scenario, Path(folder))})
    lines = ",\n".join(json.dumps(scenario, separators=(",", ":")) for scenario in recorded)
    GOLDEN.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
