"""Where requests go, and what a reload keeps."""

from __future__ import annotations

import pytest

from hapair.config import model
from hapair.config.model import ForwardFor, UseBackend
from hapair.http1.head import Request, parse_request
from hapair.http1.memo import LONGEST
from hapair.proxy.backend import Backend
from hapair.proxy.frontend import Frontend, Process
from hapair.proxy.log_line import Dates


def make(backends: dict[str, Backend], **options: object) -> Frontend:
    config = model.Frontend(name="fe", bind=(), mode=model.Mode.HTTP, **options)  # type: ignore[arg-type]
    return Frontend(config, backends, Process(10), Dates(0), lambda *_: None)


def pools(*names: str, **options: object) -> dict[str, Backend]:
    return {n: Backend(model.Backend(name=n, **options), {}, []) for n in names}  # type: ignore[arg-type]


def routed(frontend: Frontend, path: bytes) -> str | None:
    backend = frontend.route(parse_request(b"GET %b HTTP/1.1\r\nHost: h" % path))
    return backend.name if backend is not None else None


def test_the_first_rule_that_holds_decides_then_the_default() -> None:
    frontend = make(
        pools("static", "images", "web"),
        acl={"static": ("path_beg /static", "path_end .css"), "png": ("path_end .png",)},
        use_backend=(UseBackend("images", "static png"), UseBackend("static", "static")),
        default_backend="web",
    )
    assert [routed(frontend, p) for p in (b"/static/a.png", b"/static/b", b"/x.css?q", b"/x.png")] == [
        "images",
        "static",
        "static",
        "web",
    ]


@pytest.mark.parametrize(
    ("condition", "by_path"),
    [
        ("static", True),
        ("static !png || { path -i /a }", True),
        ("static local", False),
        ("!local", False),
        ("static { hdr(host) h }", False),
        ("static METH_GET", False),
        ("static { path,lower /a }", False),
        ("static { path -f /dev/null }", False),
    ],
)
def test_what_a_path_led_to_is_remembered_only_when_nothing_else_counts(
    condition: str, by_path: bool
) -> None:
    frontend = make(
        pools("static", "web"),
        acl={"static": ("path_beg /static",), "png": ("path_end .png",), "local": ("src 127.0.0.1",)},
        use_backend=(UseBackend("static", condition),),
        default_backend="web",
    )
    assert (frontend.by_path is not None) == by_path
    request = parse_request(b"GET /static/x HTTP/1.1\r\nHost: h")
    for source, expected in (("127.0.0.1", "static"), ("192.0.2.1", "static" if by_path else None)):
        request.source = source
        if by_path:
            assert [routed(frontend, b"/static/x"), routed(frontend, b"/y")] == [expected, "web"]
        elif "local" in condition:
            backend = frontend.route(request)
            assert backend is not None
            assert backend.name == ("static" if (source == "127.0.0.1") != ("!" in condition) else "web")


def test_where_a_path_is_too_long_to_be_remembered_the_rules_decide() -> None:
    frontend = make(
        pools("static", "web"),
        use_backend=(UseBackend("static", "{ path_end .png }"),),
        default_backend="web",
    )
    long = b"/" + b"x" * LONGEST
    assert [routed(frontend, long + end) for end in (b"", b".png", b"", b".png")] == ["web", "static"] * 2


def test_a_rule_without_a_condition_always_holds_and_nothing_is_no_backend() -> None:
    assert routed(make(pools("a", "b"), use_backend=(UseBackend("a"),), default_backend="b"), b"/") == "a"
    assert routed(make(pools("a")), b"/") is None


def test_the_forwardfor_of_both_sides_counts_and_follows_a_reload_of_the_backend() -> None:
    backends = pools("web")
    frontend = make(backends, default_backend="web")
    assert frontend.marks(backends["web"]) is None
    new = pools("web", forwardfor=ForwardFor(header="X-New"))["web"]
    marks = frontend.marks(new)
    assert marks is not None
    request = Request()
    marks.add(request, "192.0.2.1", 1, "192.0.2.2", 80)
    assert request.lines == [b"X-New: 192.0.2.1"]
    assert frontend.marks(new) is marks


def test_a_reloaded_frontend_goes_on_counting() -> None:
    old, new = make({}), make({})
    old.total, old.requests = 5, 7
    old.refused("why")
    old.responses[2] = 3
    new.adopt_counters(old)
    old.refused("later")
    assert (new.total, new.requests, new.request_errors, new.refusals) == (5, 7, 1, {"why": 1})
    assert new.responses[2] == 3
