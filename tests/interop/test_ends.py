"""What rules say of where a request comes from and goes to counts as long as it does with HAProxy."""

from __future__ import annotations

import socket

import pytest
from interop.haproxy import running
from ports import free_port
from proxy.test_ends import ANOTHER, RULES, told
from proxy.world import World, get

pytestmark = pytest.mark.interop

REQUESTS = [get("/"), ANOTHER, get("/"), get("/", "X-Ip: 198.51.100.8"), ANOTHER, get("/")]


def ask(sock: socket.socket, request: bytes) -> bytes:
    sock.sendall(request)
    answer = b""
    while not answer.endswith(b"\n") or b"\r\n\r\n" not in answer:
        answer += sock.recv(65536)
    return answer.rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("word", ["", "tcp-request connection", "tcp-request session"])
def test_every_request_of_a_connection_has_the_same_ends(tmp_path, word):
    first = "set-src ipv4(198.51.100.1)"
    port = free_port()
    sections = f"frontend fe\n  bind 127.0.0.1:{port}\n" + (f"  {word} {first}\n" if word else "")
    sections += "".join(f"  http-request {rule}\n" for rule in RULES)
    with running(tmp_path, sections), socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(10)
        near = b"127.0.0.1:%d" % sock.getsockname()[1]
        theirs = [ask(sock, request) for request in REQUESTS]
    kinds = {word.replace("-", "_").replace(" ", "_"): (first,)} if word else {}
    here = World(frontend={**kinds, "http_request": RULES})
    client = here.client(REQUESTS[0])
    ours = [told(client)]
    for request in REQUESTS[1:]:
        client.sends(request)
        ours.append(told(client))
    source, local = ours[0].split()
    renamed = {source: theirs[0].split()[0], local: theirs[0].split()[1]}
    assert theirs[0].startswith(b"198.51.100.1:" if word else near)
    assert [b" ".join(renamed.get(end, end) for end in line.split()) for line in ours] == [
        line.strip() for line in theirs
    ]
