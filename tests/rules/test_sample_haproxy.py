"""The real HAProxy evaluates the same expressions over the same requests."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from pathlib import Path

import attrs
import pytest
import seeds
from interop.haproxy import running
from rules import requests as make
from rules.transaction import Place, Transaction

from hapair.rules.lexer import RuleError
from hapair.rules.sample import CONVERTERS, Sample, compile_sample
from hapair.rules.values import as_text

pytestmark = [pytest.mark.interop, pytest.mark.slow]

EXPRESSIONS = 350
REQUESTS = 40
STEP = r",(?![^(]*\))"
"""The comma before a converter."""
EACH_ANSWER = 70
"""Expressions in one answer: a line of haproxy.cfg is short."""

FIXED = [
    *(
        "req.fhdr(accept-language),language(es;fr;en)",
        "req.fhdr(accept-language),language(fr-FR;fr,xx)",
        "req.hdr(host),host_only",
        "req.hdr(host),port_only",
        "int(-7),neg",
        "int(-7),add(9)",
        "int(-7),mod(3)",
    ),
    *("int(-7),div(2)", "int(-7),cpl", "int(-7),odd", "int(7),sub(9)", "int(-7),mul(-1)", "int(-7),hex"),
    *(f"int({at}),{step}" for at in (0, 86399, 1700000000) for step in ("http_date", "utime(%Y-%m-%d_%T)")),
    *("int(1700000000),ltime(%H:%M)", "int(1700000000),ltime(%j,3600)", "int(1700000000),http_date(60)"),
]
"""What cannot be followed by anything or preceded by anything without meeting an error of HAProxy's own."""

FETCHES = (
    "path pathq query url method req.ver base base32 base32+src url32 url32+src src src_port dst dst_port "
    "fe_name req.hdr(x-a) req.hdr(x-a,1) req.hdr(x-a,-2) req.hdr(x-a,2) hdr(host) req.fhdr(x-b) "
    "req.fhdr(x-b,1) req.hdr_cnt(x-a) req.fhdr_cnt(x-a) req.hdr_val(x-n) req.hdr_ip(x-b) hdr_val(x-n,1) "
    "req.hdr_names req.cook(c) req.cook(d) req.cook_cnt(c) req.cook_val(c) urlp(a) urlp(b) url_param(a) "
    "urlp_val(b) str(some_Text) str(a-b_c--d) str(12ab) "
    "str(10.1.2.3) str(Z29vZA==) str(f0ff) str(::1) str(%41+b%20c) int(0) int(1) "
    "int(9223372036854775807) int(1700000000) bin(00ff10) "
    "bin(41c081f09f9880efbfbfc3a9) bin(e282ac41c0af) ipv4(192.0.2.77) ipv6(2001:db8::77) "
    "req.body_len var(txn.none) var(txn.none,fallback) req.hdrs req.hdrs_bin capture.req.ver fc_src "
    "fc_src_port fc_dst fc_dst_port fc_rcvd_proxy fc_http_major fe_client_timeout req.fhdr(accept-language)"
).split()
STEPS = (
    "lower upper hex hex2i base64 b64dec ub64enc url_enc url_dec url_dec(1) length json "
    "json(utf8) json(utf8s) json(utf8p) json(utf8ps) "
    "word(1,/) word(2,_-) word(-1,-) word(-2,-_,2) word(1,_,0) field(1,/) field(2,-) "
    "field(-1,_) field(-3,-,2) field(2,_,0) field(9,a) bytes(0,2) bytes(1) bytes(2,9) ltrim(/a) rtrim(g3) "
    "regsub(a,X) regsub([a-z],<,g) regsub(S,-,gi) concat(<,txn.none,>) concat(x) sdbm sdbm(1) djb2 "
    "djb2(1) wt6 wt6(1) crc32 crc32(1) crc32c crc32c(1) xxh32 xxh32(7) xxh64 xxh64(7) sha1 sha2 sha2(512) "
    "digest(md5) hmac(sha256,a2V5) add(1) add(9) sub(-3) mul(3) mul(-4611686018427387904) div(3) div(-2) "
    "mod(7) mod(-3) and(12) or(9) xor(255) neg bool not even odd iif(yes,no) ipmask(24) ipmask(8,32) "
    "ipmask(255.255.0.0) be2hex be2hex(:,2) be2hex(:,2,1) "
    "be2dec(:,2) be2dec(:,3,1) htonl strcmp(txn.some) set-var(txn.new) set-var(txn.new,ifnotempty) "
    "language(es;fr;en) language(fr-FR;fr,xx)"
).split()


def expression(chance: random.Random) -> str:
    """A fetch and some converters; not every one can be applied to what comes before it."""
    return ",".join([chance.choice(FETCHES), *chance.choices(STEPS, k=chance.choice([0, 1, 1, 1, 2, 2, 3]))])


def possible(text: str) -> bool:
    try:
        compile_sample(text)
    except RuleError:
        return False
    fetch, *steps = re.split(STEP, text)
    names = [converter.partition("(")[0] for converter in steps]
    if any(CONVERTERS[n].gives == "bool" for n in names[:-1]) or (
        names[1:] and compile_sample(fetch).kind == "bool"
    ):
        return False  # a truth in arithmetic stays one in HAProxy: it cannot be cast any more
    for i, step in enumerate(steps):
        if "empty" in step and compile_sample(",".join([fetch, *steps[:i]])).kind not in ("str", "bin"):
            return False  # HAProxy reads the size of a text where there is none
    # HAProxy knows before an address is there that it may be an IPv6 one, which is no number.
    start = 0 if text.startswith("ipv6") else names.index("ipmask") + 1 if "ipmask" in names else len(names)
    return all(CONVERTERS[n].takes not in ("int", "bool") for n in names[start:])


