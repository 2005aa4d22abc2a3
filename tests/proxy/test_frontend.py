"""Where requests go, and what a reload keeps."""

from __future__ import annotations

from hapair.config import model
from hapair.config.model import ForwardFor, UseBackend
from hapair.http1.head import Request, parse_request
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
