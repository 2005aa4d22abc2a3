"""What clients get in place of hapair's own pages: those of the backend before the frontend's."""

from __future__ import annotations

import pytest
from proxy.world import World, get, statuses

from hapair.config import model

PLAIN = 'status 503 content-type text/plain string "gone fishing"'


def page(got: bytes) -> tuple[bytes, bytes]:
    head, _, body = got.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


def world(frontend: dict[str, object] | None = None, **backend: object) -> World:
    here = World(frontend=frontend, **backend)
    here.set_up("s1", up=False)
    return here


def test_the_backends_page_comes_before_the_frontends():
    of_frontend = {"http_error": ('status 503 content-type text/plain string "closed"',)}
    assert page(world(of_frontend).client(get()).got)[1] == b"closed"
    assert page(world(of_frontend, http_error=(PLAIN,)).client(get()).got)[1] == b"gone fishing"
    assert b"<h1>503" in page(world().client(get()).got)[1]


def test_a_page_may_tell_what_was_asked_and_add_headers():
    text = (
        'status 503 content-type text/plain lf-string "no %[path]" hdr X-Node %[hostname] hdr Retry-After 5'
    )
    here = world({"http_error": (text,)})
    client = here.client(get("/shop"))
    assert page(client.got)[1] == b"no /shop"
    assert b"\r\nRetry-After: 5\r\n" in client.got
    client.got = b""
    client.sends(get("/again"))
    assert page(client.got)[1] == b"no /again", "the connection stays"


def test_a_file_is_a_whole_answer_with_a_status_of_its_own(tmp_path):
    (tmp_path / "503.http").write_text("HTTP/1.0 500 Oh\nContent-Type: text/x\nConnection: close\n\nbusy\n")
    client = world({"errorfile": {"503": str(tmp_path / "503.http")}}).client(get())
    assert page(client.got) == (b"HTTP/1.1 500 Oh", b"busy\n")
    assert b"content-length: 5" in client.got
    assert client.state == "open"


def test_an_empty_file_is_no_answer_at_all(tmp_path):
    (tmp_path / "none").write_bytes(b"")
    here = World(frontend={"errorfile": {"408": str(tmp_path / "none"), "403": str(tmp_path / "none")}})
    idle = here.client(b"GET / HT")
    here.wait(10)
    assert idle.got == b""
    assert idle.over
    denied = World(
        frontend={"errorfile": {"403": str(tmp_path / "none")}, "http_request": ("deny if { path /x }",)}
    ).client(get("/x"))
    assert denied.got == b""
    assert denied.state in ("closed", "shut")


def test_denials_and_logins_have_pages_too():
    rules = ("deny if { path /x }", "auth realm R if { path /a }", "deny deny_status 429 if { path /many }")
    pages = tuple(f'status {n} content-type text/plain string "{n}!"' for n in (400, 401, 403, 429))
    here = World(frontend={"http_request": rules, "http_error": pages})
    client = here.client(get("/x"))
    assert page(client.reads())[1] == b"403!"
    client.sends(get("/a"))
    login = client.reads()
    assert page(login)[1] == b"401!"
    assert b'www-authenticate: Basic realm="R"' in login
    client.sends(get("/many"))
    assert page(client.reads())[1] == b"429!"
    client.sends(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
    bad = client.reads()
    assert page(bad)[1] == b"400!"
    assert b"connection: close" in bad


def test_rules_about_every_response_see_it():
    here = world({"http_error": (PLAIN,), "http_after_response": ("set-header X-A b",)})
    assert b"X-A: b" in here.client(get()).got


def test_a_head_request_gets_the_head():
    client = world({"http_error": (PLAIN,)}).client(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert statuses(client.got) == [503]
    assert page(client.got)[1] == b""


def test_who_has_no_pages_asks_nothing():
    here = World()
    assert not here.frontend.rules.asks
    assert not here.backend.rules.asks
    assert model.Frontend("fe", ()).http_error == ()


@pytest.mark.parametrize("status", ["402", "x"])
def test_only_what_hapair_says_itself_has_a_page(status):
    with pytest.raises(Exception, match="is none of"):
        World(frontend={"http_error": (f"status {status} content-type text/plain string x",)})
