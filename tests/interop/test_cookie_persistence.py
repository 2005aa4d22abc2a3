"""Cookie persistence beside HAProxy: generated cookies, options and answers have the same effect.

Compared are the server that is chosen, the cookies that it sees, what the client is told, and both log flags.
"""

from __future__ import annotations

import base64
import contextlib
import random
import socket
import time
from itertools import product

import pytest
from interop.haproxy import running
from interop.listening import Listener
from proxy.world import START, World

from hapair.config import model
from hapair.proxy.cookie_dates import stamp
from hapair.proxy.log_line import Dates

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NAMES = {"a": "A", "b": "B", "c": None, "gone": "G", "twin": "A", "drained": "W"}
SEEDS = range(800)
PRIVATE = b"cache-control=private"
MODES = {
    "passive": ["", "indirect"],
    "insert": [
        "",
        "indirect",
        "indirect nocache",
        "nocache postonly",
        "preserve",
        "indirect preserve nocache",
    ],
    "rewrite": [""],
    "prefix": ["", "indirect"],
}
DATED = ["", "maxidle 100", "maxlife 1000", "maxidle 100 maxlife 1000"]
VARIANTS = [
    (mode, f"{options} {dated}".strip(), rule)
    for mode, every in MODES.items()
    for options, dated, rule in product(
        every, DATED if mode == "insert" else [""], ["", "force", "ignore", "use", "persist"]
    )
]


def cookie_of(mode: str, options: str) -> model.Cookie:
    words = options.split()
    return model.Cookie(
        "SID",
        model.CookieMode(mode),
        **{word: True for word in words if not word.isdecimal() and not word.startswith("max")},
        **{name: float(words[words.index(name) + 1]) for name in ("maxidle", "maxlife") if name in words},
        httponly="postonly" in words,
        secure="postonly" in words,
        domain=(".a.example", ".b.example") if "nocache" in words else (),
        attr=("SameSite=Lax", "Priority=High") if "indirect" in words else (),
    )


def haproxy_cookie(mode: str, options: str) -> str:
    cookie = cookie_of(mode, options)
    more = [*(f"domain {one}" for one in cookie.domain), *(f'attr "{one}"' for one in cookie.attr)]
    more += ["httponly", "secure"] if cookie.secure else []
    return " ".join(["cookie SID", mode if mode != "passive" else "", options, *more])


