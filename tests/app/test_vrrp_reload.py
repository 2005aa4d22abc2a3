"""SIGHUP and the virtual routers of a pair: what stays is not disturbed, what cannot be is refused."""

from __future__ import annotations

import re
import signal
import sys
import time
from contextlib import ExitStack

import pytest
from kernel.namespaces import pair, wait_for
from vrrp.processes import Program

pytestmark = [pytest.mark.netns, pytest.mark.slow]

NODE = """
[node]
name = "test"
log = { target = "stdout" }
"""
GROUP = """
[sync_group.edge]
instances = [%s]
"""


def router(name, interface, vrid, priority, *more):
    vip = f"{'192.0.2' if interface == 'eth0' else '198.51.100'}.{100 + vrid}/24"
    lines = (
        f"[vrrp.{name}]",
        f'interface = "{interface}"',
        f"virtual_router_id = {vrid}",
        f"priority = {priority}",
        'advert_interval = "100ms"',
        f'addresses = ["{vip}"]',
        *more,
    )
    return "\n".join(lines) + "\n"


class Node:
    def __init__(self, namespace, path, ends):
        self.namespace, self._path = namespace, path
        self._ends = ends
        self.program = None

    def load(self, *tables, head=NODE):
        """Start with these tables, or reload them."""
        self._path.write_text(head + "".join(tables))
        if self.program is None:
            self.program = Program(self.namespace, sys.executable, "-m", "hapair", "run", str(self._path))
            self._ends.callback(self.program.close)
            self.program.wait_for("is ready")
        else:
            reloads = self.reloads()
            self.program.signal(signal.SIGHUP)
            wait_for(lambda: self.reloads() > reloads, what="the reload")

    def reloads(self):
        return sum(line.startswith("reload") for line in self.program.lines)

    def holds(self):
        found = self.namespace.addresses("eth0") | self.namespace.addresses("eth1")
        return {int(address.split(".")[3].split("/")[0]) - 100 for address in found if "/24" in address} & {
            1,
            2,
            3,
        }

    def transitions(self, name):
        return [line for line in self.program.lines if line.startswith(f"({name}) Entering")]


@pytest.fixture
def nodes(tmp_path):
    with pair() as (a, b), ExitStack() as ends:
        holder = b.path.split("/")[2]
        a.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", holder)
        for n, end in enumerate((a, b), start=1):
            end.run("ip", "address", "add", f"198.51.100.{n}/24", "dev", "eth1")
            end.run("ip", "link", "set", "eth1", "up")
        for end in (a, b):
            wait_for(lambda ns=end: "state UP" in ns.run("ip", "link", "show", "eth1"), what="link up")
        yield Node(a, tmp_path / "a.toml", ends), Node(b, tmp_path / "b.toml", ends)


def three(priority):
    return (
        router("out", "eth0", 1, priority),
        router("in", "eth1", 2, priority),
        router("own", "eth1", 3, priority),
    )


def test_members_come_and_go_without_disturbing_who_stays_outside(nodes):
    high, low = nodes

    def regroup(*groups):
        for node, priority in ((low, 100), (high, 200)):
            node.load(*three(priority), *groups)
        wait_for(lambda: (high.holds(), low.holds()) == ({1, 2, 3}, set()), what=f"all at high: {groups}")

    regroup(GROUP % '"out", "in"')
    regroup(GROUP % '"out", "in", "own"')
    regroup(GROUP % '"out", "in"')
    own = high.transitions("own")
    regroup()
    regroup(GROUP % '"in", "out"')
    assert high.transitions("own") == own, "it was not touched"
    assert high.program.stop() == 0
    wait_for(lambda: low.holds() == {1, 2, 3}, what="all at low")


def test_the_priorities_of_a_group_change_in_place(nodes):
    high, low = nodes
    for node, priority in ((high, 200), (low, 100)):
        node.load(*three(priority), GROUP % '"out", "in"')
    wait_for(lambda: (high.holds(), low.holds()) == ({1, 2, 3}, set()), what="high has them all")
    high.load(
        router("out", "eth0", 1, 50),
        router("in", "eth1", 2, 50),
        router("own", "eth1", 3, 200),
        GROUP % '"out", "in"',
    )
    wait_for(lambda: (high.holds(), low.holds()) == ({3}, {1, 2}), what="the group goes to low")
    high.load(*three(200), GROUP % '"out", "in"')
    wait_for(lambda: (high.holds(), low.holds()) == ({1, 2, 3}, set()), what="the group is back")
    assert len(high.transitions("own")) == 2, "as BACKUP, as MASTER"


