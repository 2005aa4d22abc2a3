"""json_query and JSON Web Tokens beside HAProxy: the same paths find the same values."""

from __future__ import annotations

import base64
import hmac
import json
import random
import re
import socket

import pytest
from interop.haproxy import running
from proxy.world import World

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PATHS = [
    *("$.a", "$.b", "$.a.b", "$.a.b.c", "$.list[0]", "$.list[1]", "$.list[2].a", "$.list[9]", "$.a[0]"),
    *(r"$.my\\.key", "$.deep.list[1][0]", "$.n", "$.f", "$.t", "$.s", "$.big", "$.neg", "$.exp", "$.nothing"),
    *("$.a-b", "$.empty", "$.esc"),
]
DOCUMENTS = [
    {"a": 1, "b": "two", "list": [1, "x", {"a": True}], "my.key": "dotted", "n": None, "t": True, "f": False},
    {"a": {"b": {"c": 7}}, "deep": {"list": [[], ["in"]]}, "s": 'quo"te', "big": 123456789, "neg": -3.25},
    {"a": [5, 6], "exp": 1e10, "a-b": "dash", "empty": "", "utf": "äé", "esc": "tab\tnl"},
    {"a": 0, "b": 0.1, "big": 9007199254740991, "list": []},
    [1, 2],
    "text",
    5,
]
TEXTS = [json.dumps(one) for one in DOCUMENTS] + [
    "",
    "{",
    "[1",
    '{"a": }',
    '{"a":1,"a":2}',
    "nonsense",
    ' {"a" : 3 } ',
]
KEY = b"sesame"


def seen(answer: bytes) -> list[bytes]:
    return re.findall(rb"(?i)\r\nx-\d+: ?(.*?)(?=\r\n)", answer)


def ask(path: str, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            more = client.recv(65536)
            assert more, got
            got += more
        return got


def rules_of(samples: list[str]) -> list[str]:
    fields = " ".join(f'hdr X-{i} "<%[var(txn.v{i})]>"' for i in range(len(samples)))
    return [*(f"set-var(txn.v{i}) {one}" for i, one in enumerate(samples)), f"return status 200 {fields}"]


@pytest.mark.parametrize("words", ["", ",'int'"])
@pytest.mark.parametrize("paths", [PATHS[:12], PATHS[12:]])
def test_paths_find_the_same(tmp_path, paths, words):
    samples = [f"req.fhdr(x-json),json_query('{path}'{words})" for path in paths]
    rules = rules_of(samples)
    sections = f"frontend fe\n  bind unix@{tmp_path}/front.sock\n"
    sections += "".join(f"  http-request {rule}\n" for rule in rules)
    with running(tmp_path, sections):
        for text in TEXTS:
            request = f"GET / HTTP/1.1\r\nHost: h\r\nX-Json: {text}\r\n\r\n".encode()
            theirs = seen(ask(str(tmp_path / "front.sock"), request))
            ours = seen(World(frontend={"http_request": tuple(rules)}).client(request).got)
            for sample, one, other in zip(samples, ours, theirs, strict=True):
                assert one == other, (text, sample)


def token(header: object, payload: object, key: bytes, digest: str) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, payload)]
    signed = b".".join(parts)
    signature = hmac.digest(key, signed, digest)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_tokens_are_judged_the_same(tmp_path):
    rng = random.Random(5)
    tokens = ["", "x", "a.b", "a.b.c", "..", "a.b.c.d"]
    for digest, name in (("sha256", "HS256"), ("sha384", "HS384"), ("sha512", "HS512")):
        for key in (KEY, b"other"):
            made = token({"alg": name, "typ": "JWT"}, {"sub": "ann", "n": rng.randrange(99)}, key, digest)
            tokens += [made, made[:-2], made[:-2] + "AA", made.replace(".", ".x", 1)]
    samples = [f"req.hdr(x-token),jwt_verify({name},sesame)" for name in ("HS256", "HS384", "HS512")]
    samples += ["req.hdr(x-token),jwt_header_query('$.alg')", "req.hdr(x-token),jwt_payload_query('$.sub')"]
    samples += ["req.hdr(x-token),jwt_payload_query('$.n','int')"]
    rules = rules_of(samples)
    sections = f"frontend fe\n  bind unix@{tmp_path}/front.sock\n"
    sections += "".join(f"  http-request {rule}\n" for rule in rules)
    with running(tmp_path, sections):
        for one in tokens:
            request = f"GET / HTTP/1.1\r\nHost: h\r\nX-Token: {one}\r\n\r\n".encode()
            theirs = seen(ask(str(tmp_path / "front.sock"), request))
            ours = seen(World(frontend={"http_request": tuple(rules)}).client(request).got)
            for sample, mine, other in zip(samples, ours, theirs, strict=True):
                assert mine == other, (one, sample)
