"""VIPs that are not simply on the router's interface: devices, scopes, labels, and a MAC of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest
from kernel.namespaces import give_ipv6, segment, wait_for
from vrrp.processes import node

pytestmark = [pytest.mark.netns, pytest.mark.slow]

VIP = "192.0.2.100"
VMAC = "00:00:5e:00:01:33"
VMAC6 = "00:00:5e:00:02:33"
INTERVAL = 0.1
CONF = "/proc/sys/net/ipv4/conf"


class Stage:
    """Two nodes, a client and the switch between them."""

    def __init__(self, a, b, client, switch):
        self.a, self.b, self.client, self.switch = a, b, client, switch
        self._programs = []

    def start(self, namespace, priority, *more):
        program = node(namespace, priority, INTERVAL, 0.3, *more)
        self._programs.append(program)
        program.wait_for("guard pid")
        return program

    def reaches(self, address=VIP):
        """Whether the client gets an answer, and from which MAC it has it."""
        command = self.client.command("ping", "-c", "1", "-W", "1", "-I", "eth0", address)
        answered = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return answered and self.mac(address)

    def mac(self, address=VIP):
        found = re.search(
            "lladdr ([0-9a-f:]+)", self.client.run("ip", "neigh", "show", address, "dev", "eth0")
        )
        return found and found[1]

    def close(self):
        for program in self._programs:
            program.close()


@pytest.fixture
def stage():
    with segment(3) as (a, b, client, switch):
        made = Stage(a, b, client, switch)
        yield made
        made.close()


def link(namespace, name):
    done = subprocess.run(
        namespace.command("ip", "link", "show", name), capture_output=True, text=True, check=False
    )
    return done.stdout


def is_up(namespace, name="vrrp.51"):
    return "UP" in link(namespace, name).partition(">")[0]


def settings(namespace):
    return [namespace.run("cat", f"{CONF}/eth0/{name}").strip() for name in ("arp_ignore", "arp_announce")]


def own_mac(namespace):
    return re.search("link/ether ([0-9a-f:]+)", link(namespace, "eth0"))[1]


def test_each_vip_goes_where_it_is_told_and_the_guard_finds_it_there(stage):
    stage.a.run("ip", "link", "add", "eth1", "type", "bridge")
    stage.a.run("ip", "link", "add", "peer1", "type", "veth", "peer", "name", "port1")
    for name in ("eth1", "peer1", "port1"):
        stage.a.run("ip", "link", "set", name, "up")
    stage.a.run("ip", "link", "set", "port1", "master", "eth1")
    places = (
        {"address": f"{VIP}/32", "label": "eth0:web", "scope": "link"},
        {"address": "198.51.100.1/24", "dev": "eth1"},
    )
    hapair = stage.start(stage.a, 100, f"addresses={places}")
    hapair.wait_for("gate open")
    assert "198.51.100.1/24" in stage.a.addresses("eth1"), hapair.lines
    assert "scope link dynamic eth0:web" in stage.a.run("ip", "address", "show", "dev", "eth0")
    stage.a.run("ip", "address", "del", "198.51.100.1/24", "dev", "eth1")
    wait_for(lambda: "198.51.100.1/24" in stage.a.addresses("eth1"), what="putting it back")
    stage.a.run("ip", "address", "add", "198.51.100.1/24", "dev", "eth0")
    wait_for(lambda: "198.51.100.1/24" not in stage.a.addresses("eth0"), what="removing the misplaced one")
    killed_at = time.monotonic()
    hapair.signal(signal.SIGKILL)
    wait_for(lambda: "198.51.100.1/24" not in stage.a.addresses("eth1"), what="the guard's strike")
    assert time.monotonic() - killed_at < 0.2
    assert f"{VIP}/32" not in stage.a.addresses()


def test_a_failover_changes_nothing_in_a_neighbours_table(stage):
    first = stage.start(stage.a, 200, "use_vmac=True")
    stage.start(stage.b, 100, "use_vmac=True")
    wait_for(lambda: stage.reaches() == VMAC, what="an answer from the virtual MAC")
    assert not is_up(stage.b), "a BACKUP does not show the virtual MAC"
    monitor = subprocess.Popen(
        stage.client.command("ip", "-ts", "monitor", "neigh"), stdout=subprocess.PIPE, text=True
    )
    for number in (signal.SIGTERM, signal.SIGKILL):
        first.signal(number)
        wait_for(lambda: is_up(stage.b) and f"{VIP}/24" in stage.b.addresses("vrrp.51"), what="the takeover")
        wait_for(lambda: stage.reaches() == VMAC, what="an answer after the takeover")
        first = stage.start(stage.a, 200, "use_vmac=True")
        wait_for(lambda: is_up(stage.a) and not is_up(stage.b), what="the hand-back")
        wait_for(lambda: stage.reaches() == VMAC, what="an answer after the hand-back")
    monitor.terminate()
    seen = [line for line in monitor.communicate()[0].splitlines() if f" {VIP} " in line and "lladdr" in line]
    assert not [line for line in seen if VMAC not in line]


def test_the_interface_below_answers_for_its_own_address_only(stage):
    before = settings(stage.a)
    hapair = stage.start(stage.a, 200, "use_vmac=True")
    wait_for(lambda: stage.reaches() == VMAC, what="the VIP")
    assert stage.reaches("192.0.2.1") == own_mac(stage.a)
    stage.a.run("ip", "neigh", "flush", "dev", "eth0")
    stage.a.run(
        "ping", "-c", "1", "-W", "1", "-I", VIP, "192.0.2.3"
    )  # asks for the client in the name of ...
    assert stage.mac() == VMAC, "not of the VIP"
    assert settings(stage.a) == ["1", "2"]
    assert hapair.stop() == 0
    assert settings(stage.a) == before


def test_the_switch_learns_the_virtual_mac_where_the_master_is(stage):
    first = stage.start(stage.a, 200, "use_vmac=True")
    stage.start(stage.b, 100, "use_vmac=True")

    def port():
        return re.findall(rf"{VMAC} dev (port\d)", stage.switch.run("bridge", "fdb", "show"))

    wait_for(lambda: port() == ["port1"], what="learning")
    first.stop()
    wait_for(lambda: port() == ["port2"], what="learning again")


def test_after_a_kill_the_virtual_mac_is_gone_and_the_next_life_cleans_up(stage):
    hapair = stage.start(stage.a, 200, "use_vmac=True")
    wait_for(lambda: stage.reaches() == VMAC, what="the VIP")
    killed_at = time.monotonic()
    hapair.signal(signal.SIGKILL)
    wait_for(lambda: not is_up(stage.a), what="the guard's strike")
    assert time.monotonic() - killed_at < 0.2
    assert stage.a.addresses("vrrp.51") == set()
    hapair = stage.start(stage.a, 200, "use_vmac=True")
    assert hapair.said("removing vrrp.51, left over")
    wait_for(lambda: stage.reaches() == VMAC, what="the VIP again")
    assert hapair.stop() == 0
    assert link(stage.a, "vrrp.51") == ""


def test_a_macvlan_that_an_operator_deletes_is_made_again(stage):
    stage.start(stage.a, 200, "use_vmac=True")
    wait_for(lambda: stage.reaches() == VMAC, what="the VIP")
    stage.a.run("ip", "link", "del", "vrrp.51")
    wait_for(lambda: is_up(stage.a) and f"{VIP}/24" in stage.a.addresses("vrrp.51"), what="making it again")
    wait_for(lambda: stage.reaches() == VMAC, what="the VIP again")


def test_a_name_that_is_taken_is_an_error_at_the_start(stage):
    stage.a.run("ip", "link", "add", "vrrp.51", "type", "bridge")
    program = node(stage.a, 100, INTERVAL, 0.3, "use_vmac=True")
    program.wait_for("there is an interface vrrp.51 already")
    program.close()


def test_ipv6_has_its_virtual_mac_too(stage):
    give_ipv6(stage.a, stage.b, stage.client)
    vips = ("fe80::100/64", "2001:db8::100/64")
    stage.client.run("ip", "address", "add", "2001:db8::3/64", "dev", "eth0", "nodad")
    for end in (stage.a, stage.b):
        end.run("ip", "route", "add", "2001:db8::/64", "dev", "eth0")
    first = stage.start(stage.a, 200, "use_vmac=True", f"addresses={vips}")
    stage.start(stage.b, 100, "use_vmac=True", f"addresses={vips}")
    wait_for(lambda: stage.reaches("2001:db8::100") == VMAC6, what="the VIP")
    assert stage.reaches("fe80::100") == VMAC6
    assert stage.a.addresses("vrrp6.51") == set(vips)
    first.signal(signal.SIGKILL)
    wait_for(lambda: is_up(stage.b, "vrrp6.51") and not is_up(stage.a, "vrrp6.51"), what="the takeover")
    wait_for(lambda: stage.reaches("2001:db8::100") == VMAC6, what="the VIP again")
    assert stage.reaches("fe80::100") == VMAC6


@pytest.mark.parametrize("promote", [True, False])
def test_an_operators_address_in_the_vips_subnet_survives_with_promote_secondaries(stage, promote):
    """The VIP came first, so the kernel takes the others of its subnet for its dependants."""
    vip, operators = "198.51.100.1/24", "198.51.100.50/24"
    hapair = stage.start(stage.a, 100, f"addresses=('{vip}',)", f"promote_secondaries={promote}")
    wait_for(lambda: vip in stage.a.addresses(), what="the VIP")
    stage.a.run("ip", "address", "add", operators, "dev", "eth0")
    assert hapair.stop() == 0
    assert vip not in stage.a.addresses()
    assert (operators in stage.a.addresses()) == promote
