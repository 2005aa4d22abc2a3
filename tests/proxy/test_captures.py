"""What log lines show of messages, and each request's own number."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get

from hapair.config import model
from hapair.config.model import CapturedCookie, CapturedHeader, Captures, LogFormat
from hapair.proxy.proxy_protocol import UNIQUE_ID, Place, parse
from hapair.rules.log_formats import NAMED

BOTH = Captures((CapturedHeader("Host"), CapturedHeader("X-A", 4)), (CapturedHeader("server"),))


def told(frontend: dict, *headers: str, said: tuple[str, ...] = ()) -> str:
    world = World(frontend=frontend)
    client = world.client(get("/", *headers))
    if client.link is not None:
        client.server.says(answer(b"", *said))
    (line,) = world.log
    world.over()
    return line


def test_httplog_shows_what_was_captured():
    line = told({"capture": BOTH}, "X-A: first", "x-a: second", said=("Server: me",))
    assert line.endswith('0/0 {h|seco} {me} "GET / HTTP/1.1"')


def test_what_was_not_there_is_empty():
    assert told({"capture": BOTH}).endswith(' {h|} {} "GET / HTTP/1.1"')
    refused = told({"capture": BOTH, "http_request": ("deny",)}, "X-A: b")
    assert refused.endswith(' {h|b} {} "GET / HTTP/1.1"')


def test_a_client_cannot_end_a_field():
    line = told({"capture": BOTH}, 'X-A: a|}"', said=("Server: \t{é",))
    assert line.endswith(' {h|a#7C#7D#22} {#7B#C3#A9} "GET / HTTP/1.1"')


def test_what_rules_change_was_captured_before():
    rules = ("set-header X-A b", "capture req.hdr(x-a) len 9")
    assert " {h|a|b} {}" in told({"capture": BOTH, "http_request": rules}, "X-A: a")


def test_each_captured_sample_has_its_place():
    """One that is not asked for leaves its own empty."""
    rules = ("capture path len 1 if { path /no }", "capture method len 2", "capture src len 99")
    line = told({"http_request": rules, "http_response": ("capture status len 3",)})
    assert line.endswith(' {|GE|192.0.2.9} {200} "GET / HTTP/1.1"')


def test_rules_can_read_it():
    rules = ("capture req.hdr(host) len 9", "set-var(txn.h) capture.req.hdr(0)")
    response = ("capture res.hdr(server) len 9",)
    form = "%[var(txn.h)] %[capture.res.hdr(0)] %[capture.req.hdr(7)]"
    frontend = {"http_request": rules, "http_response": response, "log_format": form}
    assert told(frontend, said=("Server: me",)) == "h me -"


def test_the_next_request_begins_empty():
    world = World(frontend={"capture": BOTH, "log_format": "%hr %hs %CC"})
    client = world.client(get("/", "X-A: a"))
    client.server.says(answer(b"", "Server: me"))
    client.sends(get())
    client.server.says(answer())
    assert world.log == ["{h|a} {me} -", "{h|} {} -"]
    world.over()


@pytest.mark.parametrize(
    ("name", "cookies", "expected"),
    [
        ("SID", ("Cookie: a=b; SIDE=x; SID=y",), "SIDE=x"),
        ("SID=", ("Cookie: a=b; SIDE=x; SID=y",), "SID=y"),
        ("SID=", ("Cookie: a=SID=1", "Cookie: SID=123456789"), "SID=1234"),
        ("SID=", (), "-"),
    ],
)
def test_a_cookie_is_found_by_how_it_begins(name: str, cookies: tuple[str, ...], expected: str):
    frontend = {"capture": Captures(cookie=CapturedCookie(name, 8)), "log_format": "%CC %CS"}
    said = ("Set-Cookie: x=y; SID=no", "Set-Cookie: SID=zz; path=/")
    assert told(frontend, *cookies, said=said) == f"{expected} SID=zz"


def test_httplog_shows_cookies_too():
    line = told({"capture": Captures(cookie=CapturedCookie("SID="))}, "Cookie: SID=q")
    assert " SID=q - ---- " in line


def test_a_backends_captures_stand_behind_the_frontends():
    world = World(frontend={"capture": BOTH, "log_format": "%hr"}, http_request=("capture path len 3",))
    world.client(get("/abcdef")).server.says(answer())
    assert world.log == ["{h||/ab}"]


# -- each request's own number ---------------------------------------------------------------


def test_the_server_the_rules_and_the_log_are_told_the_same_number():
    world = World(
        frontend={
            "unique_id_format": "%{+X}o%ci:%cp-%rt",
            "unique_id_header": "X-Id",
            "log_format": "%ID %[unique-id]",
            "http_request": ("set-header X-Too %[unique-id]",),
        }
    )
    client = world.client(get())
    assert b"\r\nX-Too: C0000209:9C40-0000\r\nX-Id: C0000209:9C40-0000\r\n" in client.server.got
    client.server.says(answer())
    client.sends(get())
    assert b"X-Id: C0000209:9C40-0001\r\n" in client.server.got
    client.server.says(answer())
    assert [line.split() for line in world.log] == [["C0000209:9C40-0000"] * 2, ["C0000209:9C40-0001"] * 2]
    world.over()


def test_what_never_became_a_request_has_no_number_and_no_captures():
    frontend = {"unique_id_format": "%rt", "log_format": "%ID %hr %{+Q}hrl|", "capture": BOTH}
    world = World(frontend=frontend)
    world.client(b"x\r\n\r\n")
    assert world.log == ["-|"]


def test_a_number_by_chance_is_the_same_wherever_it_is_asked_for():
    world = World(frontend={"unique_id_format": "%[uuid]", "log_format": "%ID", "unique_id_header": "X-Id"})
    numbers = iter(range(1, 9))
    world.process.draw = lambda _below: next(numbers)
    client = world.client(get())
    client.server.says(answer())
    assert world.log[0].encode() in client.world.links[0].got
    world.over()


def test_a_number_that_is_made_of_itself_is_nothing():
    assert told({"unique_id_format": "a%ID", "log_format": "%ID"}) == "a"


def test_a_client_cannot_put_a_line_into_the_header():
    world = World(frontend={"unique_id_format": "%[req.hdr(x-a)]", "unique_id_header": "X-Id"})
    got = world.client(get("/", "X-A: a\xe9\t")).server.got
    assert b"\r\nX-Id: a#C3#A9\r\n" in got


def test_the_proxy_header_carries_it():
    servers = (
        model.Server(
            name="s1",
            id=1,
            host="192.0.2.1",
            port=80,
            send_proxy=model.ProxyVersion.V2,
            proxy_v2_options=("unique-id",),
        ),
    )
    world = World(servers=servers, frontend={"unique_id_format": "%ci/%rt"})
    client = world.client(source="192.0.2.9")
    client.session.local = Place("192.0.2.1", 80)
    client.sends(get())
    conveyed = parse(client.server.got)
    assert conveyed is not None
    assert conveyed.tlv(UNIQUE_ID) == b"192.0.2.9/0"


def test_httplog_with_captures_is_the_named_format():
    assert told({"capture": BOTH, "log_format": NAMED["httplog"]}) == told(
        {"capture": BOTH, "log_format": LogFormat.HTTPLOG}
    )
