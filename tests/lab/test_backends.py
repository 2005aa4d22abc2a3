"""The backends speak HTTP/1.1 and tell the truth about bodies."""

import http.client
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from lab import bodies

NETNS_LAB = Path(__file__).parents[2] / "netns-lab"


@pytest.fixture(scope="module")
def backend():
    words = [sys.executable, "-m", "lab.backends", "web1", "127.0.0.1", "0"]
    with subprocess.Popen(words, cwd=NETNS_LAB, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline().removeprefix(b"ready on port "))
        process.kill()


@pytest.fixture
def connection(backend):
    client = http.client.HTTPConnection("127.0.0.1", backend, timeout=5)
    yield client
    client.close()


def test_it_names_itself_and_its_client_on_one_connection_again_and_again(connection):
    for _ in range(3):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read() == b"web1\n"
        assert (answer.headers["X-Backend"], answer.headers["X-Peer"]) == ("web1", "127.0.0.1")


@pytest.mark.parametrize("path", ["/bytes", "/chunked"])
@pytest.mark.parametrize("length", [0, 1, 1_000_000])
def test_a_generated_body_has_the_checksum_it_announces(connection, path, length):
    connection.request("GET", f"{path}?n={length}")
    answer = connection.getresponse()
    body = answer.read()
    assert len(body) == length
    assert f"{zlib.crc32(body):08x}" == answer.headers["X-Body-Crc32"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_posted_body_is_answered_with_its_checksum(connection, chunked):
    body = b"".join(bodies.pieces(200_000))
    parts = iter([body[:10], body[10:150_000], body[150_000:]]) if chunked else body
    connection.request("POST", "/", parts, encode_chunked=chunked)
    answer = connection.getresponse()
    answer.read()
    assert answer.headers["X-Body-Length"] == "200000"
    assert answer.headers["X-Body-Crc32"] == f"{zlib.crc32(body):08x}"


def test_a_head_request_gets_no_body(connection):
    for path in ("/", "/bytes?n=10"):
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")


def test_a_slow_answer_comes_when_it_should(connection):
    connection.request("GET", "/slow?ms=50")
    assert connection.getresponse().read() == b"slow\n"


def test_what_is_not_http_gets_a_400(connection):
    connection.connect()
    connection.sock.sendall(b"nonsense\r\n\r\n")
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_paced_body_is_a_part_of_the_known_one_and_takes_its_time(connection):
    start = time.monotonic()
    connection.request("GET", "/paced?n=20000&from=60000")
    answer = connection.getresponse()
    assert answer.read() == b"".join(bodies.pieces(80_000, 60_000))
    assert time.monotonic() - start > 0.06
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"web1\n"
