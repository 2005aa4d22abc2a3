"""Thousands of clients that do nothing: the memory of each, and what they cost those who do something.

    python bench/idle.py [--connections 9800] [--rounds 5] [--seconds 2]

Keep-alive clients make one request each and stay.  Slowloris clients begin a request and send a header line
from time to time, for ever; meanwhile an honest client (bench/open_loop.py) measures its latency.  hapair
compiled and plain, and HAProxy, one at a time.  The table is appended to bench/last.md.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import throughput

REQUEST = b"GET /index.php HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
RATE = 1000
"""Requests a second of the honest client."""
BATCH = 200
"""Connections that are opened before their answers are read: fewer than any backlog."""


def memory(pid: int) -> int:
    """Bytes of a process that are its own or its share of common ones (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)


@contextlib.contextmanager
def clients(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has said this and read the answer to it, if there is one."""
    with contextlib.ExitStack() as stack:
        made: list[socket.socket] = []
        while len(made) < count:
            batch = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                for _ in range(min(BATCH, count - len(made)))
            ]
            for sock in batch:
                sock.sendall(said)
            if said.endswith(b"\r\n\r\n"):
                for sock in batch:
                    answer = b""
                    while not answer.endswith(b"proxy\n"):
                        piece = sock.recv(65536)
                        if not piece:
                            sys.exit(f"port {port}: closed instead of answered")
                        answer += piece
            made += batch
        yield made


def tail(port: int, seconds: float, rounds: int) -> float:
    """The 99th percentile in microseconds: the median of some runs."""
    return statistics.median(throughput.latency(port, RATE, seconds)[1] for _ in range(rounds))


def measured(pid: int, port: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """(bytes for each idle connection, p99 in µs without and with slow clients)."""
    with clients(port, BATCH, REQUEST):
        pass  # what is made once (pools, caches, a larger heap) is nobody's share
    alone = tail(port, options.seconds, options.rounds)
    before = memory(pid)
    with clients(port, options.connections, REQUEST):
        each = (memory(pid) - before) / options.connections
    time.sleep(1)  # until the proxy has closed them all
    with clients(port, options.connections, b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n") as slow:
        among = []
        for number in range(options.rounds):
            for sock in slow:
                sock.sendall(b"X-%d: more\r\n" % number)
            among.append(throughput.latency(port, RATE, options.seconds)[1])
    return each, alone, statistics.median(among)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=9800)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < options.connections * 1.1:
        sys.exit(f"only {most} descriptors for {options.connections} connections (ulimit -Hn)")
    found: dict[str, tuple[float, float, float]] = {}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        throughput.prepare(Path(directory), patience="10m", maxconn=options.connections + 100)
        stack.enter_context(throughput.syslog())
        stack.enter_context(
            throughput.started(["nginx", "-c", f"{directory}/server.conf"], throughput.SERVER)
        )
        for name, command, port in throughput.contenders(Path(directory)):
            if name != "nginx":
                with throughput.started(command, port) as pid:
                    found[name] = measured(pid, port, options)
    report(found, options)


def report(found: dict[str, tuple[float, float, float]], options: argparse.Namespace) -> None:
    count = f"{options.connections:,}"
    head = f"{count} idle connections | KiB for each | HAProxy = 1"
    slow = f"p99 µs of an honest client | among {count} slow ones | moves by"
    lines = ["", f"| {head} | {slow} |", "|---|---|---|---|---|---|"]
    reference = found["haproxy"][0]
    for name, (each, alone, among) in found.items():
        lines.append(
            f"| {name} | {each / 1024:.1f} | {each / reference:.2f} | {alone:.0f} | {among:.0f} "
            f"| {among / alone - 1:+.0%} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    with Path(__file__).with_name("last.md").open("a") as file:
        file.write(text)


if __name__ == "__main__":
    main()
