"""LDAP, MySQL, PostgreSQL, DNS, UDP, TLS hello: binary answers, and what is made of them."""

from __future__ import annotations

import struct

import pytest
from health.probes.talk import bytewise, talk

from hapair.config.asks import DnsCheck, MysqlCheck, PgsqlCheck, UdpCheck
from hapair.health.probes.dns import DnsProbe, query
from hapair.health.probes.ldap import BIND, UNBIND, LdapProbe
from hapair.health.probes.mysql import QUIT, MysqlProbe, native_answer, packet, sha2_answer
from hapair.health.probes.outcome import Finding
from hapair.health.probes.pgsql import TERMINATE, PgsqlProbe, md5_answer, message, startup
from hapair.health.probes.scram import Scram
from hapair.health.probes.ssl_hello import SslHelloProbe
from hapair.health.probes.udp import UdpProbe

BOUND = bytes.fromhex("300c 020101 6107 0a0100 0400 0400")
GREETING = (
    b"\x0a10.11.6-MariaDB\0" + b"\1\0\0\0" + b"abcdefgh" + b"\0" + b"\xff\xf7" + b"\x21" + b"\2\0"
    + b"\xff\x81" + b"\x15" + bytes(10) + b"ijklmnopqrst\0" + b"mysql_native_password\0"
)  # fmt: skip
OK = b"\0\0\0\2\0\0\0"
EOF = b"\xfe\0\0\2\0"


def test_ldap_binds_anonymously_and_says_goodbye():
    assert talk(LdapProbe(), *bytewise(BOUND)) == (BIND + UNBIND, Finding("L7OK"))
    refused = BOUND.replace(b"\x0a\1\0", b"\x0a\1\x31")
    assert talk(LdapProbe(), refused)[1] == Finding("L7STS", "the bind was refused", 49)


@pytest.mark.parametrize(
    "answer", [b"\x30\x0c\x02\x01\x02", b"HTTP/1.1", b"\x30\x88", b"\x30\x84\xff\xff\xff\xff"]
)
def test_what_is_no_bind_response_is_not_ldap(answer):
    assert talk(LdapProbe(), answer, end=True)[1].status == "L7RSP"


def test_the_greeting_of_mysql_alone_gives_its_version():
    assert talk(MysqlProbe(MysqlCheck()), *bytewise(packet(0, GREETING))) == (
        b"",
        Finding("L7OK", "10.11.6-MariaDB"),
    )
    blocked = packet(0, b"\xff\x69\x04Host 'lb' is blocked")
    assert talk(MysqlProbe(MysqlCheck()), blocked)[1] == Finding("L7STS", "Host 'lb' is blocked", 1129)


def test_a_mysql_login_proves_the_password_and_leaves_in_order():
    scramble = b"abcdefghijklmnopqrst"
    said, found = talk(MysqlProbe(MysqlCheck("u", password="geheim")), packet(0, GREETING), packet(2, OK))
    assert found == Finding("L7OK", "10.11.6-MariaDB")
    assert b"geheim" not in said
    assert b"u\0\x14" + native_answer(b"geheim", scramble) + b"mysql_native_password\0" in said
    assert said.endswith(QUIT)


def test_a_mysql_query_is_judged_by_the_last_column_of_its_first_row():
    check = MysqlCheck("u", query="SHOW STATUS LIKE 'wsrep_local_state'", expect="4")
    result = [b"\2", b"def1", b"def2", EOF, b"\x11wsrep_local_state\x014", EOF]
    answers = packet(0, GREETING), packet(2, OK)
    good = b"".join(packet(i, one) for i, one in enumerate(result, 1))
    said, found = talk(MysqlProbe(check), *answers, *bytewise(good))
    assert found == Finding("L7OK", "10.11.6-MariaDB")
    assert packet(0, b"\3SHOW STATUS LIKE 'wsrep_local_state'") in said
    bad = good.replace(b"\x014", b"\x012")
    assert talk(MysqlProbe(check), *answers, bad)[1] == Finding("L7STS", "the query gave 2, not 4")
    empty = b"".join(packet(i, one) for i, one in enumerate([*result[:4], EOF], 1))
    assert talk(MysqlProbe(check), *answers, empty)[1] == Finding("L7STS", "the query gave nothing, not 4")


