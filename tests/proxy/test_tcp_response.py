"""Rules about what a server says first, in both modes."""

from __future__ import annotations

from proxy.world import World, answer, get, statuses

from hapair.config import model


def test_rules_are_asked_once_and_the_rest_flows():
    here = World(mode=model.Mode.TCP, tcp_response_content=("reject if { res.payload(0,3) -m str BAD }",))
    client = here.client()
    client.server.says(b"fine")
    client.server.says(b"BAD")
    assert client.got == b"fineBAD"


def test_who_is_rejected_gets_nothing_and_the_log_says_so():
    here = World(mode=model.Mode.TCP, tcp_response_content=("reject",))
    client = here.client()
    client.server.says(b"secret")
    assert client.got == b""
    assert client.over
    assert " PD " in here.lines()[0]
    here.over()


def test_a_rule_may_note_something_of_it():
    here = World(
        mode=model.Mode.TCP,
        frontend={"log_format": "%[var(sess.said)]"},
        tcp_response_content=("set-var(sess.said) res.payload(0,2),hex",),
    )
    client = here.client()
    client.server.says(b"\x01\x02\x03")
    client.gone()
    assert here.log == ["0102"]


def test_in_http_mode_they_are_about_the_head():
    here = World(tcp_response_content=("reject if { status 200 } { path /x }",))
    client = here.client(get("/x"))
    client.server.says(answer())
    assert client.over
    assert b"200" not in client.got
    here = World(tcp_response_content=("reject if { status 200 } { path /x }",))
    client = here.client(get("/y"))
    client.server.says(answer())
    assert statuses(client.got) == [200]