def decoded(text: str) -> list[Sample]:
    """What its converters b64dec get.  Of an empty one HAProxy reads the byte before: after "c=" it fails."""
    fetch, *steps = re.split(STEP, text)
    return [compile_sample(",".join([fetch, *steps[:i]])) for i, step in enumerate(steps) if step == "b64dec"]


def config(expressions: list[str], front: Path) -> str:
    lines = [f"listen fe\n  bind unix@{front} accept-proxy", "  http-request set-var(txn.some) str(b_c)"]
    lines += [f"  http-request set-var(txn.v{i}) {text}" for i, text in enumerate(expressions)]
    for start in range(0, len(expressions), EACH_ANSWER):
        numbers = range(start, min(start + EACH_ANSWER, len(expressions)))
        answers = "".join(rf"%[var(txn.v{i})]\n" for i in numbers)
        condition = f"{{ req.hdr(x-part) {start} }}"
        lines.append(
            f'  http-request return status 200 content-type text/plain lf-string "{answers}" if {condition}'
        )
    return "\n".join(lines) + "\n"


def taken(expressions: list[str], front: Path, folder: Path) -> list[str]:
    """Those that HAProxy takes: it knows some types better before they are there.  It names one at a time."""
    file = folder / "check.cfg"
    while True:
        file.write_text(f"defaults\n  mode http\n{config(expressions, front)}")
        said = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True).stderr
        refused = {int(number) for number in re.findall(r"ALERT.*set-var\(txn\.v([0-9]+)\)' rule", said)}
        if not refused:
            return expressions
        expressions = [text for i, text in enumerate(expressions) if i not in refused]


def ask(front: Path, request: make.Request) -> list[bytes]:
    family = "TCP6" if ":" in request.source else "TCP4"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(front))
        to = "::1" if family == "TCP6" else "127.0.0.1"
        sock.sendall(f"PROXY {family} {request.source} {to} 40000 80\r\n".encode() + request.wire())
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (request, answer)
    return body.split(b"\n")[:-1]


WEIGHTS = [
    "",
    ";q=0.5",
    ";q=0.8",
    ";q=0.0",
    ";q=1.0",
    "; q=0.25",
    ";q=x",
    ";q=1.5",
    ";q=0.9999",
    ";q=.5",
    ";Q=0.1",
    " ;q=0.3",
    ";a=b;q=0.2",
]
"""None of one digit: behind such HAProxy 2.6 does not see the comma."""


def request(chance: random.Random) -> make.Request:
    made = make.request(chance)
    pairs = [
        f"{chance.choice('cd')}={chance.choice(['1', 'abc', '17x'])}" for _ in range(chance.randint(0, 3))
    ]
    headers = made.headers + (((b"cookie", "; ".join(pairs).encode()),) if pairs else ())
    headers += ((b"x-n", chance.choice([b"12", b"7x", b"3, 44", b"abc"])),)
    languages = [
        chance.choice(["fr", "fr-FR", "fr-CA", "en-US", "es", "EN", "*", "", " de ", "fr CA"])
        + chance.choice(WEIGHTS)
        for _ in range(chance.randint(1, 4))
    ]
    headers += ((b"accept-language", ",".join(languages).strip().encode()),)
    query = chance.choice(["", "a=1", "a=x&b=22", "b=3&a=%41+c", "c", "a=&b=7z"]).encode()
    source = chance.choice([s for s in make.SOURCES if not s.startswith("::ffff")])
    return attrs.evolve(made, headers=headers, query=query, source=source, method=b"GET")


def test_every_sample_has_the_same_value(tmp_path: Path):
    seed = seeds.draw()
    chance = random.Random(seed)
    expressions = [*FETCHES, *FIXED]
    while len(expressions) < EXPRESSIONS:
        text = expression(chance)
        if possible(text):
            expressions.append(text)
    front = tmp_path / "front.sock"
    expressions = taken(expressions, front, tmp_path)
    assert len(expressions) > EXPRESSIONS * 0.95
    samples = [compile_sample(text) for text in expressions]
    different: dict[str, tuple] = {}
    with running(tmp_path, config(expressions, front)):
        for _ in range(REQUESTS):
            one = request(chance)
            start = chance.randrange(0, len(expressions), EACH_ANSWER)
            one = attrs.evolve(one, headers=(*one.headers, (b"x-part", str(start).encode())))
            local = "::1" if ":" in one.source else "127.0.0.1"
            about = Transaction(
                one.lines,
                one.target,
                local=local,
                proxied=True,
                ends=(("unix", 0), ("", 0)),
                frontend=Place("fe"),
                variables={"txn.some": b"b_c"},
            )
            facts = Facts(one, about)
            theirs = ask(front, one)
            for i, known in enumerate(theirs, start):
                ours = as_text(samples[i].read(facts))
                if ours != known and b"" not in [before.read(facts) for before in decoded(expressions[i])]:
                    different.setdefault(expressions[i], (ours, known, one))
    assert not different, (seed, {k: v[:2] for k, v in different.items()})


class Facts:
    """A request with the transaction that it belongs to."""

    def __init__(self, request: make.Request, about: Transaction) -> None:
        self.method = request.method
        self.path = request.path
        self.query = request.query
        self.source = request.source
        self.host = request.host
        self.header = request.header
        self.about = about
