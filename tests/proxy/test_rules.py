"""Rules at work: what clients and servers see of them, and what the log says."""

from __future__ import annotations

import attrs
import pytest
from proxy.world import TIMEOUTS, World, get, servers

from hapair.config import model
from hapair.rules.actions import rule_mistake

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def world(*rules, response=(), after=(), **more):
    frontend = {
        "http_request": rules,
        "http_response": tuple(response),
        "http_after_response": tuple(after),
        "acl": {"admin": ("path_beg /admin",)},
        **more.pop("frontend", {}),
    }
    timeouts = attrs.evolve(TIMEOUTS, tarpit=2.0)
    return World(frontend=frontend, timeouts=timeouts, **more)


def head(data):
    return data.partition(b"\r\n\r\n")[0].lower()


def test_a_denied_request_gets_403_and_the_connection_goes_on():
    here = world("deny if admin")
    client = here.client(get("/admin"))
    assert client.reads().startswith(b"HTTP/1.1 403 ")
    client.sends(get("/"))
    client.server.says(OK)
    assert client.reads().startswith(b"HTTP/1.1 200 ")
    assert "fe/<NOSRV> 0/-1/-1/-1/0 403" in here.lines()[0]
    assert here.frontend.refusals == {"denied by a rule": 1}
    here.over()


@pytest.mark.parametrize(
    ("rule", "status", "flags"),
    [
        ("deny deny_status 429", 429, "PR"),
        ("deny status 404 content-type text/plain string gone", 404, "PR"),
        ("return status 200 content-type text/plain string hello", 200, "LR"),
        ("redirect location /new", 302, "LR"),
        ("auth realm Vault", 401, "LR"),
    ],
)
def test_an_answer_of_ours_is_logged_with_its_flags(rule, status, flags):
    here = world(rule)
    assert here.client(get("/admin")).reads().startswith(b"HTTP/1.1 %d " % status)
    assert f" {status} " in (line := here.lines()[0])
    assert f" {flags}-- " in line
    here.over()


def test_a_tarpit_answers_only_after_its_time():
    here = world("tarpit if admin")
    client = here.client(get("/admin"))
    here.wait(1.9)
    assert client.reads() == b""
    here.wait(0.2)
    assert client.reads().startswith(b"HTTP/1.1 500 ")
    assert " 500 " in (line := here.lines()[0])
    assert " PT-- " in line
    here.over()


@pytest.mark.parametrize(("rule", "state"), [("reject", "reset"), ("silent-drop", "reset")])
def test_a_rejected_request_ends_without_a_byte(rule, state):
    here = world(f"{rule} if admin")
    client = here.client(get("/admin"))
    assert client.got == b""
    assert client.state == state
    here.over()


@pytest.mark.parametrize(
    ("rule", "location"),
    [
        ("redirect location /new?from=%[path]", b"/new?from=/a/b"),
        ("redirect prefix https://other.example", b"https://other.example/a/b?x=1"),
        ("redirect prefix https://other.example drop-query", b"https://other.example/a/b"),
        ("redirect prefix / append-slash", b"/a/b/?x=1"),
        ("redirect scheme https code 301", b"https://h/a/b?x=1"),
    ],
)
def test_where_a_redirect_leads(rule, location):
    answer = world(rule).client(get("/a/b?x=1")).reads()
    assert b"\r\nlocation: " + location + b"\r\n" in answer
    assert answer.startswith(b"HTTP/1.1 301" if "301" in rule else b"HTTP/1.1 302")


@pytest.mark.parametrize(
    ("rule", "sent"),
    [
        ("set-header X-Src %[src]", b"x-src: 192.0.2.9"),
        ("add-header X-Old more", b"x-old: one, two\r\nx-old: more"),
        ("del-header x-old", b"get /a?q=1 http/1.1\r\nhost: h"),
        ("del-header x- -m beg", b"get /a?q=1 http/1.1\r\nhost: h"),
        (r"replace-header X-Old (.*),.* \1", b"x-old: one"),
        (r"replace-value X-Old ^t(.*) T-\1", b"x-old: one, t-wo"),
        ("set-path /b/%[path]", b"get /b//a?q=1 http/1.1"),
        ("set-query z=2", b"get /a?z=2 http/1.1"),
        ("set-pathq /x", b"get /x http/1.1"),
        (r"replace-path /(.*) /new/\1", b"get /new/a?q=1 http/1.1"),
        (r"replace-pathq /(.*)\?(.*) /\2?\1", b"get /q=1?a http/1.1"),
        ("set-method POST", b"post /a?q=1 http/1.1"),
        ("set-header X-Time %[date]", b"x-time: 1000"),
        ("set-header X-To %[dst_port]/%[be_name]/%[fe_name]", b"x-to: 0//fe"),
    ],
)
def test_what_a_server_gets(rule, sent):
    here = world(rule)
    client = here.client(get("/a?q=1", "X-Old: one, two"))
    assert sent in head(client.server.got)
    client.server.says(OK)
    assert ' /a?q=1 HTTP/1.1"' in here.lines()[0], "the log has what the client asked for"
    here.over()


