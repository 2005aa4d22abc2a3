"""A message that is refused leaves its reason: in the log, on the runtime socket, in the counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World, answer, get

from hapair.config.model import HttpLimits
from hapair.proxy.faults import KEPT, LONGEST, PER_SECOND, Faults


def told(world: World) -> list[str]:
    """The lines about what was refused, from the frontend's name on; ask for them before."""
    lines: list[str] = []
    world.process.faults.log = lambda severity, line: lines.append(f"{severity} {line.decode()}")
    return lines


BAD = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_request_that_is_refused_is_logged_with_the_reason():
    world = World()
    lines = told(world)
    world.client(BAD)
    (line,) = lines
    assert line.startswith("5 192.0.2.9:40000 [01/Jan/1970:")
    assert line.endswith(
        '.000] fe <NONE>/<NONE>: refused request: both Content-Length and Transfer-Encoding: "GET / HTTP/1.1"'
    )
    assert world.frontend.refusals == {"both Content-Length and Transfer-Encoding": 1}
    assert len(world.log) == 1  # the usual line, too


def test_a_body_that_is_refused_too():
    world = World()
    lines = told(world)
    client = world.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.sends(b"xyz\r\n")
    assert lines[0].endswith(' fe be/s1: refused request: invalid chunk-size line: "xyz"')


def test_a_response_that_is_refused_is_logged_and_counted_by_backend():
    world = World()
    lines = told(world)
    client = world.client(get())
    client.server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert len(lines) == 1
    assert " fe be/s1: refused response: " in lines[0]
    assert sum(world.process.faults.responses["be"].values()) == 1
    world.over()


def test_limits_of_a_frontend_have_their_statuses_and_reasons():
    world = World(frontend={"http_limits": HttpLimits(request_line=300, head=1024, headers=10)})
    lines = told(world)
    for request in (
        get("/" + "a" * 300),
        b"GET /" + b"a" * 300,
        get("/", "X: " + "a" * 1024),
        b"GET / HTTP/1.1\r\nX: " + b"a" * 1024,
        get("/", *["X: y"] * 10),
    ):
        world.client(request)
    line, head = "http_limits.request_line 300", "http_limits.head 1024, headers 10"
    assert [line.split('"')[0].rpartition(" refused request: ")[2] for line in lines] == [
        *[f"request line too long ({line}): "] * 2,
        *[f"head too large ({head}): "] * 2,
        f"more than 10 header lines ({head}): ",
    ]
    assert [line.split()[3] for line in world.lines()] == ["414", "414", "431", "431", "431"]


def test_a_server_may_send_as_large_a_head_as_clients_and_what_is_usual_at_least():
    for limits, headers, status in (
        (HttpLimits(headers=10), 90, "200"),
        (HttpLimits(headers=10), 110, "502"),
        (HttpLimits(headers=200), 110, "200"),
    ):
        world = World(frontend={"http_limits": limits})
        world.client(get()).server.says(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: y\r\n" * headers + b"\r\n"
        )
        assert world.lines()[0].split()[3] == status
        world.over()


def test_what_no_rule_of_http_refuses_is_no_fault():
    world = World(frontend={"http_request": ("deny if { path /no }",)})
    lines = told(world)
    world.client(get()).server.says(answer())
    world.client(get("/no"))
    world.client(b"GET /")
    world.wait(10)
    world.over()
    assert lines == []
    assert not world.process.faults.last


def test_a_frontend_that_logs_nothing_logs_no_reasons():
    world = World(frontend={"log_format": None})
    lines = told(world)
    world.client(BAD)
    assert lines == []
    assert world.process.faults.total == 1


def test_a_flood_is_told_in_a_few_lines():
    world = World()
    lines = told(world)
    for _ in range(1000):
        world.client(BAD).gone()
    assert len(lines) == PER_SECOND
    world.wait(1)
    world.client(BAD)
    assert len(lines) == PER_SECOND + 1
    assert lines[-1].endswith(f" ({1000 - PER_SECOND} more were not told)")
    world.client(BAD)
    assert "more" not in lines[-1]
    assert world.process.faults.total == 1002


def test_the_last_are_shown_newest_first():
    world = World()
    for number in range(KEPT + 5):
        world.client(b"GET /%d HTTP/9.9\r\n\r\n" % number)
    shown = world.process.faults.show()
    assert shown.startswith(f"Total events captured: {KEPT + 5}\n")
    assert shown.index(f"/{KEPT + 4} ") < shown.index("/5 ")
    assert "GET /4 " not in shown
    assert "frontend fe: invalid request: unsupported version" in shown
    assert "  00000  GET /36 HTTP/9.9\\r\\n\n  00018  \\r\\n\n" in shown


def test_what_is_shown_can_be_chosen():
    world = World()
    world.client(BAD)
    world.client(get()).server.says(b"junk\r\n\r\n")
    faults = world.process.faults
    assert "invalid response" not in faults.show("fe", "request")
    assert "invalid request" not in faults.show("be")
    assert "invalid response" in faults.show("be", "response")
    assert faults.show("other").count("invalid") == 0
    world.over()


@given(st.binary(max_size=2 * LONGEST))
def test_what_was_refused_cannot_forge_a_line(data: bytes):
    world = World()
    lines = told(world)
    faults: Faults = world.process.faults
    faults.request(world.client().session, "reason", data, world.now)
    (line,) = lines
    assert line.isprintable()
    assert line.count('"') == 2
    assert all(part.isprintable() for part in faults.show().split("\n"))
    assert len(faults.last[0].began) <= LONGEST
