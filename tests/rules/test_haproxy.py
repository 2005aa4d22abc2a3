"""The real HAProxy judges the same requests by the same rules."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
import seeds
from interop.haproxy import running
from rules import requests as make

from hapair.rules.acl import PREDEFINED, compile_acl, compile_condition

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ACLS = 60
CONDITIONS = 60
REQUESTS = 60


def config(acls: dict[str, list[str]], conditions: list[str], front: Path) -> str:
    lines = [f"listen l\n  bind unix@{front} accept-proxy"]
    lines += [f"  acl {name} {text}" for name, expressions in acls.items() for text in expressions]
    for number, text in enumerate(conditions):
        lines.append(f"  http-request set-var(txn.c{number}) str(y) if {text}")
        lines.append(f"  http-request set-var(txn.c{number}) str(n) unless {text}")
    answers = "".join(f"%[var(txn.c{number})]" for number in range(len(conditions)))
    lines.append(f"  http-request return status 200 content-type text/plain lf-string {answers}\n")
    return "\n".join(lines)


def ask(front: Path, request: make.Request) -> str:
    """HAProxy's verdicts on one request, in the order of the conditions."""
    family = "TCP6" if ":" in request.source else "TCP4"
    to = "::1" if family == "TCP6" else "127.0.0.1"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(front))
        sock.sendall(f"PROXY {family} {request.source} {to} 1 2\r\n".encode() + request.wire())
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (request, answer)
    return "" if request.method == b"HEAD" else body.decode()


def test_every_condition_has_the_same_verdict(tmp_path: Path):
    seed = seeds.draw()
    chance = random.Random(seed)
    acls = {
        f"acl_{number}": [make.expression(chance) for _ in range(chance.choice([1, 1, 2]))]
        for number in range(ACLS)
    }
    names = [*acls, *(name for name in PREDEFINED if name != "REQ_CONTENT")]  # ours is about streams only
    conditions = [*names, *(make.condition(chance, names) for _ in range(CONDITIONS))]
    compiled = {name: compile_acl(expressions) for name, expressions in acls.items()}
    tests = [compile_condition(text, compiled) for text in conditions]
    front = tmp_path / "front.sock"
    with running(tmp_path, config(acls, conditions, front)):
        for _ in range(REQUESTS):
            request = chance.choice([make.request] * 9 + [make.without_target])(chance)
            verdicts = ask(front, request)
            if not verdicts:  # the answer to HEAD has no body
                continue
            for text, test, verdict in zip(conditions, tests, verdicts, strict=True):
                assert test(request) == (verdict == "y"), (seed, text, acls.get(text), request)
