"""normalize-uri beside HAProxy: generated targets become the same."""

from __future__ import annotations

import random
import re
import socket

import pytest
from interop.haproxy import running
from proxy.world import World

pytestmark = [pytest.mark.interop, pytest.mark.slow]

KINDS = [
    "path-merge-slashes",
    "path-strip-dot",
    "path-strip-dotdot",
    "path-strip-dotdot full",
    "percent-decode-unreserved",
    "percent-decode-unreserved strict",
    "percent-to-uppercase",
    "percent-to-uppercase strict",
    "query-sort-by-name",
]
PIECES = [
    *("/", "/", "/", "//", ".", "..", "...", ".x", "a", "b", "foo", "%61", "%2e", "%2E%2e", "%2f", "%3f"),
    *("%zz", "%", "%4", "%%36%36", "~", "%7E", "%7e", "?", "?", "&", "a=1", "aa=2", "b", "=", "A%c3%A4"),
]
HOSTS = ["", "", "", "http://h", "http://h/"]


def targets(kind: str) -> list[str]:
    rng = random.Random(kind)
    found = ["/", "/.", "/..", "/./", "/../", "/a/..", "/a/.", "/a/../..", "/../..", "/..a", "/?", "/?&&b&a"]
    for _ in range(400):
        found.append(rng.choice(HOSTS) + "/" + "".join(rng.choices(PIECES, k=rng.randrange(8))))
    return [one for one in found if "#" not in one]


def outcome(answer: bytes) -> tuple[bytes, bytes]:
    url = re.search(rb"(?i)\r\nx-url: ?(.*)\r\n", answer)
    return answer[9:12], url[1] if url is not None else b""


@pytest.mark.parametrize("kind", KINDS)
def test_targets_become_the_same(tmp_path, kind):
    rules = [f"normalize-uri {kind}", "return status 200 hdr X-Url %[url]"]
    sections = f"global\n  expose-experimental-directives\nfrontend fe\n  bind unix@{tmp_path}/front.sock\n"
    sections += "".join(f"  http-request {rule}\n" for rule in rules)
    with running(tmp_path, sections):
        for target in targets(kind):
            request = f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(tmp_path / "front.sock"))
                client.sendall(request)
                theirs = b""
                while b"\r\n\r\n" not in theirs:
                    theirs += client.recv(65536)
            ours = World(frontend={"http_request": tuple(rules)}).client(request).got
            assert outcome(ours) == outcome(theirs), target
