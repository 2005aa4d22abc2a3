"""Compressed responses: who gets them, how they are framed, and what is counted."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World, get

from hapair.config.model import Algo, Compression
from hapair.http1.body import ChunkedBody
from hapair.proxy.session import LABORIOUS, RECEIVE
from hapair.proxy.tally import WIDTH, Tally

GZIP = Compression(algo=(Algo.GZIP,))
TEXT = b"a line of text that says little\n" * 200
ASKS = "Accept-Encoding: gzip, deflate, br"


def response(body: bytes, *lines: str, status: str = "200 OK", length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailer + b"\r\n"


def apart(got: bytes) -> tuple[list[bytes], bytes, ChunkedBody]:
    """Header lines in small letters, the decoded body, and how that was framed."""
    head, _, body = got.partition(b"\r\n\r\n")
    framed = ChunkedBody()
    coded = framed.feed(body)
    return head.lower().split(b"\r\n"), zlib.decompress(coded, 31) if framed.done else coded, framed


def test_a_page_is_compressed_for_who_asks():
    world = World(compression=GZIP)
    client = world.client(get("/", ASKS))
    client.server.says(response(TEXT, "Content-Type: text/plain", 'ETag: "1"'))
    lines, body, framed = apart(client.reads())
    assert body == TEXT
    assert framed.done
    assert b"content-encoding: gzip" in lines
    assert b"vary: accept-encoding" in lines
    assert b"transfer-encoding: chunked" in lines
    assert b'etag: w/"1"' in lines
    assert not [line for line in lines if line.startswith(b"content-length")]
    assert not client.over, "the connection is kept"
    client.sends(get("/2"))
    client.server.says(response(b"plain"))
    assert client.reads().endswith(b"\r\n\r\nplain"), "and the next response is another"


def test_without_compression_configured_nothing_changes():
    world = World()
    client = world.client(get("/", ASKS))
    client.server.says(response(TEXT))
    assert client.reads().endswith(TEXT)


@pytest.mark.parametrize(
    "lines", [["Accept-Encoding: gzip"], ["Accept-Encoding: br", "Accept-Encoding: *;q=0.1"]]
)
def test_offload_leaves_the_work_to_us(lines):
    world = World(compression=Compression(algo=(Algo.GZIP,), offload=True))
    client = world.client(get("/", *lines))
    assert b"accept-encoding" not in client.server.got.lower()
    client.server.says(response(TEXT))
    assert apart(client.reads())[1] == TEXT


def test_the_server_that_can_is_asked_without_offload():
    client = World(compression=GZIP).client(get("/", ASKS))
    assert b"accept-encoding: gzip" in client.server.got.lower()


def test_the_backends_list_comes_before_the_frontends():
    world = World(frontend={"compression": Compression(algo=(Algo.DEFLATE,))}, compression=GZIP)
    client = world.client(get("/", "Accept-Encoding: deflate, gzip;q=0.5"))
    client.server.says(response(TEXT))
    assert b"content-encoding: gzip" in apart(client.reads())[0]


def test_types_of_one_side_and_algorithms_of_the_other():
    world = World(frontend={"compression": Compression(type=("text/",))}, compression=GZIP)
    client = world.client(get("/", ASKS))
    client.server.says(response(TEXT, "Content-Type: image/png"))
    assert client.reads().endswith(TEXT)
    client.sends(get("/", ASKS))
    client.server.says(response(TEXT, "Content-Type: Text/HTML; charset=utf-8"))
    assert apart(client.reads())[1] == TEXT


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 2000), max_size=8),
    in_chunks=st.booleans(),
)
def test_any_body_in_any_pieces_arrives(pieces, cuts, in_chunks):
    sent = chunked(*pieces) if in_chunks else response(b"".join(pieces))
    world = World(compression=GZIP)
    client = world.client(get("/", ASKS))
    for at, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(sent)], strict=True):
        if sent[at:end]:
            client.server.says(sent[at:end])
    lines, body, framed = apart(client.reads())
    assert body == b"".join(pieces)
    assert framed.done
    assert lines.count(b"transfer-encoding: chunked") == 1
    assert world.frontend.comp_in == world.backend.comp_in == len(body)
    assert world.frontend.comp_rsp == 1
    client.sends(get("/"))
    assert client.server.got.count(b"GET") == 2, "both connections are kept"
    world.over()


def test_a_log_line_tells_how():
    shape = "%[res.comp] %[res.comp_algo] %ST"
    world = World(frontend={"log_format": shape}, compression=GZIP)
    client = world.client(get("/", ASKS))
    client.server.says(response(TEXT))
    client.sends(get("/"))
    client.server.says(response(TEXT))
    assert world.log == ["1 gzip 200", "0 - 200"]


def test_trailers_come_along():
    client = World(compression=GZIP).client(get("/", ASKS))
    client.server.says(chunked(TEXT, trailer=b"X-Sum: 1\r\n"))
    _, body, framed = apart(client.reads())
    assert body == TEXT
    assert framed.trailers == [b"X-Sum: 1"]


def test_a_body_cut_short_is_seen_to_be():
    client = World(compression=GZIP).client(get("/", ASKS))
    client.server.says(response(TEXT, length=len(TEXT) + 1))
    client.server.ends()
    assert client.over
    assert not apart(client.reads())[2].done


def test_less_is_read_at_a_time_where_each_byte_is_work():
    client = World(compression=GZIP).client(get("/", ASKS))
    client.server.says(response(TEXT, length=len(TEXT) + 1))
    assert client.session.portion == LABORIOUS
    client.server.says(b"!")
    assert client.session.portion == RECEIVE


def test_beyond_maxcomprate_a_response_is_left_as_it_is():
    world = World(compression=GZIP)
    world.process.maxcomprate = len(TEXT)
    client = world.client()

    def compressed() -> bool:
        client.sends(get("/", ASKS))
        client.server.says(response(TEXT, 'ETag: "1"'))
        got = client.reads()
        if b"content-encoding: gzip" in got:
            return True
        assert got.endswith(TEXT)
        assert b"vary" not in got.lower(), "nobody else gets another"
        assert b'"1"' in got
        assert b'W/"1"' not in got
        return False

    assert [compressed() for _ in range(4)] == [True, True, False, False], "as much as it is not yet too much"
    assert world.frontend.comp_rsp == 2
    world.wait(2)
    assert compressed()


def test_a_response_that_has_begun_is_compressed_to_its_end():
    world = World(compression=GZIP)
    world.process.maxcomprate = 1
    client = world.client(get("/", ASKS))
    client.server.says(response(TEXT, length=len(TEXT) * 2))
    client.server.says(TEXT)
    _, body, framed = apart(client.reads())
    assert framed.done
    assert body == TEXT * 2


def test_each_worker_compresses_its_part_of_the_rate():
    world = World(compression=GZIP)
    world.process.maxcomprate = len(TEXT) * 2
    rows = [memoryview(bytearray(8 * WIDTH * 4)).cast("q") for _ in range(2)]
    world.process.tally = Tally(rows, 0)
    client = world.client()
    coded = []
    for _ in range(3):
        client.sends(get("/", ASKS))
        client.server.says(response(TEXT))
        coded.append(b"content-encoding" in client.reads())
    assert coded == [True, True, False]
