"""PROXY headers on real sockets: from a balancer before us, and to servers behind us."""

from __future__ import annotations

from ipaddress import ip_network

import attrs
import pytest
import trio
import trio.testing
from dataplane.plane import LAST, TIMEOUTS, answering, bind, config, connect, echo, origin, running
from ports import free_port

from hapair.config import model
from hapair.config.model import Forwarded, ForwardFor, OriginalTo, ProxyVersion
from hapair.proxy.proxy_protocol import AUTHORITY, Place, parse, version1, version2

CLIENT, SITE = Place("203.0.113.7", 4711), Place("198.51.100.1", 443)
HEADERS = [version1(CLIENT, SITE), version2(CLIENT, SITE, checksum=True)]


def accepting(*networks: str) -> tuple[model.Bind, ...]:
    allowed = tuple(ip_network(network) for network in networks)
    return (attrs.evolve(bind(free_port()), accept_proxy=allowed),)


async def show_head(server, peer):
    """Answers with the head that came."""
    del server
    while head := await peer.until(b"\r\n\r\n"):
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


@pytest.mark.parametrize("header", HEADERS, ids=["v1", "v2"])
async def test_the_client_behind_a_balancer_is_the_client(header):
    async with origin(show_head) as server:
        node = config(
            server.server(),
            binds=accepting(),
            forwardfor=ForwardFor(),
            originalto=OriginalTo(),
            forwarded=tuple(Forwarded),
        )
        async with running(node) as plane, await connect(plane.port) as peer:
            _, head = await peer.ask(header + LAST)
            assert b"X-Forwarded-For: 203.0.113.7\r\n" in head
            assert b"X-Original-To: 198.51.100.1\r\n" in head
            assert b'Forwarded: proto=http;host=h;by="198.51.100.1:443";for="203.0.113.7:4711"\r\n' in head
            await plane.idle()


async def test_a_header_may_come_byte_by_byte():
    async with (
        origin(answering()) as server,
        running(config(server.server(), binds=accepting())) as plane,
        await connect(plane.port) as peer,
    ):
        for byte in HEADERS[1]:
            await peer.send(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert await peer.ask(LAST) == (200, b"ok")


async def test_in_tcp_mode_the_stream_begins_after_the_header():
    async with origin(echo) as server:
        node = config(server.server(), binds=accepting(), mode=model.Mode.TCP)
        async with running(node) as plane, await connect(plane.port) as peer:
            await peer.send(HEADERS[0] + b"hello")
            assert await peer.read(5) == b"hello"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "Received something which does not look like a PROXY protocol header"),
        (b"PROXY TCP4 1 2 3 4\r\n", "Received something which does not look like a PROXY protocol header"),
        (b"PROXY ", "Connection closed while waiting for PROXY protocol header"),
        (b"", "Connection closed while waiting for PROXY protocol header"),
    ],
)
async def test_who_sends_no_header_is_turned_away(sent, said):
    async with origin(answering()) as server:
        async with (
            running(config(server.server(), binds=accepting())) as plane,
            await connect(plane.port) as peer,
        ):
            if sent:
                await peer.send(sent)
            await peer.end()
            assert await peer.rest() == b""
            (line,) = await plane.logged()
            assert line.startswith(f"fe/127.0.0.1:{plane.port}: {said}")
            await plane.idle()
            assert plane.plane.frontends["fe"].refusals == {said: 1}
        assert not server.connections


async def test_a_header_is_not_waited_for_for_ever():
    async with origin(answering()) as server:
        timeout = attrs.evolve(TIMEOUTS, http_request=0.05)
        async with (
            running(config(server.server(), binds=accepting(), timeout=timeout)) as plane,
            await connect(plane.port) as peer,
        ):
            assert await peer.rest() == b""
            (line,) = await plane.logged()
            assert line.endswith("Timeout while waiting for PROXY protocol header")
            await plane.idle()


async def test_only_the_balancers_named_send_one():
    async with origin(answering()) as server:
        node = config(server.server(), binds=accepting("192.0.2.0/24", "::1/128"))
        async with running(node) as plane, await connect(plane.port) as peer:
            assert await peer.ask(LAST) == (200, b"ok")


async def test_nothing_is_left_of_connections_that_say_nothing():
    async with (
        origin(answering()) as server,
        running(config(server.server(), binds=accepting())) as plane,
        await connect(plane.port) as first,
        await connect(plane.port) as second,
    ):
        listener = next(iter(plane.plane.listeners.values()))
        with trio.fail_after(5):
            while len(listener.arrivals) < 2:
                await trio.testing.wait_all_tasks_blocked()
        plane.plane.commit(plane.plane.prepare(config(server.server())), ())
        assert await first.rest() == await second.rest() == b""
        assert not listener.arrivals
        await plane.idle()


@pytest.mark.parametrize("version", ProxyVersion)
async def test_a_server_is_told_who_the_client_is(version):
    told = []

    async def remember(server, peer):
        begun = b""
        while (header := parse(begun)) is None:
            begun += await peer.read(1)
        told.append(header)
        await answering()(server, peer)

    async with origin(remember) as server:
        node = config(server.server(send_proxy=version))
        async with (
            running(node) as plane,
            await connect(plane.port) as peer,
            await connect(plane.port) as other,
        ):
            ports = [p.stream.socket.getsockname()[1] for p in (peer, other)]
            keep = LAST.replace(b"Connection: close\r\n", b"")
            for one in (peer, peer, other, peer):
                assert await one.ask(keep) == (200, b"ok")
    assert [header.source for header in told] == [Place("127.0.0.1", port) for port in ports]
    assert {header.destination for header in told} == {Place("127.0.0.1", plane.port)}
    assert server.requests == 4


async def test_what_a_balancer_said_is_passed_on():
    told = []

    async def remember(server, peer):
        begun = b""
        while (header := parse(begun)) is None:
            begun += await peer.read(1)
        told.append(header)
        await peer.send(await peer.read(1))

    async with origin(remember) as server:
        options = {"send_proxy": ProxyVersion.V2, "proxy_v2_options": ("authority", "crc32c")}
        node = config(server.server(**options), binds=accepting(), mode=model.Mode.TCP)
        async with running(node) as plane, await connect(plane.port) as peer:
            await peer.send(version2(CLIENT, SITE, ((AUTHORITY, b"example.org"),)) + b"x")
            assert await peer.read(1) == b"x"
    (header,) = told
    assert (header.source, header.destination) == (CLIENT, SITE)
    assert header.tlv(AUTHORITY) == b"example.org"
    assert len(header.tlvs) == 2
