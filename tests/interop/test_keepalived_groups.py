"""A sync group over two segments, with the same vrrp_sync_group of keepalived's as its peer."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack

import pytest
from kernel.namespaces import Namespace, pair, wait_for
from vrrp.processes import Program

pytestmark = [pytest.mark.interop, pytest.mark.netns, pytest.mark.slow]

OUTSIDE, INSIDE = "192.0.2.100/24", "198.51.100.100/24"
INTERVAL = 0.1

NODE = """
[node]
name = "ours"
log = { target = "stdout" }
[vrrp.out]
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["192.0.2.100/24"]
[vrrp.in]
interface = "eth1"
virtual_router_id = 52
priority = 150
advert_interval = "100ms"
addresses = ["198.51.100.100/24"]
[sync_group.edge]
instances = ["out", "in"]
"""

INSTANCE = """
vrrp_instance {name} {{
    state BACKUP
    interface {interface}
    virtual_router_id {vrid}
    priority 100
    advert_int 0.1
    virtual_ipaddress {{
        {vip}
    }}
}}
"""
GROUP = """
global_defs {
    vrrp_version 3
}
vrrp_sync_group edge {
    group {
        out
        in
    }
}
"""
KEEPALIVED = (
    GROUP
    + INSTANCE.format(name="out", interface="eth0", vrid=51, vip=OUTSIDE)
    + INSTANCE.format(name="in", interface="br1", vrid=52, vip=INSIDE)
)


class Stage:
    def __init__(self, ours: Namespace, theirs: Namespace) -> None:
        self.ours, self.theirs = ours, theirs
        holder = theirs.path.split("/")[2]
        ours.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", holder)
        ours.run("ip", "address", "add", "198.51.100.1/24", "dev", "eth1")
        ours.run("ip", "link", "set", "eth1", "up")
        # A bridge with another port keeps its carrier when our end goes down.
        for command in (
            "link add br1 type bridge",
            "link add spare0 type veth peer name spare1",
            "link set spare0 master br1",
            "link set eth1 master br1",
            "link set spare0 up",
            "link set spare1 up",
            "link set eth1 up",
            "link set br1 up",
            "address add 198.51.100.2/24 dev br1",
        ):
            theirs.run("ip", *command.split())

    def holders(self) -> tuple[bool, bool, bool, bool]:
        """Who has the VIPs: we outside and inside, they outside and inside."""
        return (
            OUTSIDE in self.ours.addresses("eth0"),
            INSIDE in self.ours.addresses("eth1"),
            OUTSIDE in self.theirs.addresses("eth0"),
            INSIDE in self.theirs.addresses("br1"),
        )

    def wait_until_we_hold(self, ours: bool) -> None:
        expected = (ours, ours, not ours, not ours)
        wait_for(lambda: self.holders() == expected, what=f"holders {expected}")


def transitions(program: Program, state: str) -> int:
    return sum(f"Entering {state} STATE" in line for line in program.lines)


def stop(keepalived: Program) -> None:
    """As it wants to be stopped: its child ends with it."""
    if keepalived.process.poll() is None:
        keepalived.signal(signal.SIGTERM)
        keepalived.process.wait(10)
    keepalived.close()


def test_both_programs_move_their_groups_as_one(tmp_path):
    node, keepalived = tmp_path / "node.toml", tmp_path / "keepalived.conf"
    node.write_text(NODE)
    keepalived.write_text(KEEPALIVED)
    with pair() as (a, b), ExitStack() as ends:
        stage = Stage(a, b)
        ours = Program(a, sys.executable, "-m", "hapair", "run", str(node))
        ends.callback(ours.close)
        ours.wait_for("Entering MASTER STATE", times=2)
        theirs = Program(
            b,
            "keepalived",
            "--dont-fork",
            "--log-console",
            "--log-detail",
            "--vrrp",
            f"--use-file={keepalived}",
            f"--pid={keepalived}.pid",
            f"--vrrp_pid={keepalived}.vrrp",
        )
        ends.callback(stop, theirs)
        stage.wait_until_we_hold(True)
        a.run("ip", "link", "set", "eth1", "down")
        ours.wait_for("(out) Entering FAULT STATE: sync group edge: in is in FAULT")
        failed_at = time.monotonic()
        stage.wait_until_we_hold(False)
        assert time.monotonic() - failed_at < 5 * INTERVAL + 1
        a.run("ip", "link", "set", "eth1", "up")
        stage.wait_until_we_hold(True)
        assert (transitions(ours, "MASTER"), transitions(theirs, "MASTER")) == (4, 2), "no flap"
        ours.signal(signal.SIGTERM)
        ours.process.wait(10)
        stage.wait_until_we_hold(False)
        assert theirs.process.poll() is None
