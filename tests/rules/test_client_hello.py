"""How a connection begins: real hellos, their fragments, and everything else."""

from __future__ import annotations

import ssl

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.hellos import hello

from hapair.rules.client_hello import OTHER, Hello, look


def records(data: bytes, size: int) -> bytes:
    """The same handshake in records of `size` bytes."""
    body = data[5:]
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def built(extensions: bytes | None = None, *, suites: bytes = b"\x13\x01", session: bytes = b"") -> bytes:
    """A hello by hand."""
    body = b"\x03\x03" + bytes(32) + bytes([len(session)]) + session
    body += len(suites).to_bytes(2, "big") + suites + b"\x01\x00"
    if extensions is not None:
        body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def name_extension(name: bytes, *, kind: int = 0) -> bytes:
    entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
    listed = len(entry).to_bytes(2, "big") + entry
    return b"\x00\x00" + len(listed).to_bytes(2, "big") + listed


GREETING = Hello(1, b"www.example.org", 0x0303, b"h2", True, 0)


@pytest.mark.parametrize("version", [None, ssl.TLSVersion.TLSv1_2])
def test_the_name_that_a_real_client_asks_for(version: ssl.TLSVersion | None) -> None:
    assert look(hello(version=version)) == GREETING


def test_a_client_without_a_name_says_hello_all_the_same() -> None:
    assert look(hello(None)) == attrs.evolve(GREETING, server_name=b"")
    assert look(built()) == Hello(1, version=0x0303)
    assert look(built(b"")) == Hello(1, version=0x0303)


def test_every_piece_of_a_hello_asks_for_more_and_what_follows_does_not_matter() -> None:
    whole = hello()
    for end in range(len(whole)):
        assert look(whole[:end]) is None
    assert look(whole + b"\x17\x03\x03 and so on") == GREETING


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_a_hello_in_several_records(size: int) -> None:
    whole = records(hello(), size)
    for end in range(len(whole) - 1):
        assert look(whole[:end]) is None
    assert look(whole) == GREETING


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x02",  # SSL 2 or 4
        b"\x17\x03\x01\x00\x01\x00",
        b"\x16\x03\x01\x00\x00",  # an empty record
        b"\x16\x03\x01\x40\x01",  # longer than a record can be
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a ServerHello
        b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",  # 64 KiB are to come
        b"\x80\x2e\x01\x03\x01",  # the hello of SSL 2
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",  # nothing in it
        built(suites=b""),
        built(suites=b"\x13"),
        built(session=bytes(33)),
        built(b"\x00"),
        built(b"\x00\x00\x00\x09ab"),
        built(name_extension(b"")),
        built(name_extension(b"a", kind=1)),
        built(name_extension(b"a b")),
        built(name_extension(b"a\x00.example.org")),
        built(name_extension(b"a..b")),
        built(name_extension(b"a.")),
        built(name_extension(b"a" * 64)),
        built(name_extension(b".".join([b"a" * 50] * 6))),
        built(name_extension(b"a") + name_extension(b"b")),
        built(b"\x00\x00\x00\x08\x00\x04\x00\x00\x01ab!"),
    ],
)
def test_what_is_no_proper_hello_is_none_at_all(data: bytes) -> None:
    assert look(data) is OTHER


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    found = look(data)
    assert found is None or found.kind in (0, 1)


BASE = hello()


@given(st.integers(0, len(BASE) - 1), st.integers(0, 255), st.integers(0, len(BASE)))
def test_a_changed_hello_is_decided_and_never_names_what_it_does_not_contain(
    at: int, value: int, end: int
) -> None:
    data = BASE[:at] + bytes([value]) + BASE[at + 1 :]
    found = look(data)
    if found is not None and found.server_name:
        assert found.server_name in data
    partly = look(data[:end])
    # Once something can be said it stays true.
    assert partly is None or partly == found


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    "listed", [b"\x00\x03\x02h", b"\x00\x03\x03h2", b"\x00\x03\x02h2x", b"\x00", b"\x00\x01"]
)
def test_protocols_that_do_not_add_up_make_it_no_hello(listed: bytes) -> None:
    assert look(built(extension(16, listed))) == OTHER
