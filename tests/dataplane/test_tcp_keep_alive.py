"""clitcpka and srvtcpka, as the kernel sees them: an idle connection that is probed has a timer."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from dataplane.plane import GET, answering, config, connect, origin, running

KEEP_ALIVE = "02"
"""The timer in /proc/net/tcp; 00 is none, 01 is for data that waits for its acknowledgement."""


def timer(local: int, remote: int) -> str:
    """Which timer runs on the connection between two ports of 127.0.0.1."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, ours, theirs, _, _, running_timer, *_ = line.split()
        if (int(ours[9:], 16), int(theirs[9:], 16)) == (local, remote):
            return running_timer[:2]
    return "gone"


async def settled(local: int, remote: int) -> str:
    """The same, once everything that was sent is acknowledged."""
    for _ in range(500):  # the kernel tells nobody when
        if timer(local, remote) != "01":
            break
        await trio.sleep(0.01)
    return timer(local, remote)


@pytest.mark.parametrize("clients", [True, False])
@pytest.mark.parametrize("servers", [True, False])
async def test_each_side_is_probed_only_where_it_is_wanted(clients: bool, servers: bool) -> None:
    async with origin(answering()) as web:
        node = config(web.server(), frontend={"clitcpka": clients}, srvtcpka=servers)
        async with running(node) as here, await connect(here.port) as client:
            assert (await client.ask(GET))[0] == 200
            theirs = client.stream.socket.getsockname()[1]
            probed = KEEP_ALIVE if clients else "00"
            assert await settled(here.port, theirs) == probed
            (resting,) = here.plane.backends["be"].by_name["s1"].idle
            probed = KEEP_ALIVE if servers else "00"
            assert await settled(resting.sock.getsockname()[1], web.port) == probed