def test_nothing_that_a_client_sends_can_begin_another_line():
    here = world("set-header X-Name %[urlp(name),url_dec]", "set-path /%[urlp(name),url_dec]")
    client = here.client(get("/?name=a%0d%0aEvil:%20yes%00%20HTTP/1.1%23"))
    lines = client.server.got.split(b"\r\n")
    assert (
        lines[0]
        == b"GET /a%0D%0AEvil:%20yes%00%20HTTP/1.1%23?name=a%0d%0aEvil:%20yes%00%20HTTP/1.1%23 HTTP/1.1"
    )
    assert b"X-Name: a%0D%0AEvil: yes%00 HTTP/1.1#" in lines
    assert not any(line.startswith(b"Evil") for line in lines)


def test_a_variable_set_from_a_request_is_there_for_the_response():
    here = world(
        "set-var(txn.path) path",
        "set-var(req.n) int(3),add(4)",
        response=["set-header X-Path %[var(txn.path)]-%[var(req.n)]", "set-status 503 if { status 200 }"],
        after=["add-header X-After %[res.hdr(x-path)]"],
    )
    client = here.client(get("/a"))
    client.server.says(OK)
    got = head(client.reads())
    assert got.startswith(b"http/1.1 503 ")
    assert b"x-path: /a-7" in got
    assert b"x-after: /a-7" in got
    client.sends(get("/b"))
    client.server.says(OK)
    assert b"x-path: /b-7" in head(client.reads())


def test_every_response_of_ours_meets_the_rules_for_after():
    here = world("deny if admin", after=["set-header X-Seen %[status]"])
    assert b"\r\nx-seen: 403" in head(here.client(get("/admin")).reads())
    assert b"\r\nx-seen: 400" in head(here.client(b"junk\r\n\r\n").reads())


def test_a_response_can_be_denied():
    here = world(response=["deny if { res.hdr(server) -m found }"])
    client = here.client(get("/"))
    client.server.says(b"HTTP/1.1 200 OK\r\nServer: leaky\r\nContent-Length: 6\r\n\r\nsecret")
    answer = client.reads()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"secret" not in answer
    here.over()


def test_a_rule_can_wait_for_the_body_and_look_at_it():
    here = world("wait-for-body time 2s", "deny if { req.body -m sub attack }")
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n"
    client = here.client(post)
    assert client.link is None
    client.sends(b"an att")
    client.sends(b"ack...")
    assert client.reads().startswith(b"HTTP/1.1 403 ")
    client.sends(post + b"a kind word.")
    assert client.server.got.endswith(b"a kind word.")
    client.server.says(OK)
    slow = here.client(post + b"a ")
    here.wait(2.1)
    assert slow.server.got.endswith(b"a ")
    slow.sends(b"kind word.")
    assert slow.server.got.endswith(b"a kind word.")
    slow.server.says(OK)
    here.over()


def test_chunked_bodies_are_looked_at_without_their_chunks():
    here = world("wait-for-body time 2s", "deny if { req.body -m str attack }")
    client = here.client(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\natt\r\n3\r\nack\r\n0\r\n\r\n"
    )
    assert client.reads().startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("mode", list(model.Mode))
def test_a_connection_can_be_rejected_before_a_byte_is_read(mode):
    here = World(mode=mode, frontend={"tcp_request_connection": ("reject if { src 192.0.2.9 }",)})
    assert here.client().state == "reset"
    assert here.client(source="192.0.2.10").state == "open"
    here.over()


def test_the_first_rule_that_allows_ends_the_list():
    here = world("allow if { src 192.0.2.9 }", "deny")
    assert here.client(get()).link is not None
    assert here.client(get(), source="192.0.2.1").reads().startswith(b"HTTP/1.1 403 ")
    here.over()


def test_another_address_counts_for_everything_that_follows():
    here = world("set-src req.hdr_ip(x-real-ip)", "set-header X-Src %[src]")
    client = here.client(get("/", "X-Real-IP: 203.0.113.7"))
    assert b"x-src: 203.0.113.7" in head(client.server.got)
    client.server.says(OK)
    assert here.log[0].startswith("203.0.113.7:40000 ")


