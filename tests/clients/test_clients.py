"""Clients as people use them, each judging by its own parser."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import h11
import pytest
import websocket
from clients.conftest import Site

pytestmark = [pytest.mark.interop, pytest.mark.slow]

FIREFOX = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "DNT": "1",
    "Sec-GPC": "1",
    "Connection": "keep-alive",
    "Referer": "http://127.0.0.1/?a=b&c=%C3%A4",
    "Cookie": '_ga=GA1.1.1; consent={"a":1}; SERVERID=w1; theme="dark"; empty=',
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-User": "?1",
    "If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT",
    "Priority": "u=0, i",
    "TE": "trailers",
}


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done


# -- curl ------------------------------------------------------------------------------------------


def test_curl_gets_a_page_and_its_cookie(site: Site) -> None:
    out = curl("-i", site.url("/hello.html")).stdout
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"set-cookie: SERVERID=w1; path=/" in head
    assert body == (site.www / "hello.html").read_bytes()


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl_in_every_version(site: Site, version: str) -> None:
    """With --http2 it offers `Upgrade: h2c`, which must not travel on."""
    assert curl(version, site.url("/hello.html")).stdout == (site.www / "hello.html").read_bytes()


def test_curl_downloads_resumes_and_asks_for_heads(site: Site) -> None:
    whole = (site.www / "large.bin").read_bytes()
    assert curl(site.url("/large.bin")).stdout == whole
    assert curl("-r", "1000000-1000099", site.url("/large.bin")).stdout == whole[1000000:1000100]
    assert f"content-length: {len(whole)}".encode() in curl("-I", site.url("/large.bin")).stdout.lower()


def test_curl_gets_compressed_chunks(site: Site) -> None:
    out = curl("-i", "--raw", "-H", "Accept-Encoding: gzip", site.url("/hello.html")).stdout
    assert b"transfer-encoding: chunked" in out.lower()
    assert curl("--compressed", site.url("/hello.html")).stdout == (site.www / "hello.html").read_bytes()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("page", ["hello.html", "large.bin"])
def test_curl_decodes_what_we_compress(site: Site, tmp_path: Path, coding: str, page: str) -> None:
    head = tmp_path / "head"
    out = curl(
        "--compressed",
        "-D",
        str(head),
        "-H",
        f"Accept-Encoding: {coding}",
        f"http://127.0.0.1:{site.packed}/{page}",
    )
    assert f"content-encoding: {coding}".encode() in head.read_bytes().lower()
    assert out.stdout == (site.www / page).read_bytes()


@pytest.mark.parametrize(
    "how", [("-H", "Expect: 100-continue"), ("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked")]
)
def test_curl_uploads(site: Site, how: tuple[str, ...]) -> None:
    site.uploaded.unlink(missing_ok=True)
    curl("-T", str(site.www / "large.bin"), *how, site.url("/upload"))
    assert site.uploaded.read_bytes() == (site.www / "large.bin").read_bytes()


def test_curl_follows_a_redirect_on_one_connection(site: Site) -> None:
    out = curl("-L", "-w", "%{num_connects} %{num_redirects}", "-o", "/dev/null", site.url("/moved")).stdout
    assert out == b"1 1"


def test_curl_reuses_its_connection(site: Site) -> None:
    url = site.url("/hello.html")
    out = curl(
        "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", url, url, url
    )
    assert out.stdout == b"1 0 0 "


def test_curl_in_parallel(site: Site, tmp_path: Path) -> None:
    url = site.url("/large.bin")
    curl("-Z", "--parallel-max", "8", *[a for i in range(8) for a in ("-o", str(tmp_path / str(i)), url)])
    whole = (site.www / "large.bin").read_bytes()
    assert all((tmp_path / str(i)).read_bytes() == whole for i in range(8))


# -- wrk ---------------------------------------------------------------------------------------------


def test_wrk_finds_no_error(site: Site) -> None:
    out = subprocess.run(
        ["wrk", "-t1", "-c50", "-d2s", site.url("/hello.html")], capture_output=True, text=True, timeout=30
    ).stdout
    served = re.search(r"(\d+) requests in", out)
    assert served is not None, out
    assert int(served[1]) > 500
    assert "Non-2xx" not in out
    assert "Socket errors" not in out


# -- Python --------------------------------------------------------------------------------------------


def test_http_client_keeps_its_connection_through_everything(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.connect()
    sock = connection.sock
    for method, path, status in [
        ("GET", "/hello.html", 200),
        ("HEAD", "/large.bin", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/hello.html", 405),
        ("GET", "/large.bin", 200),
        ("OPTIONS", "/hello.html", 405),
    ]:
        connection.request(method, path, body=b"a body" if method == "POST" else None)
        response = connection.getresponse()
        assert response.status == status
        body = response.read()
        assert (len(body) > 0) is (method != "HEAD")
        assert connection.sock is sock, "the connection was lost"
    connection.close()


def test_http_client_sends_chunks(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("PUT", "/upload", body=(b"x" * 1000 for _ in range(100)), encode_chunked=True)
    assert connection.getresponse().status in (201, 204)
    connection.close()
    assert site.uploaded.read_bytes() == b"x" * 100_000


def test_urllib_and_who_the_server_sees(site: Site) -> None:
    request = urllib.request.Request(site.url("/forwarded"), headers={"X-Forwarded-For": "203.0.113.1"})
    with urllib.request.urlopen(request, timeout=10) as response:
        seen = response.read().decode()
    assert seen.partition("|")[0].replace(" ", "") == "203.0.113.1,127.0.0.1"


def test_a_browsers_headers(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/forwarded", headers=FIREFOX)
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("set-cookie") is None, "it belongs to web1 already"
    _, _, cookies = response.read().decode().partition("|")
    assert cookies == '_ga=GA1.1.1; consent={"a":1}; theme="dark"; empty='
    assert json.loads(cookies.split("; ")[1].partition("=")[2]) == {"a": 1}
    for path in ("/hello.html", "/large.bin", "/nowhere"):
        connection.request("GET", path, headers=FIREFOX)
        connection.getresponse().read()
    connection.close()


def test_h11_pipelines(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as sock:
        sock.sendall(b"GET /hello.html HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
        connection = h11.Connection(h11.CLIENT)
        body = (site.www / "hello.html").read_bytes()
        for _ in range(20):
            connection.send(h11.Request(method="GET", target="/hello.html", headers=[("Host", "h")]))
            connection.send(h11.EndOfMessage())
            got = b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(sock.recv(65536))
                elif isinstance(event, h11.Response):
                    assert event.status_code == 200
                elif isinstance(event, h11.Data):
                    got += bytes(event.data)
                else:
                    break
            assert isinstance(event, h11.EndOfMessage)
            assert got == body
            connection.start_next_cycle()


# -- WebSocket -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["hello", "", "ä" * 200, "x" * 70_000])
def test_websocket_messages_pass(site: Site, message: str) -> None:
    client = websocket.create_connection(f"ws://127.0.0.1:{site.port}/chat", timeout=10)
    client.send(message)
    assert client.recv() == message
    client.send_binary(b"\x00\r\n\r\n\xff" * 100)
    assert client.recv() == b"\x00\r\n\r\n\xff" * 100
    client.ping("are you there")
    client.send("and after the ping")
    assert client.recv() == "and after the ping"
    client.close()


def test_many_websockets_at_once(site: Site) -> None:
    clients = [websocket.create_connection(f"ws://127.0.0.1:{site.port}/chat", timeout=10) for _ in range(20)]
    for i, client in enumerate(clients):
        client.send(str(i))
    assert [client.recv() for client in clients] == [str(i) for i in range(20)]
    for client in clients:
        client.close()
