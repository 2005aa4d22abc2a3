"""A daemon of its own under load: large bodies, many clients, slow ones, storms, no descriptors left.

What it costs is read from /proc, so the daemon is a process beside the test.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from app.node import Daemon, running
from ports import free_port

KIB, MIB = 1024, 1024 * 1024
BLOCK = bytes(i * i % 251 for i in range(MIB))
ABORT = struct.pack("ii", 1, 0)

CONFIG = """
[node]
name = "limits"
maxconn = 5000

[defaults]
mode = "http"
timeout = {{ http_request = "60s", connect = "5s", client = "60s", server = "60s", http_keep_alive = "60s" }}

[frontend.fe]
bind = ["127.0.0.1:{port}"]
maxconn = 5000
default_backend = "be"

[backend.be]
server.s1 = {{ address = "127.0.0.1:{server}" }}
"""


class Reader:
    """A blocking socket, read by marks and counts."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(MIB)
            if not data:
                return b""
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    def body(self, count: int) -> Iterator[bytes]:
        while count > 0:
            data, self.buffer = self.buffer[:count], self.buffer[count:]
            if not data:
                data = self.sock.recv(min(count, MIB))
                assert data, f"{count} bytes are missing"
            count -= len(data)
            yield data

    def chunks(self) -> Iterator[bytes]:
        while size := int(self._line(), 16):
            yield from self.body(size)
            assert self._line() == b""
        assert self._line() == b""

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            assert data
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line


