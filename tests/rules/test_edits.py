"""Header edits: whatever was known of a head, its server gets what a plain reading of the rules gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World

NAMES = ["X-A", "x-a", "X-B", "Cookie", "Accept"]
EDITS = st.lists(
    st.tuples(st.sampled_from(["set-header", "add-header", "del-header"]), st.sampled_from(NAMES)), max_size=6
)


def plainly(lines: list[str], edits: list[tuple[str, str]]) -> list[str]:
    for number, (action, name) in enumerate(edits):
        if action != "add-header":
            lines = [line for line in lines if line.partition(":")[0].lower() != name.lower()]
        if action != "del-header":
            lines.append(f"{name}: {number}")
    return lines


@given(edits=EDITS, sent=st.lists(st.sampled_from(NAMES), max_size=4))
def test_what_a_server_gets(edits, sent):
    lines = [f"{name}: sent{number}" for number, name in enumerate(sent)]
    rules = [
        f"{action} {name}{'' if action == 'del-header' else f' {n}'}"
        for n, (action, name) in enumerate(edits)
    ]
    here = World(frontend={"http_request": tuple(rules), "default_backend": "be"})
    client = here.client()
    for _ in range(2):  # the second head is known
        client.sends("\r\n".join(["GET / HTTP/1.1", "Host: example.org", *lines, "", ""]).encode())
        got, client.server.got = client.server.got.decode().split("\r\n")[1:-2], b""
        assert got == plainly(["Host: example.org", *lines], edits)
        client.server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@given(names=st.lists(st.sampled_from([*NAMES, "Connection", "TE"]), max_size=5))
def test_a_head_that_is_known_has_the_same_headers(names):
    from hapair.http1 import head
    from hapair.http1.memo import Memo, parse_request

    value = {"Connection": "x-b", "TE": "trailers"}
    lines = [f"{name}: {value.get(name, number)}" for number, name in enumerate(names)]
    block = "\r\n".join(["GET /a HTTP/1.1", "Host: example.org", *lines]).encode()
    memo, known_lines = Memo(), Memo()
    for _ in range(3):
        found, plain = parse_request(block, memo, known_lines), head.parse_request(block)
        for name in [*NAMES, "connection", "te", "host", "none"]:
            low = name.lower().encode()
            assert found.header(low) == plain.header(low)
            found.header(low).append(b"nobody else sees this")
        found.add(b"X-A: more")
        plain.add(b"X-A: more")
        assert found.header(b"x-a") == plain.header(b"x-a")
