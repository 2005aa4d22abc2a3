"""Whatever a server sends, every probe finds something or waits, within its bound, and forges no log line."""

from __future__ import annotations

import pytest
from health.probes.talk import bytewise, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from hapair.config.asks import DnsCheck, MysqlCheck, PgsqlCheck, RedisCheck, Tls, UdpCheck
from hapair.config.model import CheckKind, HttpCheck
from hapair.config.tables_check import http_expect, tcp_check
from hapair.health.probes.agent import AgentProbe
from hapair.health.probes.dialogue import StartTls
from hapair.health.probes.dns import DnsProbe
from hapair.health.probes.http import HttpListProbe, HttpProbe
from hapair.health.probes.ldap import LdapProbe
from hapair.health.probes.mysql import MysqlProbe
from hapair.health.probes.numbered import ftp, smtp
from hapair.health.probes.outcome import Finding
from hapair.health.probes.pgsql import PgsqlProbe
from hapair.health.probes.redis import RedisProbe
from hapair.health.probes.ssl_hello import SslHelloProbe
from hapair.health.probes.tcp_check import TcpCheckProbe
from hapair.health.probes.udp import UdpProbe
from hapair.health.tls import secured

SCRIPT = tcp_check(
    ["connect", "send x", "expect ! rstring ^-", "expect string ok", "send y", "expect binary 00"]
)
BODY = HttpCheck(expect=(http_expect("rstring up"), http_expect("! string down")))
DIGEST = HttpCheck(digest="0" * 32)


def mysql_greeting(capabilities: int) -> bytes:
    """With so many of the lower capabilities; 0x800 is TLS."""
    payload = b"\x0a8.0\0" + bytes(4) + b"abcdefgh\0" + capabilities.to_bytes(2, "little")
    payload += b"\x21\2\0\x08\0\x15" + bytes(10) + b"abcdefghijkl\0mysql_native_password\0"
    return len(payload).to_bytes(3, "little") + b"\0" + payload


