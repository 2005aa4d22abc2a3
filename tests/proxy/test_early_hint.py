"""early-hint: what the answer will need is told before a server is asked (RFC 8297)."""

from __future__ import annotations

from proxy.world import World, answer, get

HINTS = (
    'early-hint Link "</style.css>; rel=preload"',
    "early-hint Link %[path]",
    "deny if { path /no }",
)


def test_all_hints_come_in_one_103_before_the_answer():
    here = World(frontend={"http_request": HINTS})
    client = here.client(get("/a"))
    early = client.reads()
    assert early == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nLink: /a\r\n\r\n"
    client.server.says(answer(b"ok"))
    assert client.reads().startswith(b"HTTP/1.1 200 ")
    here.over()


def test_http_1_0_does_not_know_them():
    client = World(frontend={"http_request": HINTS}).client(b"GET /a HTTP/1.0\r\n\r\n")
    assert client.got == b""


def test_who_is_denied_is_told_nothing_else():
    assert World(frontend={"http_request": HINTS}).client(get("/no")).got.startswith(b"HTTP/1.1 403 ")


def test_hints_of_one_request_are_not_the_next_ones():
    rules = ("early-hint Link x if { path /a }", "deny if { path /a }")
    client = World(frontend={"http_request": rules}).client(get("/a"))
    client.reads()
    client.sends(get("/b"))
    assert client.got == b""
