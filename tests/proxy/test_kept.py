"""Responses from a cache, as a client sees them."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from proxy.world import Client, World, get

from hapair.config.model import Algo, Cache, Compression
from hapair.http1.body import ChunkedBody

PAGE = b"x" * 3000
FRESH = "Cache-Control: max-age=30"


def world(*, max_age: float = 60.0, process_vary: bool = False, **more: Any) -> World:
    return World(
        http_request=("cache-use c",),
        http_response=("cache-store c",),
        caches={"c": Cache(total_max_size=1, max_age=max_age, process_vary=process_vary)},
        **more,
    )


def response(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def served(client: Client) -> tuple[bytes, list[bytes], bytes]:
    """Status, header lines in small letters, body."""
    head, _, body = client.reads().partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    return lines[0][9:12], lines[1:], body


def test_the_second_client_is_answered_without_the_server():
    here = world()
    first = here.client(get("/a"))
    first.server.says(response(PAGE, FRESH, 'ETag: "1"'))
    assert served(first)[2] == PAGE
    here.now += 7
    second = here.client(get("/a"))
    assert second.link is None, "nobody was asked"
    status, lines, body = served(second)
    assert (status, body) == (b"200", PAGE)
    assert b"age: 7" in lines
    assert b'etag: "1"' in lines
    assert not second.over, "the connection is kept"
    assert "be/<CACHE> 0/0/0/0/0 200 3087 - - LR-- " in here.log[-1], "as HAProxy has it"
    assert (here.backend.cache_lookups, here.backend.cache_hits) == (2, 1)
    here.over()


def test_in_a_frontend_it_answers_before_a_backend_is_chosen():
    rules = {"http_request": ("cache-use c",), "http_response": ("cache-store c",)}
    here = World(frontend=rules, caches={"c": Cache(total_max_size=1)})
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    second = here.client(get("/a"))
    assert served(second)[2] == PAGE
    assert "fe/<CACHE>" in here.log[-1]
    assert (here.frontend.cache_lookups, here.frontend.cache_hits) == (2, 1)
    here.over()


def test_rules_behind_it_count_all_the_same():
    here = World(
        http_request=("cache-use c", "deny if { src 192.0.2.66 }"),
        http_response=("cache-store c", "set-header X-From %[res.cache_name]"),
        caches={"c": Cache(total_max_size=1)},
    )
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    assert b"x-from: c" in served(here.client(get("/a")))[1]
    assert served(here.client(get("/a"), source="192.0.2.66"))[0] == b"403"


def test_what_is_too_old_is_asked_for_again():
    here = world(max_age=10)
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    here.now += 9
    assert here.client(get("/a")).link is None
    here.now += 1
    assert here.client(get("/a")).link is not None


def test_a_client_that_has_it_is_told_so():
    here = world()
    here.client(get("/a")).server.says(response(PAGE, FRESH, 'ETag: "1"'))
    status, lines, body = served(here.client(get("/a", 'If-None-Match: "1"')))
    assert (status, body) == (b"304", b"")
    assert b'etag: "1"' in lines
    assert served(here.client(get("/a", 'If-None-Match: "2"')))[0] == b"200"


def test_head_has_no_body_but_its_length():
    here = world()
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    status, lines, body = served(here.client(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert (status, body) == (b"200", b"")
    assert b"content-length: 3000" in lines


@pytest.mark.parametrize("cut", [1, 100, 2999])
def test_half_a_response_is_never_kept(cut):
    here = world()
    client = here.client(get("/a"))
    whole = response(PAGE, FRESH)
    client.server.says(whole[:-cut])
    client.server.ends()
    assert here.client(get("/a")).link is not None
    assert here.caches["c"].used == 0


def test_a_client_that_leaves_takes_the_copy_with_it():
    here = world()
    client = here.client(get("/a"))
    client.server.says(response(PAGE, FRESH)[:-1])
    assert here.caches["c"].used > 2999
    client.gone()
    assert here.caches["c"].used == 0


def test_a_rule_that_refuses_the_response_leaves_no_copy():
    here = World(
        http_request=("cache-use c",),
        http_response=("cache-store c", "deny"),
        caches={"c": Cache(total_max_size=1)},
    )
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    assert here.caches["c"].used == 0
    here.over()


def test_a_body_in_chunks_is_kept_whole():
    here = world()
    client = here.client(get("/a"))
    client.server.says(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
    )
    client.server.says(b"lo\r\n3\r\n!!!\r\n0\r\n\r\n")
    _, lines, body = served(here.client(get("/a")))
    assert body == b"hello!!!"
    assert b"content-length: 8" in lines


def test_an_empty_body_is_kept_too():
    here = world()
    here.client(get("/a")).server.says(response(b"", FRESH))
    second = here.client(get("/a"))
    assert second.link is None
    assert served(second)[2] == b""


def test_a_slow_client_holds_little_of_what_is_kept():
    here = World(
        http_request=("cache-use c",),
        http_response=("cache-store c",),
        caches={"c": Cache(total_max_size=64, max_object_size=10 << 20)},
    )
    large = bytes(range(256)) * 4096 * 8
    here.client(get("/a")).server.says(response(large, FRESH))
    second = here.client()
    second.stuck = True
    second.sends(get("/a"))
    assert len(second.session.to_client) < 70_000
    second.reads_again()
    assert served(second)[2] == large
    assert not second.over
    second.sends(get("/a"))
    assert served(second)[2] == large, "and once more on the same connection"
    here.over()


def test_a_client_that_stalls_is_left():
    here = World(
        http_request=("cache-use c",),
        http_response=("cache-store c",),
        caches={"c": Cache(total_max_size=64, max_object_size=10 << 20)},
    )
    here.client(get("/a")).server.says(response(bytes(1 << 20), FRESH))
    second = here.client()
    second.stuck = True
    second.sends(get("/a"))
    here.wait(20)
    assert second.over
    assert " cD" in here.log[-1]
    here.over()


def test_pipelined_requests_are_served_in_their_order():
    here = world()
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    client = here.client(get("/a") + get("/a") + get("/b"))
    assert client.got.count(PAGE) == 2
    assert client.server.got.endswith(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")


def test_what_is_kept_is_compressed_for_who_asks():
    here = world(compression=Compression(algo=(Algo.GZIP,)))
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    _, lines, body = served(here.client(get("/a", "Accept-Encoding: gzip")))
    assert b"content-encoding: gzip" in lines
    assert zlib.decompress(ChunkedBody().feed(body), 31) == PAGE
    assert served(here.client(get("/a")))[2] == PAGE


def test_a_request_that_changes_something_discards_it():
    here = world()
    here.client(get("/a")).server.says(response(PAGE, FRESH))
    here.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").server.says(response(b"ok"))
    assert here.client(get("/a")).link is not None


def test_variants_are_told_apart():
    here = world(process_vary=True)
    gzip = get("/a", "Accept-Encoding: gzip")
    here.client(gzip).server.says(response(b"gz", FRESH, "Vary: Accept-Encoding", "Content-Encoding: gzip"))
    assert served(here.client(gzip))[2] == b"gz"
    plain = here.client(get("/a", "Accept-Encoding: identity"))
    plain.server.says(response(b"plain", FRESH, "Vary: Accept-Encoding"))
    assert served(here.client(get("/a", "Accept-Encoding: identity")))[2] == b"plain"


def test_only_one_of_two_that_ask_at_once_is_copied():
    here = world()
    one, two = here.client(get("/a")), here.client(get("/a"))
    one.server.says(response(PAGE, FRESH)[:-1])
    two.server.says(response(b"y" * 3000, FRESH))
    one.server.says(b"x")
    assert served(here.client(get("/a")))[2] == PAGE
    here.over()