def number(head: bytes, name: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return int(value)
    return None


def blocks(count: int) -> Iterator[bytes]:
    for _ in range(count // MIB):
        yield BLOCK
    if count % MIB:
        yield BLOCK[: count % MIB]


def send_body(sock: socket.socket, count: int, *, chunked: bool) -> None:
    for block in blocks(count):
        if chunked:
            sock.sendall(b"%x\r\n" % len(block))
        sock.sendall(block)
        if chunked:
            sock.sendall(b"\r\n")
    if chunked:
        sock.sendall(b"0\r\n\r\n")


def checksum(pieces: Iterator[bytes]) -> tuple[int, int]:
    total = crc = 0
    for piece in pieces:
        total += len(piece)
        crc = zlib.crc32(piece, crc)
    return total, crc


def framing(count: int, *, chunked: bool) -> bytes:
    return b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % count


def serve(sock: socket.socket) -> None:
    """Answers with the checksum of the body, or with as many bytes as X-Want asks for."""
    reader = Reader(sock)
    while head := reader.head():
        chunked = b"chunked" in head.lower()
        pieces = reader.chunks() if chunked else reader.body(number(head, b"content-length") or 0)
        total, crc = checksum(pieces)
        want = number(head, b"x-want")
        if want is None:
            answer = b"%d %d" % (total, crc)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        else:
            sock.sendall(
                b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing(want, chunked=b"x-chunks" in head.lower())
            )
            send_body(sock, want, chunked=b"x-chunks" in head.lower())


@contextlib.contextmanager
def server(handle: Callable[[socket.socket], None] = serve) -> Iterator[int]:
    """Threads that serve until the block ends; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    ended = threading.Event()

    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(ConnectionError):
            handle(sock)

    def accept() -> None:
        while not ended.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@attrs.frozen
class Node:
    daemon: Daemon
    port: int

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(60)
        return sock

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.daemon.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))  # noqa: PTH208 - names are enough

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, sock: socket.socket) -> None:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        reader = Reader(sock)
        assert reader.head().startswith(b"HTTP/1.1 200 ")
        assert checksum(reader.body(3))[0] == 3  # "0 0"


@contextlib.contextmanager
def node(folder: Path, handle: Callable[[socket.socket], None] = serve) -> Iterator[Node]:
    with server(handle) as behind:
        port = free_port()
        config = folder / "node.toml"
        config.write_text(CONFIG.format(port=port, server=behind))
        with running(config) as daemon:
            yield Node(daemon, port)


def upload(node: Node, count: int, *, chunked: bool) -> None:
    with node.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % framing(count, chunked=chunked))
        send_body(sock, count, chunked=chunked)
        reader = Reader(sock)
        length = number(reader.head(), b"content-length") or 0
        assert b"".join(reader.body(length)) == b"%d %d" % checksum(blocks(count))


def download(node: Node, count: int, *, chunked: bool) -> None:
    with node.connect() as sock:
        extra = b"X-Chunks: 1\r\n" if chunked else b""
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n%bX-Want: %d\r\n\r\n" % (extra, count))
        reader = Reader(sock)
        head = reader.head()
        assert (b"chunked" in head) is chunked
        assert checksum(reader.chunks() if chunked else reader.body(count)) == checksum(blocks(count))


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_a_mebibyte_pass_both_ways(tmp_path: Path, chunked: bool) -> None:
    with node(tmp_path) as running_node:
        for count in (0, 1, MIB - 1, MIB, MIB + 1):
            upload(running_node, count, chunked=chunked)
            download(running_node, count, chunked=chunked)


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_a_gibibyte_passes_both_ways_in_constant_memory(tmp_path: Path, chunked: bool) -> None:
    with node(tmp_path) as running_node:
        upload(running_node, MIB, chunked=chunked)
        before = running_node.memory()
        for transfer in (upload, download):
            began = time.monotonic()
            transfer(running_node, 1024 * MIB, chunked=chunked)
            assert time.monotonic() - began < 30
        assert running_node.memory() - before < 4 * MIB


@pytest.mark.slow
def test_two_thousand_keep_alive_clients_at_once(tmp_path: Path) -> None:
    """Under 8 kB of our memory each, idle; a new request among them is not delayed."""
    with node(tmp_path) as running_node, contextlib.ExitStack() as stack:
        for _ in range(50):
            with running_node.connect() as warm:
                running_node.ask(warm)
        before = running_node.memory()
        clients = [stack.enter_context(running_node.connect()) for _ in range(2000)]
        for client in clients:
            running_node.ask(client)
        each = (running_node.memory() - before) / len(clients)
        assert each < 8 * KIB
        times = []
        for client in clients[::20]:
            began = time.monotonic()
            running_node.ask(client)
            times.append(time.monotonic() - began)
        assert sorted(times)[-2] < 0.05


@pytest.mark.slow
def test_clients_that_read_nothing_cost_bounded_memory(tmp_path: Path) -> None:
    """100 downloads of 16 MiB that nobody reads: at most 128 kB each, and it does not grow."""
    with node(tmp_path) as running_node, contextlib.ExitStack() as stack:
        download(running_node, MIB, chunked=False)
        before = running_node.memory()
        for _ in range(100):
            sock = stack.enter_context(running_node.connect())
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-Want: %d\r\n\r\n" % (16 * MIB))
        until_still(running_node)
        used = running_node.memory() - before
        assert used < 100 * 128 * KIB
        with running_node.connect() as other:
            running_node.ask(other)
        assert running_node.memory() - before < used + MIB


@pytest.mark.slow
def test_servers_that_read_nothing_cost_bounded_memory(tmp_path: Path) -> None:
    """100 uploads that the server never reads: at most 128 kB each."""
    stop = threading.Event()

    def deaf(sock: socket.socket) -> None:
        del sock
        stop.wait(60)

    with node(tmp_path, deaf) as running_node, contextlib.ExitStack() as stack:
        stack.callback(stop.set)
        before = running_node.memory()
        for _ in range(100):
            sock = stack.enter_context(running_node.connect())
            sock.setblocking(False)
            sock.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            fill(sock)
        until_still(running_node)
        assert running_node.memory() - before < 100 * 128 * KIB


@pytest.mark.slow
def test_a_storm_of_resets_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    with node(tmp_path) as running_node:
        with running_node.connect() as sock:
            running_node.ask(sock)
        until_still(running_node)
        before = running_node.descriptors()
        for i in range(20_000):
            sock = running_node.connect()
            if i % 3:
                sock.sendall((b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[i % 2])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            sock.close()
        until_still(running_node)
        assert running_node.descriptors() <= before
        with running_node.connect() as sock:
            running_node.ask(sock)


@pytest.mark.slow
def test_without_descriptors_it_waits_instead_of_spinning_and_recovers(tmp_path: Path) -> None:
    with node(tmp_path) as running_node:
        with running_node.connect() as sock:
            running_node.ask(sock)
        limit = running_node.descriptors() + 8
        resource.prlimit(running_node.daemon.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(running_node.connect())
            before = running_node.cpu()
            time.sleep(1)  # the measure is CPU per second
            assert running_node.cpu() - before < 0.2
        began = time.monotonic()
        with running_node.connect() as sock:
            running_node.ask(sock)
        # Those who waited are accepted first, and there may be none left for the server for a moment.
        assert time.monotonic() - began < 1


def fill(sock: socket.socket) -> None:
    """Send until nothing more is taken."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(BLOCK)


def until_still(running_node: Node) -> None:
    """Until the daemon has nothing to do."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        before = running_node.cpu()
        time.sleep(0.2)  # a window of time is what is measured
        if running_node.cpu() - before < 0.02:
            return
    raise AssertionError("it never comes to rest")
