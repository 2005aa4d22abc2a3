"""What both proxies read in the first bytes of a stream: ClientHellos, and the cookie of RDP."""

from __future__ import annotations

import socket
import ssl

import pytest
from interop.haproxy import running
from ports import free_port
from proxy.world import World
from rules.hellos import hello
from rules.test_client_hello import built

from hapair.config import model

pytestmark = pytest.mark.interop

FETCHES = (
    "req.ssl_ver req.ssl_alpn req.ssl_ec_ext req.ssl_st_ext req.ssl_sni req.rdp_cookie "
    "req.rdp_cookie(mstshash) req.rdp_cookie(other) req.rdp_cookie_cnt req.rdp_cookie_cnt(mstshash)"
).split()
ACLS = [
    "req.ssl_ver 3.3",
    "req.ssl_ver 3.0:3.2",
    "req.ssl_ver lt 3.3",
    "req.ssl_ver ge 3.1",
    "req.ssl_alpn acme-tls/1",
    "req.ssl_ec_ext",
    "req.ssl_st_ext 1:2",
    "req.rdp_cookie(mstshash) adm",
    "req.rdp_cookie -m found",
    "req.rdp_cookie_cnt gt 0",
]


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def alpn(*protocols: bytes) -> bytes:
    listed = b"".join(bytes([len(one)]) + one for one in protocols)
    return extension(16, len(listed).to_bytes(2, "big") + listed)


def rdp(rest: bytes) -> bytes:
    return b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00" + rest


BEGINNINGS = {
    "TLS 1.3": hello(),
    "TLS 1.2": hello(version=ssl.TLSVersion.TLSv1_2),
    "no extensions": built(),
    "acme": built(alpn(b"acme-tls/1")),
    "two protocols": built(alpn(b"h2", b"http/1.1")),
    "no protocol": built(extension(16, b"\0\0")),
    "ticket asked for": built(extension(35, b"")),
    "ticket": built(extension(35, b"abc")),
    "curves": built(extension(10, b"\0\2\0\x1d")),
    "http": b"GET / HTTP/1.0\r\n\r\n",
    "rdp": rdp(b"Cookie: mstshash=adm\r\n"),
    "rdp with more": rdp(b"cookie:mstshash=a b\r\nxx"),
    "rdp of another name": rdp(b"Cookie: msts=1.2.3\r\n"),
    "rdp without an end": rdp(b"Cookie: mstshash=adm"),
    "rdp in capitals": rdp(b"Cookie:   MSTShash=adm=1\r\n"),
    "rdp without a value": rdp(b"Cookie: mstshash=\r\n"),
    "rdp over two lines": rdp(b"Cookie: mstshash=a\nb\r\n"),
    "rdp without a cookie": rdp(b"\x01\x00\x08\x00\x03\x00\x00\x00"),
    "three bytes": b"abc",
}
RULES = [
    *(f"set-var(txn.f{i}) {fetch}" for i, fetch in enumerate(FETCHES)),
    *(f"set-var(txn.a{i}) str(y) if {{ {acl} }}" for i, acl in enumerate(ACLS)),
]
FORMAT = "|".join(
    f"%[var(txn.{letter}{i})]" for letter, row in (("f", FETCHES), ("a", ACLS)) for i in range(len(row))
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """HAProxy's line about each beginning."""
    folder = tmp_path_factory.mktemp("haproxy")
    port = free_port()
    sections = (
        f"frontend fe\n  mode tcp\n  log {folder}/log len 4096 format raw local0\n"
        f'  log-format "{FORMAT}"\n  bind 127.0.0.1:{port}\n  tcp-request inspect-delay 200ms\n'
        + "".join(
            f"  tcp-request content {rule} {'WAIT_END' if ' if ' in rule else 'if WAIT_END'}\n"
            for rule in RULES
        )
    )
    found = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(folder / "log"))
        log.settimeout(10)
        with running(folder, sections):
            for name, data in BEGINNINGS.items():
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(data)
                    line = log.recv(65536).decode().removesuffix("\n")
                    found[name] = line.replace("\n", "#0A")  # ours cannot be broken by what a client sends
    return found


@pytest.mark.parametrize("name", BEGINNINGS)
def test_both_read_the_same(told, name):
    here = World(
        mode=model.Mode.TCP,
        frontend={
            "tcp_request_content": tuple(RULES),
            "tcp_request_inspect_delay": 0.2,
            "log_format": FORMAT,
        },
    )
    here.client(BEGINNINGS[name])
    here.wait(0.3)
    here.clients[0].gone()
    assert here.log == [told[name]]
