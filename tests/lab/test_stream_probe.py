"""The streams' client: right is only what is right to the last byte."""

import contextlib
import socket
import threading
import zlib

import pytest

from lab import bodies
from lab.stream_probe import BrokenError, Streams, WrongError

LENGTH, OFFSET = 100_000, 40_000
BODY = b"".join(bodies.pieces(OFFSET + LENGTH, OFFSET))


@contextlib.contextmanager
def server(answer: bytes):
    """The other end: takes the request (uploads to their end), then sends `answer` and ends."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def serve():
        with theirs:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += theirs.recv(65536)
            if asked.startswith(b"POST"):
                left = LENGTH - len(asked.partition(b"\r\n\r\n")[2])
                while left:
                    left -= len(theirs.recv(65536))
            # Who has seen enough goes before the end.
            with contextlib.suppress(BrokenPipeError):
                theirs.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        yield ours
    thread.join()


def download(body: bytes, *, status: int = 200, length: int = LENGTH) -> int:
    went = [0]
    with server(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, length, body)) as sock:
        Streams("192.0.2.100", 80)._download(sock, LENGTH, OFFSET, went)
    return went[0]


def upload(fields: str, monkeypatch, *, status: int = 200) -> None:
    monkeypatch.setattr("lab.stream_probe.PAUSE", 0)
    with server(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{fields}\r\n".encode()) as sock:
        Streams("192.0.2.100", 80)._upload(sock, LENGTH, OFFSET, [0])


def test_a_whole_body_is_right():
    assert download(BODY) == LENGTH


@pytest.mark.parametrize("at", [0, 39_999, LENGTH - 1])
def test_one_bent_byte_is_wrong(at):
    bent = bytearray(BODY)
    bent[at] ^= 1
    with pytest.raises(WrongError):
        download(bytes(bent))


def test_a_wrong_byte_is_wrong_also_when_the_stream_breaks_after_it():
    with pytest.raises(WrongError):
        download(BODY[:5000] + b"?")


def test_bytes_of_another_stream_are_wrong():
    other = b"".join(bodies.pieces(OFFSET + 1 + LENGTH, OFFSET + 1))
    with pytest.raises(WrongError):
        download(BODY[:5000] + other[5000:])


def test_an_early_end_and_an_error_break_it_for_everybody_to_see():
    with pytest.raises(BrokenError):
        download(BODY[:-1])
    with pytest.raises(BrokenError):
        download(b"", status=503)


def test_another_length_is_wrong():
    with pytest.raises(WrongError):
        download(BODY[:-1], length=LENGTH - 1)


def test_an_upload_is_right_when_the_server_had_every_byte(monkeypatch):
    upload(f"X-Body-Length: {LENGTH}\r\nX-Body-Crc32: {zlib.crc32(BODY):08x}\r\n", monkeypatch)
    with pytest.raises(WrongError):
        upload(f"X-Body-Length: {LENGTH}\r\nX-Body-Crc32: {zlib.crc32(BODY) ^ 1:08x}\r\n", monkeypatch)
    with pytest.raises(BrokenError):
        upload("", monkeypatch, status=502)