def test_the_guard_and_the_lifetimes_follow(nodes):
    """A pair that is made faster must also lose its VIPs faster when a node freezes."""
    a, _ = nodes
    node = NODE + 'guard_timeout = "%s"\n'
    vip = router("one", "eth0", 1, 200)
    a.load(vip, head=node % "8s")

    def lifetime():
        shown = a.namespace.run("ip", "address", "show", "dev", "eth0")
        return [int(seconds) for seconds in re.findall(r"valid_lft (\d+)sec", shown)]

    wait_for(lambda: any(seconds > 2 for seconds in lifetime()), what="MASTER")
    a.load(vip, head=node % "1s")
    wait_for(lambda: lifetime() and max(lifetime()) <= 2, what="renewals with the new lifetime")
    assert a.holds() == {1}
    frozen_at = time.monotonic()
    a.program.signal(signal.SIGSTOP)
    wait_for(lambda: not a.holds(), what="the guard's strike")
    assert time.monotonic() - frozen_at < 4
    a.program.signal(signal.SIGCONT)


def test_ipv6_that_is_switched_off_is_the_trouble_of_one_router(nodes):
    a, _ = nodes

    def switch(off):
        a.namespace.run("sh", "-c", f"echo {int(off)} >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")

    switch(off=False)
    six = router("six", "eth0", 1, 255, 'excluded_addresses = ["2001:db8::100/64"]')
    four = router("four", "eth1", 2, 255)
    a.load(six, four)
    wait_for(lambda: a.holds() == {1, 2}, what="MASTER of both")
    switch(off=True)
    wait_for(lambda: a.holds() == {2}, what="FAULT of one")
    assert a.program.said("(six) Entering FAULT STATE: could not add 2001:db8::100/64 to eth0")
    a.load(six, four, router("new", "eth0", 3, 100, 'excluded_addresses = ["2001:db8::101/64"]'))
    assert a.program.said("cannot be put on eth0: its disable_ipv6 is 1; nothing was changed")
    switch(off=False)
    wait_for(lambda: a.holds() == {1, 2}, what="MASTER again")
    assert len(a.transitions("four")) == 1


def test_a_macvlan_that_could_not_be_made_changes_nothing(nodes):
    a, _ = nodes
    a.load(router("one", "eth0", 1, 200), router("two", "eth1", 2, 200))
    wait_for(lambda: a.holds() == {1, 2}, what="MASTER of both")
    a.namespace.run("ip", "link", "add", "taken", "type", "bridge")
    vmac = "use_vmac = true", 'vmac_interface = "taken"'
    a.load(router("one", "eth0", 1, 200, *vmac), router("two", "eth1", 2, 200, "use_vmac = true"))
    assert a.program.said("there is an interface taken already; choose a vmac_interface; nothing was changed")
    assert a.holds() == {1, 2}
    assert (len(a.transitions("one")), len(a.transitions("two"))) == (2, 2), "as BACKUP, as MASTER"


def test_one_router_that_cannot_start_after_all_does_not_keep_the_others_from_it(nodes):
    """What is in a bridge can have no macvlan, which nothing tells before it is tried."""
    a, _ = nodes
    plain = router("one", "eth1", 1, 200), router("two", "eth0", 2, 200)
    a.load(*plain)
    wait_for(lambda: a.holds() == {1, 2}, what="MASTER of both")
    a.namespace.run("ip", "link", "add", "bridge", "type", "bridge")
    a.namespace.run("ip", "link", "set", "eth1", "master", "bridge")
    a.load(*(one + "use_vmac = true\n" for one in plain))
    (said,) = [line for line in a.program.lines if line.startswith("reload")]
    assert "vrrp one changed; vrrp two changed; but not started: vrrp.one: could not make vrrp.1" in said
    assert "nothing was changed" not in said
    wait_for(lambda: "192.0.2.102/24" in a.namespace.addresses("vrrp.2"), what="MASTER of the other")
    a.load(*plain)
    wait_for(lambda: a.holds() == {1, 2}, what="MASTER of both again")


def test_a_router_that_could_not_start_changes_nothing(nodes):
    node, _ = nodes
    node.load(router("out", "eth0", 1, 100))
    wait_for(lambda: node.holds() == {1}, what="MASTER")
    before = node.transitions("out")
    for impossible, why in (
        (router("out", "eth7", 1, 100), "there is no interface eth7"),
        (
            router("out", "eth0", 1, 100, 'excluded_addresses = [{ address = "10.0.0.1/24", dev = "eth8" }]'),
            "there is no interface eth8",
        ),
        (
            router(
                "out", "eth0", 1, 100, 'excluded_addresses = [{ address = "192.0.2.9/24", scope = "link" }]'
            ),
            "192.0.2.1/24 has another",
        ),
        (
            router("out", "eth0", 1, 100)
            + router("six", "lo", 9, 100).replace("198.51.100.109/24", "fe80::9/64"),
            "lo has no IPv6 link-local address",
        ),
    ):
        node.load(impossible)
        assert node.program.said(why), node.program.lines
        assert node.holds() == {1}
    assert node.transitions("out") == before
    node.load(router("out", "eth0", 1, 101))
    assert node.program.said("reload: vrrp out changed")
