"""What rows of set-var and unset-var with conditions leave behind, beside HAProxy."""

from __future__ import annotations

import random
import socket

import pytest
import seeds
from interop.haproxy import running
from ports import free_port
from proxy.world import World, get

from hapair.rules.variables import CONDITIONS

pytestmark = pytest.mark.interop

NAMES = [f"{scope}.{letter}" for scope in ("txn", "sess", "proc", "req") for letter in "ab"]
VALUES = [
    "int(1)",
    "int(2)",
    "int(-3)",
    "str(x)",
    'str("")',
    "bool(true)",
    "req.hdr(x-n),add(0)",
    "req.hdr(x-e)",
    "src",
]
REQUESTS = [get("/", "X-N: 2", "X-E:"), get("/", "X-N: 7"), get("/", "X-E: e"), get("/", "X-N: 1", "X-E: y")]
ROUNDS = 12
RULES = 30
ANSWER = (
    'return status 200 content-type text/plain lf-string "'
    + " ".join(f"{name}=%[var({name})]" for name in NAMES)
    + '\\n"'
)


def rule(chance: random.Random) -> str:
    name = chance.choice(NAMES)
    if chance.random() < 0.15:
        return f"unset-var({name})"
    only = chance.sample(CONDITIONS, k=chance.choice([0, 0, 1, 1, 1, 2]))
    if chance.random() < 0.2:
        other = chance.choice([one for one in NAMES if one != name])
        return f"set-var({name}) {chance.choice(VALUES)},set-var({','.join([other, *only])})"
    if chance.random() < 0.15:
        return f"set-var-fmt({','.join([name, *only])}) %[req.hdr(x-n)]"
    return f"set-var({','.join([name, *only])}) {chance.choice(VALUES)}"


def told(answer: bytes) -> bytes:
    return answer.rpartition(b"\r\n\r\n")[2]


def test_every_variable_has_the_same_value(tmp_path):
    seed = seeds.draw()
    chance = random.Random(seed)
    for number in range(ROUNDS):
        rules = [*(rule(chance) for _ in range(RULES)), ANSWER]
        port = free_port()
        folder = tmp_path / str(number)
        folder.mkdir()
        sections = f"frontend fe\n  bind 127.0.0.1:{port}\n" + "".join(f"  http-request {r}\n" for r in rules)
        with running(folder, sections), socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(10)
            theirs = []
            for request in REQUESTS:
                sock.sendall(request)
                answer = b""
                while not answer.endswith(b"\n") or b"\r\n\r\n" not in answer:
                    answer += sock.recv(65536)
                theirs.append(told(answer))
        here = World(frontend={"http_request": tuple(rules)})
        client = here.client(REQUESTS[0])
        ours = [told(client.reads())]
        for request in REQUESTS[1:]:
            client.sends(request)
            ours.append(told(client.reads()))
        sources = (b"127.0.0.1", b"192.0.2.9")
        assert [line.replace(sources[1], sources[0]) for line in ours] == theirs, (seed, "\n".join(rules))