def test_rules_about_responses_meet_an_upgrade_too():
    here = world(response=("set-header X-A b", "del-header Server"), after=("set-header X-Z c",))
    client = here.client(get("/", "Connection: Upgrade", "Upgrade: websocket"))
    client.server.says(
        b"HTTP/1.1 101 Switching Protocols\r\nServer: s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    head = client.reads()
    assert b"\r\nX-A: b\r\n" in head
    assert b"\r\nX-Z: c\r\n" in head
    assert b"Server" not in head
    assert here.frontend.responses[1] == 1
    client.sends(b"frame")
    assert client.server.got.endswith(b"frame")
    here.over()


def test_a_backend_has_rules_of_its_own_and_names_the_server():
    here = World(
        servers=servers(2),
        acl={"second": ("path_beg /2",)},
        http_request=("set-header X-Be %[be_name]/%[nbsrv]", "deny if { path /no }"),
        http_response=("del-header server",),
        use_server=(model.UseServer("s2", "second"),),
    )
    for path, name in (("/2", "s2"), ("/2", "s2"), ("/1", "s1")):
        client = here.client(get(path))
        assert client.server.server.name == name
        assert b"x-be: be/2" in head(client.server.got)
        client.server.says(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n")
        assert b"server:" not in head(client.reads())
    assert here.client(get("/no")).reads().startswith(b"HTTP/1.1 403 ")
    here.set_up("s2", up=False)
    assert here.client(get("/2")).server.server.name == "s1"


def test_a_backend_is_chosen_by_an_expression_or_else_the_default():
    use = (model.UseBackend("%[req.hdr(x-to)]"),)
    here = World(frontend={"use_backend": use})
    assert here.client(get("/", "X-To: be")).link is not None
    assert here.client(get("/", "X-To: nowhere")).link is not None
    here = World(frontend={"use_backend": use, "default_backend": None})
    assert here.client(get("/", "X-To: nowhere")).reads().startswith(b"HTTP/1.1 503 ")


def test_a_monitor_is_told_whether_we_are_well_and_leaves_no_trace():
    here = World(frontend={"monitor_uri": "/alive", "monitor_fail": "{ nbsrv(be) lt 1 }"})
    client = here.client(get("/alive"))
    assert client.reads().startswith(b"HTTP/1.1 200 ")
    here.set_up("s1", up=False)
    client.sends(get("/alive"))
    assert client.reads().startswith(b"HTTP/1.1 503 ")
    assert here.lines() == []


def test_a_log_line_can_be_left_out():
    here = world("set-log-level silent if admin")
    for path in ("/admin", "/other"):
        here.client(get(path)).server.says(OK)
    assert len(here.lines()) == 1


def test_a_stream_can_be_rejected_by_what_it_brings():
    rules = ("accept if { req.ssl_hello_type 1 }", "reject if { req.payload(0,3) -m bin 474554 }")
    here = World(
        mode=model.Mode.TCP, frontend={"tcp_request_content": rules, "tcp_request_inspect_delay": 2.0}
    )
    assert here.client(b"GET / HTTP/1.1\r\n").state == "reset"
    assert here.client(b"SSH-2.0-x\r\n").link is not None
    here.over()


def test_what_must_not_be_written_by_rules_is_a_mistake():
    for text, offset, message in (
        ("set-header Content-Length 0", 11, "delimits messages"),
        ("dney", 0, "unknown action 'dney'; did you mean \"deny\"?"),
        ("deny deny_status 999", 17, "not a status"),
        ("deny iff x", 5, "unknown word 'iff'"),
        ("deny if", 5, "a condition must follow"),
        ("deny if blokced", 8, 'did you mean "blocked"?'),
        ("set-header X %[pth]", 15, 'did you mean "path"?'),
        ("set-header X %[res.hdr(a)]", 15, "known only once there is a response"),
        ("set-header X 100%", 16, "a percent sign is written %%"),
        ("set-header X", 12, "needs a value"),
        ("set-var(x) path", 8, "not a variable"),
        ("replace-path a(+)+ b", 13, "invalid regular expression"),
        ("return status 200 string x", 0, "needs a content-type"),
        ("return status 204 content-type a/b string x", 0, "status 204 has no body"),
        ("return content-type a/b lf-string %[path] status 304", 0, "status 304 has no body"),
        ("set-path", 8, "set-path needs a value"),
    ):
        found = rule_mistake("http_request", text, ["blocked"])
        assert found is not None, text
        assert message in found[1], (text, found)
        assert found[0] == offset, (text, found)
