"""Rules that are not asked again: nobody can tell, save by the time that it takes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from proxy.world import World, get, servers

from hapair.config import model
from hapair.proxy.steady import Conditions, Edits
from hapair.rules import needs
from hapair.rules.sample import CONVERTERS, FETCHES

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ACLS = {
    "admin": ("path_beg /admin",),
    "api": ("path_beg -i /api", "path_end .json"),
    "long": ("url_len gt 12",),
    "debug": ("urlp(debug) -m found",),
    "writes": ("method POST PUT",),
    "bot": ("req.hdr(user-agent) -m sub bot spider",),
    "tagged": ("hdr(x-tag) -m found",),
    "tagged_one": ("hdr(x-tag) one",),
    "both": ("base_beg h/api",),
    "guest": ("src 198.51.100.0/24",),
    "high_port": ("src_port ge 40001",),
    "asked": ("var(txn.asked) -m found",),
    "third": ("http_first_req",),
}
CONDITIONS = [f"{sign}{name}" for name in ACLS for sign in ("", "!")]
CONDITIONS += ["api !guest", "bot || writes", "{ req.cook(a) 1 }", "{ path,lower /about }"]
ACTIONS = [
    "set-header X-Tag one",
    "set-header X-Tag %[req.hdr(host),upper]",
    "set-header X-Who %[src]:%[src_port]",
    "add-header X-Path %[path]",
    "add-header X-Via a",
    "add-header X-Var %[var(txn.asked)]",
    "del-header X-Tag",
    "del-header Cookie",
    "set-header Cookie a=s2",
    "set-header Host other",
    "del-header x- -m beg",
    "replace-header User-Agent bot human",
    "set-path /api/new",
    "set-query debug=1",
    "set-method PUT",
    "set-src hdr(x-from)",
    "set-var(txn.asked) path",
    "capture path len 10",
]
ENDS = ["deny", "allow", "redirect location /elsewhere", "return status 200 content-type text/plain string x"]
edits = st.sampled_from(ACTIONS[:9])
conditions = st.sampled_from(CONDITIONS)
rules = st.lists(
    st.one_of(
        edits,
        st.builds("{} if {}".format, edits, conditions),
        st.sampled_from(ACTIONS),
        st.builds("{} if {}".format, st.sampled_from(ACTIONS), conditions),
        st.builds("add-header X-Rule %s if {}".format, conditions).flatmap(
            lambda rule: st.integers(0, 99).map(lambda i: rule % i)
        ),
        st.builds("{} if {} {}".format, st.sampled_from(ENDS), conditions, conditions),
    ),
    max_size=8,
).map(tuple)
LINES = [
    b"GET /",
    b"GET /api/x",
    b"GET /about",
    b"POST /admin",
    b"GET /a.json?debug=1&x=1",
    b"GET http://h/api",
]
FIELDS = [
    [b"Host: h"],
    [b"Host: h", b"Cookie: a=1", b"User-Agent: a bot"],
    [b"Host: h", b"X-Tag: one", b"X-From: 198.51.100.7"],
    [b"Host: h", b"X-Tag: two", b"X-Tag: one", b"Connection: x-tag"],
]
requests = st.tuples(
    st.one_of(st.sampled_from(LINES[:2]), st.sampled_from(LINES)),
    st.one_of(st.sampled_from(FIELDS[1:3]), st.sampled_from(FIELDS)),
)


def written(request) -> bytes:
    line, fields = request
    length = [b"Content-Length: 0"] if line.startswith(b"POST") else []
    return b"\r\n".join([line + b" HTTP/1.1", *fields, *length, b"", b""])


class Pair:
    """Two clients, each of the same world, and what everybody has seen."""

    def __init__(self, frontend, backend, *, by_one) -> None:
        self.world = World(
            frontend={"http_request": frontend, "acl": ACLS},
            servers=servers(2),
            cookie=model.Cookie("a", model.CookieMode.INSERT),
            http_request=backend,
            acl=ACLS,
        )
        if by_one:
            for listed in (self.world.frontend.rules.http_request, self.world.backend.rules.http_request):
                listed.runs = [None] * len(listed.rules)
        self.clients = {}

    def asks(self, who, data):
        client = self.clients.get(who)
        if client is None or client.over or client.state == "shut":
            client = self.clients[who] = self.world.client(source=f"192.0.2.{who + 1}")
        client.sends(data)
        sent = b""
        if client.link is not None:
            client.link.says(OK)
        for link in self.world.links:
            sent += link.got
            link.got = b""
        return sent, client.reads(), client.state, self.world.lines()[-1:]


GUEST = [b"Host: h", b"X-From: 198.51.100.7"]
PLAIN = [b"Host: h"]


@settings(max_examples=200)
@given(frontend=rules, backend=rules, asked=st.lists(st.tuples(st.integers(0, 1), requests), max_size=8))
# Who asks changes from one request to the next, under the same lines.
@example(
    ("set-src hdr(x-from)",),
    ("deny if guest", "deny if bot"),
    [(0, (b"GET /", PLAIN)), (0, (b"GET /", GUEST))],
)
@example(
    ("set-src str(198.51.100.1) if { path /about }", "set-src str(198.51.100.2) if { path /api/x }"),
    ("set-header X-Who %[src]", "set-header X-Via a"),
    [(0, (b"GET /about", PLAIN)), (0, (b"GET /api/x", PLAIN))],
)
# What edits leave is known again: cookies, and the names that are there.
@example(
    ("set-header Cookie a=s2", "add-header X-Via a"),
    (),
    [(0, (b"GET /", PLAIN))],
)
@example(
    ("set-header X-A 1", "add-header X-Via a", "set-header X-B %[path] if { path / }"),
    ("set-header X-B 2", "del-header X-B if asked"),
    [(0, (b"GET /about", PLAIN)), (0, (b"GET /", PLAIN))],
)
# What was edited is not what came.
@example(
    ("add-header X-Tag one if { path /about }",),
    ("deny if tagged", "deny if bot"),
    [(0, (b"GET /", PLAIN)), (0, (b"GET /about", PLAIN))],
)
@example(
    ("set-path /api/x if tagged_one",),
    ("deny if api", "deny if admin"),
    [(0, (b"GET /", PLAIN)), (0, (b"GET /", FIELDS[2]))],
)
@example(
    ("add-header X-Via b", "set-path /api/x if tagged_one"),
    ("deny if api", "deny if bot", "add-header X-Via a", "add-header X-A b"),
    [(0, (b"GET /", PLAIN)), (0, (b"GET /", FIELDS[2]))],
)
@example(
    ("add-header X-Tag one if { path / }",),
    ("add-header X-Rule 1 if tagged", "add-header X-Via a"),
    [(0, (b"GET /about", PLAIN)), (0, (b"GET /", PLAIN))],
)
def test_the_outcome_is_the_same_as_when_each_rule_is_asked_each_time(frontend, backend, asked):
    steady, by_one = Pair(frontend, backend, by_one=False), Pair(frontend, backend, by_one=True)
    for who, request in asked * 4:
        assert steady.asks(who, written(request)) == by_one.asks(who, written(request))


def runs(*listed):
    here = World(frontend={"http_request": listed, "acl": ACLS})
    return [(type(run), run.begin, run.end) for run in here.frontend.rules.http_request.runs if run]


def test_neighbours_that_ask_for_what_repeats_are_taken_as_one():
    deny = "deny if admin", "deny if bot", "deny if guest"
    edits = "set-header A b", "set-header C %[src] if tagged", "del-header D"
    assert runs(*deny, *edits) == [(Conditions, 0, 3), (Edits, 3, 6)]
    assert runs("deny if asked", "deny if { rand(2) 1 }", "deny if both") == []
    assert runs("set-header A %[path]", "set-header B %[date]", "set-path /") == []
    assert runs("deny if admin") == [], "alone it is asked as quickly"


@pytest.mark.parametrize("file_or_map", ["{ path -f FILE }", "{ path,map(FILE) -m found }"])
def test_what_can_be_changed_while_the_node_runs_is_asked_each_time(tmp_path, file_or_map):
    file = tmp_path / "list"
    file.write_text("/a 1\n" if "map" in file_or_map else "/a\n")
    condition = file_or_map.replace("FILE", str(file))
    assert runs(f"deny if {condition}", f"deny if {condition}") == []


def test_a_line_that_came_before_is_asked_no_more():
    here = World(frontend={"http_request": ("deny if admin", "deny if api"), "acl": ACLS})
    (run,) = (run for run in here.frontend.rules.http_request.runs if run)
    client = here.client()
    for _ in range(3):
        client.sends(get("/steady"))
        line = client.session.request.line_seen
        client.server.says(OK)
    assert line.first == {run.number: 2}, "neither holds"
    line.first[run.number] = 0
    client.sends(get("/steady"))
    assert client.server.got.count(b"GET /steady") == 4, "the rule itself has the last word"


def test_a_head_stays_in_one_piece_when_the_same_is_appended_to_it_again():
    here = World(frontend={"http_request": ("set-header A 1", "set-header B 2", "set-header C %[path]")})
    client = here.client()
    for _ in range(4):
        client.sends(get("/pieces"))
        request = client.session.request
        client.server.says(OK)
    assert request.wire.endswith(b"\r\nA: 1\r\nB: 2\r\nC: /pieces")


def test_what_is_said_to_repeat_are_fetches_and_converters_that_there_are():
    assert set(needs.FETCHES) <= set(FETCHES)
    assert set(CONVERTERS) >= needs.CONVERTERS
