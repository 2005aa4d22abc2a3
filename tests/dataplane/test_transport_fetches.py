"""What rules learn of both connections as the kernel and a PROXY header have them, on real sockets."""

from __future__ import annotations

import socket

import attrs
import trio
from dataplane.plane import LAST, answering, bind, config, connect, origin, running
from dataplane.test_proxy_protocol import CLIENT, SITE
from ports import free_port

from hapair.config import model
from hapair.proxy.proxy_protocol import AUTHORITY, UNIQUE_ID, version2

KERNEL = "fc_rtt(us) fc_rttvar(us) fc_unacked fc_sacked fc_lost fc_retrans fc_fackets fc_reordering".split()
CONVEYED = (
    "src fc_src fc_src_port dst fc_dst fc_dst_port fc_rcvd_proxy fc_pp_authority fc_pp_unique_id".split()
)
SERVERS = "bc_src bc_src_port bc_dst bc_dst_port bc_http_major".split()


def telling(server: model.Server, names: list[str], binds: tuple[model.Bind, ...]) -> model.NodeConfig:
    """A node whose backend says of each response what these fetches give."""
    node = config(server, binds=binds)
    told = "|".join(f"%[{name}]" for name in names)
    return attrs.evolve(
        node,
        backends={
            name: attrs.evolve(one, http_response=(f'set-header X-Told "{told}"',))
            for name, one in node.backends.items()
        },
    )


def told(head: bytes) -> list[str]:
    line = next(one for one in head.split(b"\r\n") if one.lower().startswith(b"x-told:"))
    return line.partition(b":")[2].strip().decode().split("|")


async def test_the_kernel_tells_how_the_clients_connection_is():
    async with origin(answering()) as server:
        node = telling(server.server(), KERNEL, (bind(free_port()),))
        async with running(node) as plane:
            with trio.socket.socket() as client:
                await client.connect(("127.0.0.1", plane.port))
                await client.send(LAST)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += await client.recv(65536)
                info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            numbers = [int(one) for one in told(answer)]
            await plane.idle()
    assert 0 < numbers[0] < 1_000_000  # microseconds on loopback
    assert numbers[2:7] == [0, 0, 0, 0, 0]
    assert numbers[7] == int.from_bytes(info[88:92], "little")  # as the other end of loopback has it


async def test_a_unix_socket_has_no_such_thing(tmp_path):
    async with origin(answering()) as server:
        path = str(tmp_path / "front.sock")
        there = model.Bind(text=path, path=path)
        node = telling(server.server(), [*KERNEL, "fc_src", "fc_src_port"], (there,))
        async with running(node) as plane:
            with trio.socket.socket(socket.AF_UNIX) as client:
                await client.connect(path)
                await client.send(LAST)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += await client.recv(65536)
            await plane.idle()
    assert told(answer) == [""] * 10


async def test_a_proxy_header_does_not_hide_who_connected():
    header = version2(CLIENT, SITE, ((AUTHORITY, b"www.example.org"), (UNIQUE_ID, b"id-1")))
    async with origin(answering()) as server:
        binds = (attrs.evolve(bind(free_port()), accept_proxy=()),)
        async with (
            running(telling(server.server(), CONVEYED, binds)) as plane,
            await connect(plane.port) as peer,
        ):
            await peer.send(header + LAST)
            found = told(await peer.until(b"\r\n\r\n"))
            near = peer.stream.socket.getsockname()[1]
            await plane.idle()
    assert found == [
        *(CLIENT.host, "127.0.0.1", str(near)),
        *(SITE.host, "127.0.0.1", str(plane.port)),
        *("1", "www.example.org", "id-1"),
    ]


async def test_without_one_there_is_nothing_to_tell_of_it():
    async with origin(answering()) as server:
        node = telling(server.server(), CONVEYED[6:], (bind(free_port()),))
        async with running(node) as plane, await connect(plane.port) as peer:
            await peer.send(LAST)
            assert told(await peer.until(b"\r\n\r\n")) == ["0", "", ""]
            await plane.idle()


async def test_rules_of_a_backend_know_our_end_of_its_connections():
    """Nobody else asks for it, and so the frontend would not look."""
    async with origin(answering()) as server:
        node = telling(server.server(), SERVERS, (bind(free_port()),))
        async with running(node) as plane, await connect(plane.port) as peer:
            await peer.send(LAST)
            found = told(await peer.until(b"\r\n\r\n"))
            await plane.idle()
    assert found[0] == found[2] == "127.0.0.1"
    assert int(found[1]) > 1024
    assert int(found[3]) == server.server().port
    assert found[4] == "1"
