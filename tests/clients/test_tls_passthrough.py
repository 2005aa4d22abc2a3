"""TLS that is passed on untouched, to the web server that the client's ClientHello names."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from app.node import running
from clients.conftest import wait_for
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NGINX = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/{name}.crt; ssl_certificate_key {folder}/{name}.key;
    location / {{ return 200 "{name} $ssl_server_name"; }}
  }}
"""
CONFIG = """
[node]
name = "tls"

[defaults]
mode = "tcp"
timeout = {{ connect = "5s", client = "10s", server = "10s" }}

[frontend.tls]
bind = ["127.0.0.1:{port}"]
tcp_request_inspect_delay = "500ms"
use_backend = [
  {{ backend = "one", if = "{{ req.ssl_sni -i one.example.org }}" }},
  {{ backend = "two", if = "{{ req.ssl_sni -i -m end .two.example.org }}" }},
  {{ backend = "one", if = "{{ req.ssl_hello_type 1 }} !{{ req.ssl_sni -m found }}" }},
]

[backend.one]
server.s = {{ address = "127.0.0.1:{one}" }}

[backend.two]
server.s = {{ address = "127.0.0.1:{two}" }}
"""
NAMES = {"one": "one.example.org", "two": "a.two.example.org"}


@attrs.frozen
class Sites:
    port: int
    folder: Path

    def trust(self) -> ssl.SSLContext:
        """Believes in both servers' certificates and in nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name in NAMES:
            context.load_verify_locations(self.folder / f"{name}.crt")
        return context

    def connect(self, name: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return (context or self.trust()).wrap_socket(sock, server_hostname=name)


def ask(sock: ssl.SSLSocket) -> str:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.read().decode()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    folder = tmp_path_factory.mktemp("tls")
    ports = {name: free_port() for name in NAMES}
    for name, host in NAMES.items():
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
        names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
        subprocess.run([*command, *files, *names], check=True, capture_output=True)
    servers = "".join(SERVER.format(port=ports[name], folder=folder, name=name) for name in NAMES)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers))
    port = free_port()
    (folder / "node.toml").write_text(CONFIG.format(port=port, **ports))
    with contextlib.ExitStack() as stack:
        nginx = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"])
        stack.callback(nginx.wait)
        stack.callback(nginx.terminate)
        wait_for(ports["one"], nginx)
        stack.enter_context(running(folder / "node.toml"))
        yield Sites(port, folder)


@pytest.mark.parametrize("name", list(NAMES))
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_name_reaches_its_own_server_with_its_own_certificate(
    sites: Sites, name: str, version: ssl.TLSVersion
) -> None:
    context = sites.trust()
    context.minimum_version = context.maximum_version = version
    with sites.connect(NAMES[name], context) as sock:
        assert ask(sock) == f"{name} {NAMES[name]}"
        assert ask(sock) == f"{name} {NAMES[name]}", "the connection stays"


def test_a_name_that_nobody_has_is_turned_away(sites: Sites) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        sites.connect("three.example.org")


def test_openssl_agrees_in_upper_case_and_without_a_name(sites: Sites) -> None:
    for how, subject in (
        (["-servername", "A.TWO.example.ORG"], "CN = a.two.example.org"),
        (["-noservername"], "CN = one.example.org"),
    ):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{sites.port}", *how]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=20)
        assert subject in done.stdout.decode()


def test_a_hello_that_comes_byte_by_byte(sites: Sites) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = sites.trust().wrap_bio(incoming, outgoing, server_hostname=NAMES["two"])
    with socket.create_connection(("127.0.0.1", sites.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        for byte in outgoing.read():
            sock.sendall(bytes([byte]))
        while True:
            answer = sock.recv(65536)
            assert answer, "turned away"
            incoming.write(answer)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
        certificate = tls.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", NAMES["two"]),)


@pytest.mark.parametrize(
    ("said", "least"), [(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0.0), (b"\x16\x03\x01", 0.4)]
)
def test_what_is_no_hello_is_turned_away_at_once_or_after_the_delay(
    sites: Sites, said: bytes, least: float
) -> None:
    with socket.create_connection(("127.0.0.1", sites.port), timeout=10) as sock:
        began = time.monotonic()
        sock.sendall(said)
        assert sock.recv(1) == b""
        assert least <= time.monotonic() - began < least + 0.4
