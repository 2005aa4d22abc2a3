"""tcp-check scripts: HAProxy's laws of what is judged when."""

from __future__ import annotations

import pytest
from health.probes.talk import bytewise, talk

from hapair.config.fields import FieldError
from hapair.config.tables_check import split_words, tcp_check, tcp_rule
from hapair.health.probes.dialogue import Reconnect
from hapair.health.probes.outcome import Finding
from hapair.health.probes.tcp_check import TcpCheckProbe


def probe(*rules: str) -> TcpCheckProbe:
    return TcpCheckProbe(tcp_check(list(rules)))


REDIS = (
    "connect",
    r"send PING\r\n",
    "expect string +PONG",
    r"send info\ replication\r\n",
    "expect string role:master",
)


def test_a_script_goes_back_and_forth():
    said, found = talk(probe(*REDIS), b"+PO", b"NG\r\n", b"$10\r\nrole:master\r\n")
    assert said == b"PING\r\ninfo replication\r\n"
    assert found == Finding("L7OK")


def test_a_script_of_connections_only_is_a_layer_4_check():
    assert talk(probe("connect"))[1] == Finding("L4OK")


def test_what_came_before_something_is_sent_is_forgotten():
    found = talk(probe("expect string a", "send x", "expect string b"), b"ab", end=True)[1]
    assert found == Finding("L7RSP", "TCPCHK got an empty response at step 3")


def test_expectations_that_follow_one_another_judge_the_same_bytes():
    assert talk(probe("expect string a", "expect string b"), b"ba")[1] == Finding("L7OK")


def test_an_unwanted_match_fails_at_once_and_its_absence_is_certain_at_the_end():
    assert talk(probe("expect ! string err"), b"an err")[1] == Finding(
        "L7RSP", "TCPCHK matched unwanted content 'err' at step 1"
    )
    assert talk(probe("expect ! string err"), b"fine")[1] is None
    assert talk(probe("expect ! string err"), b"fine", end=True)[1] == Finding("L7OK")
    assert talk(probe("expect min-recv 4 ! string err"), b"fin", b"e")[1] == Finding("L7OK")


def test_with_min_recv_nothing_is_judged_before_and_everything_then():
    assert talk(probe("expect min-recv 4 string ab"), *bytewise(b"ab"))[1] is None
    assert talk(probe("expect min-recv 4 string ab"), b"xxab")[1] == Finding("L7OK")
    assert talk(probe("expect min-recv 4 string ab"), b"xxxx")[1].status == "L7RSP"


def test_binary_is_hexadecimal_and_its_regular_expressions_match_that():
    assert talk(probe("send-binary 0aFF", "expect binary 00ff"), b"\x01\x00\xff") == (
        b"\n\xff",
        Finding("L7OK"),
    )
    assert talk(probe("expect rbinary ^1[56]"), b"\x16\3")[1] == Finding("L7OK")
    assert talk(probe("expect rbinary ^1[56]"), b"\x17\3", end=True)[1].status == "L7RSP"


def test_comments_messages_and_statuses_are_the_operators():
    rule = "expect comment 'the greeting' on-error 'not yet' error-status L7STS string hello"
    assert talk(probe(rule), b"bye", end=True)[1] == Finding("L7STS", "not yet")
    commented = probe("expect comment greeting string hello")
    assert talk(commented, b"bye", end=True)[1].info.endswith("at step 1 comment: 'greeting'")
    good = "expect on-success fine ok-status L7OKC string hello"
    assert talk(probe(good), b"hello")[1] == Finding("L7OKC", "fine")


def test_a_time_out_names_the_step():
    waiting = probe(*REDIS)
    waiting.connected()
    assert waiting.late() == Finding("L7TOUT", "at step 3 of tcp-check (expect string +PONG)")


def test_another_connection_begins_when_the_last_words_are_said():
    script = probe("expect string a", "send bye", "connect port 81 ssl", "expect string b")
    assert script.connected() == b""
    assert script.received(b"a") == Reconnect(b"bye", 81, tls=True)
    assert script.connected() == b""
    assert script.received(b"b") == Finding("L7OK")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"send PING\r\n", [b"send", b"PING\r\n"]),
        (r"a\ b 'c \d' " + '"e \\" f"', [b"a b", b"c \\d", b'e " f']),
        (r"\x00\xff\\", [b"\0\xff\\"]),
        ('a ""', [b"a", b""]),
        (r"^\+ \d", [rb"^\+", rb"\d"]),
    ],
)
def test_words_are_spelt_as_in_haproxys_configuration(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("expct string x", 'did you mean "expect"?'),
        ("expect strng x", 'did you mean "string"?'),
        ("expect string", "a pattern is missing"),
        ("expect string a b", "blanks need quotes"),
        ("expect rstring (", "not a regular expression"),
        ("expect binary 0g", "not pairs of hex digits"),
        ("expect string 'a", "has no end"),
        ("send a\\", "a backslash at the end"),
        ("connect port 70000", "1..65535"),
        ("expect error-status L9 string x", "not known here"),
    ],
)
def test_a_rule_with_a_mistake_is_refused(rule, message):
    with pytest.raises(FieldError) as caught:
        tcp_rule(rule)
    assert message in caught.value.message


def test_the_first_connection_is_the_checks_own():
    with pytest.raises(FieldError, match="the first connection"):
        tcp_check(["connect port 81"])
