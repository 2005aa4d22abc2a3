"""The near end of a server connection is where `source` says."""

from __future__ import annotations

import trio
from dataplane.plane import GET, answering, config, connect, origin, running
from ports import free_port

from hapair.config.sources import source


async def test_it_comes_from_the_address_and_a_port_of_the_range_that_it_gives_back() -> None:
    ports = [free_port("127.0.0.3")]
    text = f"127.0.0.3:{ports[0]}-{ports[0] + 3}"
    async with origin(answering()) as web:
        node = config(web.server(source=source(text)))
        async with running(node) as here:
            async with await connect(here.port) as client:
                assert (await client.ask(GET))[0] == 200
            server = here.plane.backends["be"].by_name["s1"]
            (resting,) = server.idle
            host, port = resting.sock.getsockname()
            assert host == "127.0.0.3"
            assert ports[0] <= port <= ports[0] + 3
            assert port not in server.origin.free
            resting.close()
            assert port in server.origin.free


async def test_who_comes_when_every_port_is_in_use_is_told_so() -> None:
    first = free_port("127.0.0.3")
    came, busy = trio.Event(), trio.Event()

    async def slow(server, peer) -> None:
        await peer.until(b"\r\n\r\n")
        came.set()
        await busy.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with origin(slow) as web:
        node = config(web.server(source=source(f"127.0.0.3:{first}")), retries=0)
        async with running(node) as here, await connect(here.port) as one, await connect(here.port) as two:
            await one.send(GET)
            await came.wait()
            assert (await two.ask(GET))[0] == 503
            busy.set()
            assert b" 200 " in await one.until(b"\r\n\r\n")


async def test_without_a_port_the_kernel_chooses_late() -> None:
    async with origin(answering()) as web:
        node = config(web.server(source=source("127.0.0.4")))
        async with running(node) as here, await connect(here.port) as client:
            assert (await client.ask(GET))[0] == 200
            (resting,) = here.plane.backends["be"].by_name["s1"].idle
            assert resting.sock.getsockname()[0] == "127.0.0.4"
