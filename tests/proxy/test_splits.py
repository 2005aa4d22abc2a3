"""How bytes are cut and mixed never changes what arrives."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy.world import Client, World, answer, get, post

from hapair.config.model import Cookie, CookieMode, Mode

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
EXCHANGES = {
    "length": (get("/a"), answer(b"hello")),
    "post": (post(b"some body"), answer(b"", status="201 Created")),
    "chunks": (
        b"POST / HTTP/1.1\r\nHost: h\r\n" + CHUNKED + b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"4\r\nwxyz\r\n1\r\n!\r\n0\r\n\r\n",
    ),
    "interim": (get(), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + answer(b"x")),
    "folded": (get(), b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2, 2\r\n\r\nok"),
    "no body": (get(), b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"),
    "http 1.0": (get(version="1.0"), b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"4\r\nwxyz\r\n1\r\n!\r\n0\r\n\r\n"),
    "close": (get(), b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    "junk": (get(), b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n"),
}
INSERT = Cookie("SID", CookieMode.INSERT, indirect=True, nocache=True)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def unframed(wire: bytes) -> bytes:
    """Chunked or not, the message without its chunk boundaries, which may differ."""
    head, gap, body = wire.rpartition(b"\r\n\r\n") if CHUNKED not in wire else wire.partition(CHUNKED)
    if CHUNKED not in wire:
        return wire
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return head + gap + out + b"|" + body
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return head + gap + out


def outcome(request: list[bytes], response: list[bytes]) -> tuple[bytes, bytes, str, str]:
    world = World(cookie=INSERT)
    client = world.client()
    for piece in request:
        client.sends(piece)
    link = client.server
    for piece in response:
        if link.client is None:
            break
        link.says(piece)
    if link.client is not None:
        link.ends()
    flags = world.lines()[0].split(" - - ")[1][:4]
    state = client.state
    world.over()
    return unframed(link.got), unframed(client.got), flags, state


@pytest.mark.parametrize("name", EXCHANGES)
def test_byte_by_byte_is_the_same_exchange(name: str) -> None:
    request, response = EXCHANGES[name]
    whole = outcome([request], [response])
    assert outcome([bytes([b]) for b in request], [response]) == whole
    assert outcome([request], [bytes([b]) for b in response]) == whole


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_cut_in_two_is_the_same_exchange(name: str) -> None:
    request, response = EXCHANGES[name]
    whole = outcome([request], [response])
    for i in range(1, len(response)):
        assert outcome([request], [response[:i], response[i:]]) == whole


@given(
    st.lists(st.sampled_from(sorted(set(EXCHANGES) - {"close", "junk", "http 1.0"})), min_size=1, max_size=5),
    st.lists(st.integers(min_value=0)),
    st.data(),
)
def test_a_pipeline_cut_anywhere_and_mixed_with_its_answers_is_the_same(
    names: list[str], cuts: list[int], data: st.DataObject
) -> None:
    world = World()
    client = world.client()
    wire = pieces(b"".join(EXCHANGES[name][0] for name in names), cuts)
    answers = [EXCHANGES[name][1] for name in names]
    said = pieces(answers.pop(0), data.draw(st.lists(st.integers(min_value=0), max_size=4)))
    served = 0
    for _ in range(10_000):
        can_answer = client.link is not None and world.frontend.requests > served and bool(said)
        if wire and (not can_answer or data.draw(st.booleans())):
            client.sends(wire.pop(0))
        elif can_answer:
            client.server.says(said.pop(0))
            if not said:
                served += 1
                if answers:
                    said = pieces(answers.pop(0), data.draw(st.lists(st.integers(min_value=0), max_size=4)))
        else:
            break
    assert served == len(names)
    assert not wire
    whole = World()
    calm = whole.client()
    for name in names:
        calm.sends(EXCHANGES[name][0])
        calm.server.says(EXCHANGES[name][1])
    assert normal(client) == normal(calm)
    assert [line.split()[3] for line in world.lines()] == [line.split()[3] for line in whole.lines()]
    world.over()


def normal(client: Client) -> list[bytes]:
    """Everything that passed, in both directions, without chunk boundaries."""
    servers = b"".join(link.got for link in client.world.links)
    return [dechunk(client.got), dechunk(servers)]


def dechunk(wire: bytes) -> bytes:
    out = b""
    while CHUNKED in wire:
        before, _, wire = wire.partition(CHUNKED)
        out += before + CHUNKED
        while True:
            size, _, wire = wire.partition(b"\r\n")
            if not int(size, 16):
                break
            out, wire = out + wire[: int(size, 16)], wire[int(size, 16) + 2 :]
    return out + wire


@given(
    st.lists(st.tuples(st.sampled_from("cs"), st.binary(min_size=1, max_size=30)), max_size=20),
    st.sampled_from(["cs", "sc"]),
    st.integers(min_value=0, max_value=20),
)
def test_a_stream_carries_every_byte_in_order(
    talk: list[tuple[str, bytes]], order: str, stuck_at: int
) -> None:
    world = World(mode=Mode.TCP)
    client = world.client()
    link = client.server
    for i, (who, data) in enumerate(talk):
        if i == stuck_at:
            client.stuck = link.stuck = True
        if who == "c":
            client.sends(data)
        else:
            link.says(data)
    if client.stuck:
        client.reads_again()
        link.reads_again()
    for who in order:
        if who == "c":
            client.ends()
        else:
            link.ends()
    assert link.got == b"".join(data for who, data in talk if who == "c")
    assert client.got == b"".join(data for who, data in talk if who == "s")
    assert client.over
    assert " -- " in world.lines()[0]
    world.over()