class Site(Listener):
    """Answers as the request asks for, and tells which cookies it got."""

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self.name = name

    def serve(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        client.sendall(site(data, self.name))


def site(request: bytes, name: bytes) -> bytes:
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    add = next((base64.b64decode(line[7:]) for line in lines if line.lower().startswith(b"x-add: ")), b"")
    status = next((line[10:] for line in lines if line.lower().startswith(b"x-status: ")), b"200")
    got = b"&".join(line[7:].strip() for line in lines if line.lower().startswith(b"cookie:"))
    return b"HTTP/1.1 %b X\r\nContent-Length: 0\r\nConnection: close\r\nX-Name: %b\r\nX-Got: %b\r\n%b\r\n" % (
        status,
        name,
        got,
        add,
    )


def case(rng: random.Random, now: int) -> bytes:
    """A request."""
    late = [now - rng.choice([0, 3, 50, 96, 200, 990, 5000]) for _ in range(2)]
    late += [now + rng.choice([10, 90000])]
    dated = [
        b"A|" + stamp(rng.choice(late)),
        b"A|" + stamp(rng.choice(late)) + b"|" + stamp(rng.choice(late)),
    ]
    values = [
        *(b"A", b"B", b"G", b"W", b"zz", b"", b"a", b"A~xyz", b"B~", b"~x", b"A~x~y", b"G~1", b"A|", b"A|zz"),
        *dated,
    ]
    pairs = [b"x=1", b"y=2", b"SIDE=3"]
    lines: list[bytes] = []
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        some = rng.sample(pairs, rng.randrange(3))
        for _ in range(rng.choice([0, 1, 1, 1, 1, 2])):
            some.insert(rng.randrange(len(some) + 1), b"SID=" + rng.choice(values))
        if some:
            lines.append(b"Cookie: " + b"; ".join(some))
    adds = [
        *(b"Set-Cookie: SID=own\r\n", b"Set-Cookie: SID=own; path=/x\r\n", b"Set-Cookie: other=1\r\n"),
        *(b"Cache-Control: private\r\n", b"Cache-Control: public, max-age=9\r\n", b"Pragma: no-cache\r\n"),
        *(b"Cache-Control: max-age=0\r\n", b"Set-Cookie: SID=\r\n"),
    ]
    add = b"".join(rng.sample(adds, rng.choice([0, 0, 1, 1, 2])))
    lines.append(b"X-Add: " + base64.b64encode(add))
    lines.append(b"X-Status: " + rng.choice([b"200", b"200", b"302", b"404", b"500"]))
    method = rng.choice([b"GET", b"GET", b"POST"])
    return method + b" /%b HTTP/1.1\r\nHost: h\r\n" + b"".join(one + b"\r\n" for one in lines) + b"\r\n"


def seen(answer: bytes) -> tuple[bytes, ...]:
    """What matters in an answer."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    wanted = (b"set-cookie", b"cache-control", b"x-name", b"x-got")
    kept = [(one.partition(b":")[0].lower(), one.partition(b":")[2].strip()) for one in lines[1:]]
    return (lines[0][9:12], *(name + b"=" + value for name, value in kept if name in wanted))


def ours(variant: int, request: bytes, today: int) -> tuple[tuple[bytes, ...], str]:
    mode, options, rule = VARIANTS[variant]
    pool = tuple(
        model.Server(
            name=name,
            id=i,
            host="h",
            port=1,
            cookie=cookie,
            disabled=name == "gone",
            weight=0 if name == "drained" else 1,
            backup=name == "c",
        )
        for i, (name, cookie) in enumerate(NAMES.items(), 1)
    )
    here = World(
        servers=pool,
        cookie=cookie_of(mode, options),
        balance=model.Balance("first"),
        redispatch=-1,
        retries=0,
        force_persist=("METH_GET",) if rule == "force" else (),
        ignore_persist=("{ req.hdr(x-status) 200 }",) if rule == "ignore" else (),
        use_server=(
            (model.UseServer("gone", "{ req.hdr(x-status) 200 }"), model.UseServer("b", "METH_POST"))
            if rule == "use"
            else ()
        ),
        persist=rule == "persist",
    )
    here.frontend.dates = Dates(today - START)
    client = here.client(request)
    link = client.server
    link.says(site(link.got, link.server.name.encode()))
    (line,) = here.lines()
    return seen(client.got), line.split(" - - ")[1][2:4]


def config(folder, paths: dict[str, str]) -> str:
    text = (
        f"frontend fe\n  bind unix@{folder}/front.sock\n  log {folder}/log.sock local0\n"
        '  log-format "%tsc"\n  use_backend %[path,field(2,/)]\n'
    )
    rules = {
        "": "",
        "force": "  force-persist if METH_GET\n",
        "ignore": "  ignore-persist if { req.hdr(x-status) 200 }\n",
        "use": "  use-server gone if { req.hdr(x-status) 200 }\n  use-server b if METH_POST\n",
        "persist": "  option persist\n",
    }
    for i, (mode, options, rule) in enumerate(VARIANTS):
        text += (
            f"backend b{i}\n  balance first\n  retries 0\n  option redispatch\n"
            f"  {haproxy_cookie(mode, options)}\n{rules[rule]}"
        )
        for name, cookie in NAMES.items():
            more = f" cookie {cookie}" if cookie else ""
            more += {"gone": " disabled", "drained": " weight 0", "c": " backup"}.get(name, "")
            text += f"  server {name} {paths[name]}{more}\n"
    return text


def ask(path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = client.recv(65536)
            assert more, answer
            answer += more
        return answer


def test_everybody_is_told_the_same(tmp_path):
    with contextlib.ExitStack() as stack, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.settimeout(10)
        log.bind(str(tmp_path / "log.sock"))
        paths = {}
        for name in NAMES:
            one = stack.enter_context(Site(name.encode()))
            paths[name] = f"127.0.0.1:{one.port}"
        stack.enter_context(running(tmp_path, config(tmp_path, paths)))
        for seed in SEEDS:
            variant = random.Random(seed).randrange(len(VARIANTS))
            for _ in range(5):
                today = int(time.time())
                request = case(random.Random(seed), today) % b"b%d" % variant
                theirs = seen(ask(str(tmp_path / "front.sock"), request))
                flags = log.recv(4096).decode().split()[-1][2:4]
                if int(time.time()) == today:
                    break
            mine, our_flags = ours(variant, request, today)
            if PRIVATE in mine and PRIVATE not in theirs:  # we mark more than HAProxy does, never less
                mine = tuple(one for one in mine if one != PRIVATE)
            assert (mine, our_flags) == (theirs, flags), (seed, VARIANTS[variant], request)
