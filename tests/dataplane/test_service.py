"""The data plane on loopback: the gate, reuse, limits, reload, the orderly end."""

# ruff: noqa: SIM117 - nesting shows who outlives whom

from __future__ import annotations

import re
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

import attrs
import pytest
import trio
from dataplane.plane import (
    GET,
    Lines,
    Origin,
    Peer,
    answering,
    bind,
    config,
    connect,
    echo,
    origin,
    running,
)
from ports import free_port

from hapair.config import model
from hapair.dataplane.service import DataPlane, gate_addresses
from hapair.errors import StartError
from hapair.http1.head import Request

UPLOAD = GET[:-2] + b"Content-Length: 9\r\n\r\n"
LOOP = IPv4Address("127.0.0.1")


async def refused(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return True
    await stream.aclose()
    return False


async def keep_sending(peer: Peer) -> None:
    while True:
        await peer.send(b"x" * 100)
        await trio.sleep(0.01)


# -- one connection --------------------------------------------------------------------------------


async def test_requests_of_one_client_share_its_connections() -> None:
    async with (
        origin(answering()) as web,
        running(config(web.server())) as node,
        await connect(node.port) as client,
    ):
        for _ in range(5):
            assert await client.ask(GET) == (200, b"ok")
        assert web.connections == 1
        lines = await node.logged(5)
        assert re.match(r"fe be/s1 \d+/\d+/", lines[0])
        assert '200 40 - - ---- 1/1/0/0/0 0/0 "GET /a HTTP/1.1"' in lines[0]


async def test_the_first_request_of_a_client_goes_on_a_connection_of_its_own() -> None:
    async with origin(answering()) as web, running(config(web.server())) as node:
        for _ in range(3):
            async with await connect(node.port) as client:
                await client.ask(GET)
        assert web.connections == 3
        async with await connect(node.port) as client:
            for _ in range(3):
                await client.ask(GET)
        assert web.connections == 4


async def test_an_idle_server_connection_that_ends_is_forgotten() -> None:
    async def once(server: Origin, peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with origin(once) as web, running(config(web.server())) as node, await connect(node.port) as client:
        for _ in range(3):
            assert await client.ask(GET) == (200, b"ok")
        assert web.connections == 3


async def test_streams_pass_both_ways_with_their_half_closes() -> None:
    async with origin(echo) as web:
        node_config = config(web.server(), mode=model.Mode.TCP)
        async with running(node_config) as node, await connect(node.port) as client:
            await client.send(b"hello")
            assert await client.read(5) == b"hello"
            await client.send(b"bye")
            await client.end()
            assert await client.rest() == b"bye"
            lines = await node.logged()
            assert re.match(r"fe be/s1 \d+/\d+/", lines[0])
            assert " 8 -- 1/1/0/0/0 0/0" in lines[0]


async def test_a_server_reset_reaches_the_client_of_a_stream() -> None:
    async def reset(server: Origin, peer: Peer) -> None:
        await peer.read(1)
        peer.reset()

    async with (
        origin(reset) as web,
        running(config(web.server(), mode=model.Mode.TCP)) as node,
        await connect(node.port) as client,
    ):
        await client.send(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await client.stream.receive_some(1)
        assert " SD " in (await node.logged())[0]


async def test_a_server_that_ends_and_then_resets_does_not_keep_its_client_talking_to_nobody() -> None:
    async def end_then_reset(server: Origin, peer: Peer) -> None:
        await peer.end()
        await peer.read(1)
        peer.reset()

    async with (
        origin(end_then_reset) as web,
        running(config(web.server(), mode=model.Mode.TCP)) as node,
        await connect(node.port) as client,
    ):
        assert await client.rest() == b""
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await keep_sending(client)
        assert " SD " in (await node.logged())[0]


# -- the gate --------------------------------------------------------------------------------------


async def test_a_gated_address_refuses_until_its_gate_opens_and_again_when_it_closes() -> None:
    async with origin(answering(delay=5)) as web, running(config(web.server()), gated=(LOOP,)) as node:
        assert await refused(node.port)
        assert node.plane.open_gates == frozenset()
        node.plane.open_gate([LOOP])
        assert node.plane.open_gates == {LOOP}
        async with await connect(node.port) as busy, await connect(node.port) as idle:
            await busy.send(GET)
            await web.asked.wait()
            node.plane.close_gate([LOOP])
            assert node.plane.open_gates == frozenset()
            assert await refused(node.port)
            with pytest.raises(trio.BrokenResourceError):
                await busy.stream.receive_some(1)
            assert await idle.rest() == b""
        assert node.plane.process.current == 0
        assert " KH-- " in (await node.logged())[0]
        node.plane.open_gate([LOOP])
        assert not await refused(node.port)


async def test_closing_a_gate_ends_streams_too() -> None:
    async with origin(echo) as web:
        async with running(config(web.server(), mode=model.Mode.TCP), gated=(LOOP,)) as node:
            node.plane.open_gate([LOOP])
            async with await connect(node.port) as client:
                await client.send(b"x")
                await client.read(1)
                node.plane.close_gate([LOOP])
                with pytest.raises(trio.BrokenResourceError):
                    await client.stream.receive_some(1)


async def test_a_gate_does_not_touch_other_addresses() -> None:
    port = free_port()
    async with origin(answering()) as web:
        binds = (bind(port, "127.0.0.1"), bind(port, "127.0.0.2"))
        async with running(config(web.server(), binds=binds), gated=(IPv4Address("127.0.0.2"),)) as node:
            async with await connect(port) as client:
                with pytest.raises(OSError, match="all attempts"):
                    await connect(port, "127.0.0.2")
                node.plane.open_gate([IPv4Address("127.0.0.2")])
                async with await connect(port, "127.0.0.2") as other:
                    assert await other.ask(GET) == (200, b"ok")
                node.plane.close_gate([IPv4Address("127.0.0.2")])
                assert await client.ask(GET) == (200, b"ok")


def test_every_vip_is_gated() -> None:
    instance = model.VrrpInstance(
        "web", "eth0", 51, (IPv4Interface("192.0.2.1/24"), IPv4Interface("192.0.2.2/24"))
    )
    node = attrs.evolve(config(), vrrp={"web": instance})
    assert gate_addresses(node) == {IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")}


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_server_maxconn_with_a_queue() -> None:
    """50 clients with 2 requests each on 4 slots of 0.2 s: 40 are served, 60 give up after 1 s."""
    timeouts = model.Timeouts(http_request=5, connect=2, client=5, server=5, http_keep_alive=5, queue=1.0)
    statuses: list[int] = []
    times: list[float] = []

    async def client(port: int) -> None:
        async with await connect(port) as peer:
            for _ in range(2):
                began = trio.current_time()
                status, _ = await peer.ask(GET)
                statuses.append(status)
                times.append(trio.current_time() - began)

    async with origin(answering(delay=0.2)) as web:
        node_config = config(web.server(maxconn=4), timeout=timeouts)
        async with running(node_config) as node, trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(client, node.port)
    assert len(statuses) == 100
    assert 36 <= statuses.count(200) <= 44
    assert statuses.count(200) + statuses.count(503) == 100
    assert max(times) < 1.25
    assert web.highest == 4


@pytest.mark.parametrize("whose", ["process", "frontend"])
async def test_beyond_maxconn_clients_wait_in_the_backlog_and_are_not_refused(whose: str) -> None:
    async with origin(answering()) as web:
        limit = config(web.server(), maxconn=2) if whose == "process" else None
        node_config = limit or config(web.server(), frontend={"maxconn": 2})
        async with running(node_config) as node:
            first, second, third = [await connect(node.port) for _ in range(3)]
            for peer in (first, second):
                assert await peer.ask(GET) == (200, b"ok")
            await third.send(GET)
            with trio.move_on_after(0.1) as waited:
                await third.stream.receive_some(1)
            assert waited.cancelled_caught
            assert node.plane.process.current == 2
            await first.stream.aclose()
            assert await third.until(b"ok") != b""
            for peer in (second, third):
                await peer.stream.aclose()
            await node.idle()


@pytest.mark.slow
async def test_more_connections_than_the_rate_wait_in_the_backlog() -> None:
    """20 at once with 10 a second: none is refused, and the last is served within two seconds."""
    times: list[float] = []

    async def client(port: int, began: float) -> None:
        async with await connect(port) as peer:
            assert await peer.ask(GET) == (200, b"ok")
            times.append(trio.current_time() - began)

    async with origin(answering()) as web:
        node_config = config(web.server(), frontend={"rate_limit_sessions": 10})
        async with running(node_config) as node, trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(client, node.port, trio.current_time())
    assert len(times) == 20
    assert sorted(times)[9] < 1.0
    assert 0.9 < max(times) < 2.5


async def test_the_backlog_is_as_long_as_configured() -> None:
    async with running(config(frontend={"backlog": 17})) as node:
        (listener,) = node.plane.listeners.values()
        info = listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    # Of a listening socket tcpi_sacked is the length of its backlog.
    assert struct.unpack_from("=I", info, 28) == (17,)


async def test_a_larger_maxconn_lets_those_in_who_waited() -> None:
    async with origin(answering()) as web:
        node_config = config(web.server(), maxconn=1)
        async with (
            running(node_config) as node,
            await connect(node.port) as first,
            await connect(node.port) as second,
        ):
            await first.ask(GET)
            await second.send(GET)
            with trio.move_on_after(0.05):
                await second.stream.receive_some(1)
            new = attrs.evolve(node_config, node=model.Node(name="n", maxconn=2))
            node.plane.commit(node.plane.prepare(new), ())
            with trio.fail_after(1):
                assert (await second.until(b"ok")).startswith(b"HTTP/1.1 200 ")


async def test_maxcomprate_is_followed_when_it_changes() -> None:
    ask = GET[:-2] + b"Accept-Encoding: gzip\r\n\r\n"
    gzip = model.Compression(algo=(model.Algo.GZIP,))
    async with origin(answering(b"x" * 2000)) as web:
        node_config = config(web.server(), frontend={"compression": gzip})
        async with running(node_config) as node, await connect(node.port) as client:
            assert node.plane.process.maxcomprate == 0
            new = attrs.evolve(node_config, node=model.Node(name="n", maxcomprate=1))
            node.plane.commit(node.plane.prepare(new), ())
            await client.send(ask)
            assert b"content-encoding: gzip" in await client.until(b"\r\n\r\n")
            await client.until(b"\r\n0\r\n\r\n")
            await client.send(ask)
            assert b"content-encoding" not in await client.until(b"\r\n\r\n")
            assert await client.read(2000) == b"x" * 2000


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "flags"),
    [
        (b"", b"408", "cR"),
        (b"GET /", b"408", "cR"),
        (GET, b"504", "sH"),
        (GET[:-2] + b"Content-Length: 9\r\n\r\n", b"408", "cH"),
    ],
)
async def test_timeouts_strike_when_they_should(sent: bytes, status: bytes, flags: str) -> None:
    timeouts = model.Timeouts(http_request=0.2, connect=0.2, client=0.2, server=0.2)
    async with origin(answering(delay=5)) as web, running(config(web.server(), timeout=timeouts)) as node:
        async with await connect(node.port) as client:
            await client.send(sent)
            began = trio.current_time()
            head = await client.until(b"\r\n")
            assert head[9:12] == status
            assert 0.15 <= trio.current_time() - began < 0.4
            assert f" {flags}-- " in (await node.logged())[0]


async def test_an_idle_client_is_closed_without_a_word() -> None:
    timeouts = model.Timeouts(http_request=5, client=5, server=5, http_keep_alive=0.15)
    async with origin(answering()) as web, running(config(web.server(), timeout=timeouts)) as node:
        async with await connect(node.port) as client:
            began = (
                trio.current_time()
            )  # the node's time begins between the question and its answer's arrival
            await client.ask(GET)
            assert await client.rest() == b""
            assert 0.14 <= trio.current_time() - began < 2


async def test_a_server_that_drops_packets_is_a_503_after_the_connect_timeout() -> None:
    """A full backlog drops the handshake, as a dead host would."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        timeouts = model.Timeouts(connect=0.2, client=5, server=5)
        server = model.Server(name="s1", id=1, host="127.0.0.1", port=port)
        async with running(config(server, timeout=timeouts, retries=1)) as node:
            async with await connect(node.port) as client:
                assert (await client.ask(GET))[0] == 503
            line = (await node.logged())[0]
            assert " sC-- " in line
            assert 380 <= int(line.split()[2].split("/")[4]) < 700
        for filler in fillers:
            filler.close()


# -- servers of other families ---------------------------------------------------------------------


async def test_ipv6_and_unix_sockets_on_both_sides(tmp_path) -> None:
    async def serve(listener: trio.SocketListener) -> None:
        async with await listener.accept() as stream:
            await answering()(Origin(0), Peer(stream))

    async def ask(stream: trio.SocketStream) -> None:
        async with Peer(stream) as peer:
            assert await peer.ask(GET) == (200, b"ok")

    six = (await trio.open_tcp_listeners(0, host="::1"))[0]
    unix = trio.socket.socket(trio.socket.AF_UNIX)
    await unix.bind(str(tmp_path / "server.sock"))
    unix.listen()
    servers = (
        model.Server(name="six", id=1, host="::1", port=six.socket.getsockname()[1]),
        model.Server(name="unix", id=2, host=str(tmp_path / "server.sock"), port=0),
    )
    path = tmp_path / "front.sock"
    binds = (bind(free_port("::1"), "::1"), model.Bind(text=str(path), path=str(path)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, six)
        nursery.start_soon(serve, trio.SocketListener(unix))
        async with running(config(*servers, binds=binds)) as node:
            await ask(await trio.open_tcp_stream("::1", node.port))
            await ask(await trio.open_unix_socket(str(path)))
            lines = await node.logged(2)
            assert {line.split()[1] for line in lines} == {"be/six", "be/unix"}
    await six.aclose()
    unix.close()
    assert not path.exists(), "a unix socket goes with its listener"


# -- binding ---------------------------------------------------------------------------------------


def plane() -> DataPlane:
    return DataPlane(100, Lines(), lambda _: lambda _: None)  # type: ignore[arg-type]


def test_a_busy_port_is_found_before_anything_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        new = plane()
        with pytest.raises(StartError, match=f"127.0.0.1:{port}: Address already in use"):
            new.prepare(config(binds=(bind(free_port()), bind(port))))
        new.reactor.shut()


def test_what_is_not_an_open_descriptor_is_a_start_error() -> None:
    new = plane()
    with pytest.raises(StartError, match="fd@987"):
        new.prepare(config(binds=(model.Bind(text="fd@987", fd=987),)))
    new.reactor.shut()


async def test_an_inherited_socket_serves_even_if_it_blocks() -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    inherited.setblocking(True)
    async with origin(answering()) as web:
        fd = inherited.detach()
        async with running(config(web.server(), binds=(model.Bind(text=f"fd@{fd}", fd=fd),))) as node:
            with trio.fail_after(5):
                async with await connect(port) as client:
                    assert await client.ask(GET) == (200, b"ok")
            assert node.plane.process.total == 1


def test_another_process_on_a_unix_socket_is_not_pushed_away_but_a_leftover_is(tmp_path) -> None:
    path = str(tmp_path / "x.sock")
    binds = (model.Bind(text=path, path=path),)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        new = plane()
        with pytest.raises(StartError, match="another process"):
            new.prepare(config(binds=binds))
    new.prepare(config(binds=binds)).close()
    new.reactor.shut()


# -- reload ----------------------------------------------------------------------------------------


async def test_a_reload_that_cannot_bind_changes_nothing() -> None:
    async with origin(answering()) as web:
        node_config = config(web.server())
        async with running(node_config) as node, await connect(node.port) as client:
            await client.ask(GET)
            with socket.create_server(("127.0.0.1", 0)) as busy:
                frontend = node_config.frontends["fe"]
                binds = (*frontend.bind, bind(free_port()), bind(busy.getsockname()[1]))
                broken = attrs.evolve(node_config, frontends={"fe": attrs.evolve(frontend, bind=binds)})
                with pytest.raises(StartError):
                    node.plane.prepare(broken)
            assert await client.ask(GET) == (200, b"ok")
            assert not await refused(node.port)


async def test_what_did_not_change_does_not_notice() -> None:
    async with origin(answering()) as web:
        node_config = config(web.server())
        async with running(node_config) as node, await connect(node.port) as client:
            await client.ask(GET)
            listener, backend = next(iter(node.plane.listeners.values())), node.plane.backends["be"]
            extra = attrs.evolve(node_config.backends["be"], name="other", servers=())
            new = attrs.evolve(node_config, backends={**node_config.backends, "other": extra})
            node.plane.commit(node.plane.prepare(new), ())
            assert next(iter(node.plane.listeners.values())) is listener
            assert node.plane.backends["be"] is backend
            assert await client.ask(GET) == (200, b"ok")
            assert web.connections == 1


async def test_a_changed_backend_keeps_what_is_known_of_its_servers() -> None:
    async with origin(answering(b"one")) as one, origin(answering(b"two")) as two:
        servers = (one.server(check=model.Check()), two.server(name="s2", id=2))
        node_config = config(*servers)
        async with running(node_config) as node, await connect(node.port) as client:
            node.plane.set_server_up("be", "s1", up=False)
            backend = attrs.evolve(node_config.backends["be"], retries=1)
            new = attrs.evolve(node_config, backends={"be": backend})
            node.plane.commit(node.plane.prepare(new), ())
            assert node.plane.usable_servers() == {"be": {"s2"}}
            assert [await client.ask(GET) for _ in range(3)] == [(200, b"two")] * 3


async def test_clients_of_a_changed_frontend_finish_with_what_they_know() -> None:
    """Their backend is gone from the configuration; the request under way and one more are served."""
    async with origin(answering(b"old", delay=0.1)) as old, origin(answering(b"new")) as fresh:
        node_config = config(old.server())
        async with (
            running(node_config) as node,
            await connect(node.port) as busy,
            await connect(node.port) as idle,
        ):
            await idle.ask(GET)
            await busy.send(GET)
            await old.asked.wait()
            backend = attrs.evolve(node_config.backends["be"], name="b2", servers=(fresh.server(),))
            frontend = attrs.evolve(node_config.frontends["fe"], default_backend="b2")
            new = attrs.evolve(node_config, frontends={"fe": frontend}, backends={"b2": backend})
            retired = node.plane.backends["be"]
            node.plane.commit(node.plane.prepare(new), ())
            assert b"old" in await busy.until(b"old")
            assert await busy.rest() == b"", "closed after the request in flight"
            assert not any(server.idle for server in retired.servers), "no connection is kept for it"
            status, _ = await idle.ask(GET)
            assert status == 200
            async with await connect(node.port) as client:
                assert await client.ask(GET) == (200, b"new")
            frontends = node.plane.frontends
            assert frontends["fe"].requests >= 2


async def test_a_bind_that_goes_is_closed_and_a_new_one_opened() -> None:
    async with origin(answering()) as web:
        node_config = config(web.server())
        async with running(node_config) as node, await connect(node.port) as client:
            await client.ask(GET)
            frontend = attrs.evolve(node_config.frontends["fe"], bind=(bind(new_port := free_port()),))
            new = attrs.evolve(node_config, frontends={"fe": frontend})
            node.plane.commit(node.plane.prepare(new), ())
            assert await client.rest() == b"", "idle clients of a closed bind are sent away"
            assert await refused(node.port)
            async with await connect(new_port) as other:
                assert await other.ask(GET) == (200, b"ok")


# -- the end ---------------------------------------------------------------------------------------


async def test_the_orderly_end_serves_what_is_under_way() -> None:
    async with origin(answering(delay=0.1)) as web, running(config(web.server())) as node:
        async with await connect(node.port) as busy, await connect(node.port) as idle:
            await busy.send(GET)
            await web.asked.wait()
            node.plane.stop_accepting()
            assert await refused(node.port)
            assert await idle.rest() == b""
            answer = await busy.rest()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Connection: close" in answer
            await node.idle()
            assert node.plane.process.current == 0


async def test_a_server_that_goes_down_gives_back_its_idle_connections() -> None:
    ended = trio.Event()

    async def watch(server: Origin, peer: Peer) -> None:
        await answering()(server, peer)
        ended.set()

    async with origin(watch) as web, running(config(web.server())) as node:
        async with await connect(node.port) as client:
            await client.ask(GET)
            node.plane.set_server_up("be", "s1", up=False, why=", reason: test")
            with trio.fail_after(2):
                await ended.wait()
            assert (await client.ask(GET))[0] == 503
            node.plane.set_server_up("be", "s1", up=True)
            assert await client.ask(GET) == (200, b"ok")


async def test_who_waits_in_the_queue_of_a_server_that_goes_down_is_told_at_once() -> None:
    async with origin(answering(delay=5)) as web, running(config(web.server(maxconn=1))) as node:
        async with await connect(node.port) as first, await connect(node.port) as second:
            await first.send(GET)
            await web.asked.wait()
            await second.send(GET)
            with trio.fail_after(5):
                while not node.plane.backends["be"].queued:
                    await trio.lowlevel.checkpoint()
            node.plane.set_server_up("be", "s1", up=False)
            with trio.fail_after(1):
                assert (await second.until(b"\r\n"))[9:12] == b"503"


async def test_a_bug_costs_one_connection_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def fail_for_one(request: Request) -> None:
        if request.path == b"/bug":
            raise RuntimeError("a bug")

    async with origin(answering()) as web:
        node_config = config(web.server(), frontend={"stats": model.Stats()})
        async with (
            running(node_config, responder=fail_for_one) as node,
            await connect(node.port) as good,
            await connect(node.port) as bad,
        ):
            await good.ask(GET)
            await bad.ask(GET)
            await bad.send(GET.replace(b"/a", b"/bug"))
            assert await bad.rest() == b""
            assert await good.ask(GET) == (200, b"ok")
            assert node.plane.bugs == 1
            assert "bug in the data plane" in caplog.text
            assert node.plane.process.current == 1
            node.plane.bugs = 0