def test_a_mysql_server_may_choose_the_plugin_but_never_gets_the_password_itself():
    def switched(plugin: bytes):
        return talk(
            MysqlProbe(MysqlCheck("u", password="geheim")),
            packet(0, GREETING),
            packet(2, b"\xfe" + plugin + b"\0" + b"ABCDEFGHIJKLMNOPQRST\0"),
        )

    said, found = switched(b"caching_sha2_password")
    assert found is None
    assert said.endswith(packet(3, sha2_answer(b"geheim", b"ABCDEFGHIJKLMNOPQRST")))
    for plugin in (b"mysql_clear_password", b"dialog", b""):
        said, found = switched(plugin)
        assert found.status == "L7STS"
        assert b"geheim" not in said
    full = talk(MysqlProbe(MysqlCheck("u", password="p")), packet(0, GREETING), packet(2, b"\1\4"))[1]
    assert "not sent in clear text" in full.info


def test_mysql_before_4_1_is_logged_into_without_password():
    said, found = talk(
        MysqlProbe(MysqlCheck("u", "pre-41")), packet(0, b"\x0a4.0.30\0" + bytes(14)), packet(2, OK)
    )
    assert said == packet(1, b"\1\0\0\0\1u\0") + QUIT
    assert found == Finding("L7OK", "4.0.30")


