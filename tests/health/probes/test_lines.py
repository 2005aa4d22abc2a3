"""SMTP, FTP and Redis: lines that come, and what is made of them."""

from __future__ import annotations

import pytest
from health.probes.talk import bytewise, talk

from hapair.config.asks import RedisCheck
from hapair.health.probes.numbered import ftp, smtp
from hapair.health.probes.outcome import Finding
from hapair.health.probes.redis import RedisProbe, command


@pytest.mark.parametrize("split", [lambda data: [data], bytewise])
def test_smtp_greets_waits_for_all_lines_and_says_goodbye(split):
    pieces = split(b"220-mail\r\n220 ready\r\n") + split(b"250-mail\r\n250-SIZE\r\n250 HELP\r\n")
    said, found = talk(smtp("EHLO", "lb.example"), *pieces)
    assert said == b"EHLO lb.example\r\nQUIT\r\n"
    assert found == Finding("L7OK", code=250)


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (b"421 too busy\r\n", Finding("L7STS", "too busy", 421)),
        (b"220 ok\r\n502 no such command\r\n", Finding("L7STS", "no such command", 502)),
        (b"SSH-2.0-x\r\n", Finding("L7RSP", "not a reply: SSH-2.0-x")),
        (b"22\xb2 x\r\n", Finding("L7RSP", "not a reply: 22. x")),
        (b"220", Finding("L7RSP", "the connection ended early")),
        (b"", Finding("L7RSP", "no answer")),
    ],
)
def test_smtp_that_is_not_well_says_why(answer, finding):
    assert talk(smtp("HELO", "x"), *([answer] if answer else []), end=True)[1] == finding


def test_what_was_waited_for_is_told():
    probe = smtp("HELO", "x")
    assert probe.late().info == "waiting for a reply 2xx"
    probe.received(b"220 hi\r\n")
    assert probe.late().info == "waiting for a reply 2xx to HELO x"


def test_ftp_is_ready_for_a_new_user_or_not():
    assert talk(ftp(), b"220-Welcome\r\n anything 120 goes\r\n220 ready\r\n") == (
        b"QUIT\r\n",
        Finding("L7OK", code=220),
    )
    assert talk(ftp(), b"120 in 5 minutes\r\n")[1] == Finding("L7STS", "in 5 minutes", 120)


def test_redis_pings_as_haproxy_does():
    said, found = talk(RedisProbe(RedisCheck()), b"+PONG\r\n")
    assert said == b"*1\r\n$4\r\nPING\r\n" + command(b"QUIT")
    assert found == Finding("L7OK")


def test_redis_authenticates_then_asks_for_its_role():
    check = RedisCheck(user="u", password="geheim", role="master")
    said, found = talk(RedisProbe(check), b"+OK\r\n", b"+PONG\r\n", b"*3\r\n$6\r\nmaster\r\n:0\r\n")
    assert said == command(b"AUTH", b"u", b"geheim") + command(b"PING") + command(b"ROLE") + command(b"QUIT")
    assert found == Finding("L7OK")
    replica = talk(RedisProbe(check), b"+OK\r\n", b"+PONG\r\n", b"*5\r\n$5\r\nslave\r\n")[1]
    assert replica == Finding("L7STS", "the role is slave")


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (b"-NOAUTH Authentication required.\r\n", Finding("L7STS", "NOAUTH Authentication required.")),
        (b"-LOADING Redis is loading\r\n", Finding("L7STS", "LOADING Redis is loading")),
        (b"+OK\r\n", Finding("L7RSP", "unexpected answer: +OK")),
        (b"HTTP/1.1 400\r\n", Finding("L7RSP", "not an answer: HTTP/1.1 400..")),
    ],
)
def test_redis_that_is_not_well_says_why(answer, finding):
    assert talk(RedisProbe(RedisCheck()), answer)[1] == finding


def test_no_password_is_shown():
    probe = RedisProbe(RedisCheck(password="geheim"))
    sent = probe.connected()
    assert b"geheim" in sent
    assert b"geheim" not in probe.excerpt(sent, b"")[0]