STREAMS = {
    "agent": (lambda: AgentProbe(b""), [b"75% ready\n", b"up ", b"down #why\n", b"weight:9\r\n"]),
    "redis": (
        lambda: RedisProbe(RedisCheck(password="p", role="master")),
        [b"+OK\r\n+PONG\r\n", b"*1\r\n$6\r\n"],
    ),
    "ldap": (LdapProbe, [bytes.fromhex("300c 020101 6107"), b"\x30\x84\x00\x00"]),
    "smtp": (lambda: smtp("EHLO", "x"), [b"220 hi\r\n", b"220-hi\r\n"]),
    "ftp": (ftp, [b"220-hi\r\n", b"220"]),
    "ssl_hello": (lambda: SslHelloProbe(bytes(32)), [b"\x16\3"]),
    "mysql": (
        lambda: MysqlProbe(MysqlCheck(user="u", password="p", query="q", expect="4")),
        [b"\x0b\0\0\0\x0a5.5\0" + b"\1\0\0\0abc", b"\7\0\0\1\0\0\0"],
    ),
    "pgsql": (
        lambda: PgsqlProbe(PgsqlCheck("u", password="p", query="q", expect="f"), b"n"),
        [b"R\0\0\0\x08\0\0\0\0", b"R\0\0\0\x08\0\0\0\x0a", b"D\0\0\0\7"],
    ),
    "tcp_check": (lambda: TcpCheckProbe(SCRIPT), [b"+ok", b"ok"]),
    "http body": (
        lambda: HttpProbe(b"", BODY),
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"],
    ),
    "http digest": (lambda: HttpProbe(b"", DIGEST), [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]),
    "http list": (
        lambda: HttpListProbe([HttpProbe(b"a"), HttpProbe(b"b")], ["/a", "/b"], tls=False),
        [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"],
    ),
}
STARTING_TLS = {
    "smtp": (lambda: smtp("EHLO", "x", starttls=True), [b"220 hi\r\n", b"250 x\r\n", b"220 go\r\n"]),
    "ftp": (lambda: ftp(starttls=True), [b"220 hi\r\n", b"234 go\r\n"]),
    "ldap": (
        lambda: LdapProbe(starttls=True),
        [bytes.fromhex("300c 020102 7807 0a0100 0400 0400"), bytes.fromhex("300c 020101 6107")],
    ),
    "pgsql": (lambda: PgsqlProbe(PgsqlCheck("u"), b"n", starttls=True), [b"S", b"N", b"R\0\0\0\x08\0\0\0\0"]),
    "mysql": (
        lambda: MysqlProbe(MysqlCheck(user="u"), Tls(verify=True)),
        [mysql_greeting(0x0A00), mysql_greeting(0), b"\2\0\0\2\1\4"],
    ),
}
"""They ask for TLS in the middle: what is fed behind that stands for what is said over it."""
DATAGRAMS = {
    "udp": (lambda: UdpProbe(UdpCheck(b"x", b"y")), [b"y"]),
    "dns": (
        lambda: DnsProbe(DnsCheck("a.example", "MX", "b"), 0x4142),
        [b"AB\x80\0\0\1\0\1\0\0\0\0", b"AB\x80\0\0\0\0\2\0\0\0\0\0\0\x0f\0\1\0\0\0\0\0\5"],
    ),
}


EVERY = STREAMS | DATAGRAMS | {f"{kind} starttls": one for kind, one in STARTING_TLS.items()}


def test_every_kind_of_probe_is_here():
    """`tcp` says nothing; icmp, external and file hear no bytes of a server (tests of their own)."""
    known = {kind.value for kind in CheckKind} | {"agent"}
    tested = {name.partition(" ")[0] for name in EVERY}
    assert known - tested == {"tcp", "icmp", "external", "file"}


@pytest.mark.parametrize("kind", EVERY)
@settings(max_examples=40)
@given(data=st.data())
def test_arbitrary_bytes_give_a_finding_that_is_fit_for_a_log(kind, data):
    make, starts = EVERY[kind]
    pieces = data.draw(st.lists(st.sampled_from(starts) | st.binary(min_size=1, max_size=200), min_size=1))
    probe = make()
    _, found = talk(probe, *pieces, end=True)
    for one in (found, probe.late()):
        assert one is None or isinstance(one, Finding)
        if one is not None:
            assert one.info.isprintable()
            assert one.info.isascii()
            assert '"' not in one.info


@pytest.mark.parametrize("kind", STREAMS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_stream_byte_by_byte_leads_to_the_same_verdict(kind, data):
    make, starts = STREAMS[kind]
    stream = b"".join(
        data.draw(st.lists(st.sampled_from(starts) | st.binary(min_size=1, max_size=9), max_size=6))
    )
    _, whole = talk(make(), *([stream] if stream else []), end=True)
    _, parts = talk(make(), *bytewise(stream), end=True)
    if kind == "http list" or (kind == "tcp_check"):
        return  # they reconnect, or forget what came before they sent: time is part of what they hear
    assert (whole and whole.status) == (parts and parts.status)


@pytest.mark.parametrize("kind", STARTING_TLS)
@given(st.binary(min_size=1, max_size=20))
def test_what_is_said_in_clear_text_behind_the_leave_to_speak_tls_is_never_believed(kind, behind):
    """Whoever sits between could have added it (CVE-2011-0411, CVE-2021-23222)."""
    leave = {
        "smtp": [b"220 hi\r\n", b"250 x\r\n", b"220 go\r\n"],
        "ftp": [b"220 hi\r\n", b"234 go\r\n"],
        "ldap": [bytes.fromhex("300c 020102 7807 0a0100 0400 0400")],
        "pgsql": [b"S"],
        "mysql": [mysql_greeting(0x0A00)],
    }[kind]
    *before, last = leave
    probe = STARTING_TLS[kind][0]()
    _, found = talk(probe, *before)
    assert found is None
    assert isinstance(probe.received(last + behind), Finding)
    probe = STARTING_TLS[kind][0]()
    talk(probe, *before)
    assert isinstance(probe.received(last), StartTls)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("filler", [b"\0", b"0", b"z", b"\n", b"-", b"+", b"\xff"])
def test_an_answer_without_end_breaks_nothing_up_to_the_bound(kind, filler):
    make, starts = STREAMS[kind]
    for start in (b"", *starts):
        probe = make()
        pieces = [start] if start else []
        _, found = talk(probe, *pieces, *[filler * 997] * (probe.limit // 997 + 1))
        # Endless data may also satisfy, or never be judged: then the flight ends it at `limit`.
        assert found is None or isinstance(found, Finding)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1), st.booleans())
def test_what_is_no_tls_where_tls_should_be_is_a_finding(pieces, asked_for):
    """The handshake is OpenSSL's to judge; whatever it thinks, it ends as a finding or waits."""
    probe = secured(
        lambda: smtp("EHLO", "x", starttls=asked_for), Tls(starttls=asked_for), at_once=not asked_for
    )()
    said, found = talk(probe)
    assert found is None
    if asked_for:
        for line in (b"220 hi\r\n", b"250 x\r\n", b"220 go\r\n"):
            step = probe.received(line)
    else:
        step = said
    assert isinstance(step, bytes)
    assert step[:1] == b"\x16"  # a ClientHello
    for piece in pieces:
        step = probe.received(piece)
        if isinstance(step, Finding):
            break
    else:
        step = probe.ended()
    for one in (step, probe.late()):
        assert isinstance(one, Finding)
        assert not one.ok
        assert one.info.isprintable()
        assert one.info.isascii()