def authentication(method: int, more: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!I", method) + more)


READY = message(b"Z", b"I")


def test_postgresql_is_well_when_it_asks_for_a_password():
    probe = PgsqlProbe(PgsqlCheck("u"), b"n")
    assert talk(probe, *bytewise(authentication(10, b"SCRAM-SHA-256\0\0"))) == (
        startup("u", None) + TERMINATE,
        Finding("L7OK"),
    )
    error = message(b"E", b"SFATAL\0C57P03\0Mthe database system is starting up\0\0")
    finding = Finding("L7STS", "57P03 the database system is starting up")
    assert talk(PgsqlProbe(PgsqlCheck(), b"n"), error)[1] == finding
    assert talk(PgsqlProbe(PgsqlCheck(), b"n"), b"S")[1].status == "L7RSP"


def test_a_postgresql_password_is_proved_by_md5_but_never_sent():
    check = PgsqlCheck("u", password="geheim")
    said, found = talk(PgsqlProbe(check, b"n"), authentication(5, b"salt"), authentication(0), READY)
    assert message(b"p", md5_answer("u", "geheim", b"salt")) in said
    assert found == Finding("L7OK")
    said, found = talk(PgsqlProbe(check, b"n"), authentication(3))
    assert found == Finding("L7STS", "the server wants the password in clear text, which is not offered")
    assert b"geheim" not in said


def test_a_postgresql_query_is_judged_by_the_last_column_of_its_first_row():
    check = PgsqlCheck("u", query="SELECT pg_is_in_recovery()", expect="f")

    def row(value: bytes) -> bytes:
        return message(b"D", struct.pack("!HI", 1, len(value)) + value)

    answers = authentication(0), message(b"S", b"a\0b\0"), READY, message(b"T", b"x")
    done = message(b"C", b"SELECT 1\0"), READY
    assert talk(PgsqlProbe(check, b"n"), *answers, row(b"f"), *done)[1] == Finding("L7OK")
    assert talk(PgsqlProbe(check, b"n"), *answers, row(b"t"), *done)[1] == Finding(
        "L7STS", "the query gave t, not f"
    )
    assert talk(PgsqlProbe(check, b"n"), *answers, *done)[1] == Finding(
        "L7STS", "the query gave nothing, not f"
    )


def test_scram_is_that_of_rfc_7677():
    """The example of its section 3, but for the user name, which PostgreSQL leaves out."""
    scram = Scram("pencil", b"rOprNGfwEbeRWgbNEkqO")
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = scram.proof(challenge)
    assert final.startswith(b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")
    assert not scram.server_is_right(b"v=AAAA")


def test_a_server_that_cannot_prove_the_password_is_not_ours():
    check = PgsqlCheck("u", password="p")
    offer = authentication(10, b"SCRAM-SHA-256\0\0")
    challenge = authentication(11, b"r=nMORE,s=c2FsdA==,i=4096")
    for rest in ([authentication(0)], [authentication(12, b"v=AAAA")]):
        found = talk(PgsqlProbe(check, b"n"), offer, challenge, *rest)[1]
        assert found == Finding("L7RSP", "the server does not know the password")


@pytest.mark.parametrize(
    "challenge", [b"r=nX,s=c2FsdA==,i=999999999", b"r=X,s=c2FsdA==,i=1", b"r=n,s=c2FsdA==,i=1"]
)
def test_scram_challenges_that_are_attacks_are_refused(challenge):
    probe = PgsqlProbe(PgsqlCheck("u", password="p"), b"n")
    found = talk(probe, authentication(10, b"SCRAM-SHA-256\0\0"), authentication(11, challenge))[1]
    assert found.status == "L7RSP"


def dns_answer(flags: int = 0x8180, records: bytes = b"", count: int = 0, number: int = 7) -> bytes:
    question = query(7, "www.example.org", "A")[12:]
    return struct.pack("!HHHHHH", number, flags, 1, count, 0, 0) + question + records


A_RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes((192, 0, 2, 1))


def test_dns_wants_an_answer_and_perhaps_a_certain_one():
    check = DnsCheck("www.example.org", "A", "192.0.2.1")
    said, found = talk(DnsProbe(check, 7), dns_answer(records=A_RECORD, count=1))
    assert said == query(7, "www.example.org", "A")
    assert found == Finding("L7OK")
    other = DnsProbe(DnsCheck("www.example.org", "A", "192.0.2.9"), 7)
    assert talk(other, dns_answer(records=A_RECORD, count=1))[1] == Finding("L7STS", "192.0.2.1")
    assert talk(DnsProbe(check, 7), dns_answer(0x8183))[1] == Finding("L7STS", "NXDOMAIN", 3)
    assert talk(DnsProbe(check, 7), dns_answer())[1] == Finding("L7STS", "no answer in it")


def test_a_forged_or_late_dns_answer_is_not_listened_to():
    probe = DnsProbe(DnsCheck("www.example.org", "A"), 7)
    assert talk(probe, dns_answer(number=8), dns_answer(0x0100))[1] is None


def test_a_name_that_points_at_itself_has_no_end():
    loop = struct.pack("!HHHHHH", 7, 0x8180, 0, 1, 0, 0) + b"\xc0\x0c" + bytes(10)
    found = talk(DnsProbe(DnsCheck(), 7), loop)[1]
    assert found == Finding("L7RSP", "a name without end")


def test_udp_takes_any_answer_or_the_right_one_or_silence():
    assert talk(UdpProbe(UdpCheck(b"q")), b"x") == (b"q", Finding("L7OK"))
    assert talk(UdpProbe(UdpCheck(b"q", b"yes")), b"no")[1] == Finding("L7RSP", "no")
    assert UdpProbe(UdpCheck(b"q")).late() == Finding("L7TOUT", "waiting for any answer")
    assert UdpProbe(UdpCheck(b"q", require_reply=False)).late() == Finding("L4OK")


def test_a_handshake_or_an_alert_means_that_tls_is_spoken():
    for answer in (b"\x16\3\3\0\x50", b"\x15\3\3\0\2\2\x28"):
        assert talk(SslHelloProbe(bytes(32)), *bytewise(answer))[1] == Finding("L6OK")
    assert talk(SslHelloProbe(bytes(32)), b"HTTP/1.0 400")[1] == Finding("L6RSP", "not TLS")
