"""hapair and Debian's keepalived as a pair, each in each role."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kernel.namespaces import give_ipv6, pair, wait_for
from vrrp.processes import VIP, Program, Sniffer, guard_pid, node

pytestmark = [pytest.mark.interop, pytest.mark.netns, pytest.mark.slow]

INTERVAL = 0.1
MASTER_DOWN = 4 * INTERVAL
SCHEDULING = 0.15
"""Seconds that two programs on a busy machine may be late."""

CONFIGURATION = """
global_defs {{
    vrrp_version 3
    vrrp_garp_master_refresh 0
}}
vrrp_instance web {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int {interval}
    {extra}
    virtual_ipaddress {{
        {vips}
    }}
}}
"""


class Stage:
    def __init__(self, ours, theirs, directory):
        self.ours, self.theirs = ours, theirs
        self._directory = directory
        self._programs: list[Program] = []
        self.sniffer = Sniffer(theirs)

    def keepalived(self, priority, extra="", interval=INTERVAL, vips=(VIP,)):
        """Start the real one, with a pid file for each of its processes in our own directory."""
        path = self._directory / f"keepalived{len(self._programs)}.conf"
        text = CONFIGURATION.format(priority=priority, interval=interval, vips="\n".join(vips), extra=extra)
        path.write_text(text)
        program = Program(
            self.theirs,
            "keepalived",
            "--dont-fork",
            "--log-console",
            "--log-detail",
            "--vrrp",
            f"--use-file={path}",
            f"--pid={path}.pid",
            f"--vrrp_pid={path}.vrrp",
        )
        self._programs.append(program)
        return program

    def hapair(self, priority, *more, interval=INTERVAL):
        program = node(self.ours, priority, interval, 0.4, *more)
        self._programs.append(program)
        guard_pid(program)
        return program

    def holders(self):
        return (VIP in self.ours.addresses(), VIP in self.theirs.addresses())

    def wait_for_holders(self, ours, theirs):
        wait_for(lambda: self.holders() == (ours, theirs), what=f"holders {(ours, theirs)}")

    def cut(self):
        """Partition the pair: no advert comes in on either side."""
        for namespace in (self.ours, self.theirs):
            namespace.run(
                "nft", "add table ip cut; add chain ip cut i { type filter hook input priority 0; }"
            )
            namespace.run("nft", "add rule ip cut i ip protocol 112 drop")

    def heal(self):
        for namespace in (self.ours, self.theirs):
            namespace.run("nft", "delete table ip cut")

    def close(self):
        for program in self._programs:
            if program.process.poll() is None:
                program.signal(signal.SIGCONT)
                program.signal(signal.SIGTERM)  # keepalived's children end with it
                program.process.wait(10)
            program.close()
        self.sniffer.close()


@pytest.fixture
def stage(tmp_path):
    with pair() as (a, b):
        made = Stage(a, b, tmp_path)
        yield made
        made.close()


def test_hapair_with_the_lower_priority_is_backup_and_takes_over_after_keepaliveds_goodbye(stage):
    keepalived, hapair = stage.keepalived(200), stage.hapair(100)
    stage.wait_for_holders(ours=False, theirs=True)
    stopped_at = time.monotonic()
    keepalived.signal(signal.SIGTERM)
    hapair.wait_for("Entering MASTER STATE: 192.0.2.2 resigned")
    assert time.monotonic() - stopped_at < INTERVAL + SCHEDULING
    stage.wait_for_holders(ours=True, theirs=False)


def test_hapair_takes_over_from_a_frozen_keepalived_after_master_down_and_yields_when_it_wakes(stage):
    keepalived, hapair = stage.keepalived(200), stage.hapair(100)
    stage.wait_for_holders(ours=False, theirs=True)
    children = Path(f"/proc/{keepalived.pid}/task/{keepalived.pid}/children")
    child = int(children.read_text().split()[0])
    os.kill(child, signal.SIGSTOP)
    frozen_at = time.monotonic()
    hapair.wait_for("Entering MASTER STATE: nothing from 192.0.2.2")
    assert time.monotonic() - frozen_at < MASTER_DOWN + SCHEDULING
    os.kill(child, signal.SIGCONT)
    stage.wait_for_holders(ours=False, theirs=True)
    assert hapair.said("192.0.2.2 advertises priority 200, ours is 100")


def test_hapair_with_the_higher_priority_preempts_keepalived(stage):
    keepalived = stage.keepalived(100)
    keepalived.wait_for("Entering MASTER STATE")
    hapair = stage.hapair(200)
    stage.wait_for_holders(ours=True, theirs=False)
    assert hapair.said("192.0.2.2 has only priority 100, ours is 200")
    assert keepalived.said("Master received advert from 192.0.2.1 with higher priority 200, ours 100")


def test_keepalived_takes_over_after_our_goodbye_within_its_skew_time(stage):
    keepalived, hapair = stage.keepalived(100), stage.hapair(200)
    stage.wait_for_holders(ours=True, theirs=False)
    stopped_at = time.monotonic()
    assert hapair.stop() == 0
    keepalived.wait_for("Entering MASTER STATE", times=1 + int(keepalived.said("Entering MASTER STATE")))
    assert time.monotonic() - stopped_at < INTERVAL + SCHEDULING + 0.1
    stage.wait_for_holders(ours=False, theirs=True)


def test_keepalived_takes_over_after_the_guards_goodbye(stage):
    """SIGKILL costs keepalived's skew time, not its master-down interval."""
    keepalived, hapair = stage.keepalived(100), stage.hapair(200)
    stage.wait_for_holders(ours=True, theirs=False)
    before = sum("Entering MASTER STATE" in line for line in keepalived.lines)
    killed_at = time.monotonic()
    hapair.signal(signal.SIGKILL)
    keepalived.wait_for("Entering MASTER STATE", times=before + 1)
    assert time.monotonic() - killed_at < 3 * INTERVAL
    stage.wait_for_holders(ours=False, theirs=True)


def test_without_preempt_hapair_leaves_a_lower_keepalived_alone(stage):
    keepalived = stage.keepalived(100)
    keepalived.wait_for("Entering MASTER STATE")
    hapair = stage.hapair(200, "preempt=False")
    time.sleep(3 * MASTER_DOWN)
    assert stage.holders() == (False, True)
    assert not hapair.said("Entering MASTER STATE")


def test_keepalived_without_preempt_leaves_a_lower_hapair_alone(stage):
    hapair = stage.hapair(100)
    hapair.wait_for("Entering MASTER STATE")
    stage.keepalived(200, extra="nopreempt").wait_for("Entering BACKUP STATE")
    time.sleep(3 * MASTER_DOWN)
    assert stage.holders() == (True, False)


def test_equal_priorities_are_decided_by_the_address(stage):
    """keepalived is 192.0.2.2, the higher one: it wins once both are MASTER."""
    hapair = stage.hapair(100)
    hapair.wait_for("Entering MASTER STATE")
    stage.cut()
    keepalived = stage.keepalived(100)
    keepalived.wait_for("Entering MASTER STATE")
    stage.wait_for_holders(ours=True, theirs=True)
    stage.heal()
    stage.wait_for_holders(ours=False, theirs=True)
    assert hapair.said("and 192.0.2.1 is the lower address")


def test_after_a_partition_keepalived_as_loser_yields_and_hapair_announces_itself(stage):
    hapair, keepalived = stage.hapair(200), stage.keepalived(100)
    stage.wait_for_holders(ours=True, theirs=False)
    stage.cut()
    stage.wait_for_holders(ours=True, theirs=True)
    stage.heal()
    stage.wait_for_holders(ours=True, theirs=False)
    assert not hapair.said("Entering BACKUP STATE", times=2)
    assert keepalived.said("with higher priority 200, ours 100")


def test_the_checksums_are_to_each_others_liking(stage):
    keepalived, hapair = stage.keepalived(100), stage.hapair(200)
    stage.wait_for_holders(ours=True, theirs=False)
    time.sleep(3 * INTERVAL)
    assert not keepalived.said("Invalid VRRPv3 checksum")
    assert not hapair.said("dropped a packet")


@pytest.mark.parametrize("more", [(), ("multicast=True",)], ids=["unicast", "mixed"])
def test_unicast_peers_elect_one_master(stage, more):
    keepalived = stage.keepalived(
        100, extra="unicast_src_ip 192.0.2.2\n    unicast_peer {\n        192.0.2.1\n    }"
    )
    keepalived.wait_for("Entering MASTER STATE")
    hapair = stage.hapair(200, "unicast_peers=('192.0.2.2',)", *more)
    stage.wait_for_holders(ours=True, theirs=False)
    hapair.signal(signal.SIGKILL)
    stage.wait_for_holders(ours=False, theirs=True)
    assert not hapair.said("dropped a packet")


@pytest.mark.parametrize("password", [None, "secret12"])
def test_version_2_is_spoken_in_every_role(stage, password):
    """Whole seconds: preempting, preempted, taking over after a goodbye, being taken over."""
    theirs = "version 2\n"
    ours = ["version=2"]
    if password:
        theirs += f"authentication {{\n auth_type PASS\n auth_pass {password}\n }}"
        ours.append(f"auth_pass={password!r}")
    keepalived = stage.keepalived(150, extra=theirs, interval=1)
    keepalived.wait_for("Entering MASTER STATE")
    hapair = stage.hapair(200, *ours, interval=1)
    stage.wait_for_holders(ours=True, theirs=False)
    assert hapair.said("192.0.2.2 has only priority 150, ours is 200")
    assert hapair.stop() == 0
    stage.wait_for_holders(ours=False, theirs=True)
    hapair = stage.hapair(100, *ours, interval=1)
    time.sleep(2)
    assert stage.holders() == (False, True)
    keepalived.signal(signal.SIGTERM)
    hapair.wait_for("Entering MASTER STATE: 192.0.2.2 resigned")
    stage.wait_for_holders(ours=True, theirs=False)
    assert not hapair.said("dropped a packet")
    assert not complaints(keepalived)


VIPS6 = ("fe80::100/64", "2001:db8::100/64")


@pytest.mark.parametrize("unicast", [False, True], ids=["multicast", "unicast"])
def test_ipv6_is_spoken_in_every_role(stage, unicast):
    """Preempting, killed with the guard alive, preempted, taking over after a goodbye."""
    give_ipv6(stage.ours, stage.theirs)
    peers = "unicast_ttl 255\n unicast_src_ip fe80::2\n unicast_peer {\n fe80::1\n }" if unicast else ""
    ours = [f"addresses={VIPS6}", *(["unicast_peers=('fe80::2',)"] if unicast else [])]

    def holders():
        return tuple(set(VIPS6) <= end.addresses() for end in (stage.ours, stage.theirs))

    keepalived = stage.keepalived(150, extra=peers, vips=VIPS6)
    wait_for(lambda: holders() == (False, True), what="keepalived alone")
    hapair = stage.hapair(200, *ours)
    wait_for(lambda: holders() == (True, False), what="hapair preempts")
    killed_at = time.monotonic()
    hapair.signal(signal.SIGKILL)
    wait_for(lambda: holders() == (False, True), what="the guard gives them away")
    assert time.monotonic() - killed_at < 3 * INTERVAL, "after a goodbye: no master-down interval"
    hapair = stage.hapair(100, *ours)
    time.sleep(2 * MASTER_DOWN)
    assert holders() == (False, True), hapair.lines
    keepalived.signal(signal.SIGTERM)
    hapair.wait_for("Entering MASTER STATE: fe80::2 resigned")
    wait_for(lambda: holders() == (True, False), what="hapair takes over")
    assert not hapair.said("dropped a packet")
    assert not complaints(keepalived)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("base", [False, True], ids=["virtual", "xmit-base"])
def test_the_virtual_mac_is_used_in_every_role(stage, family, base):
    """Preempting, killed with the guard alive, preempted, taking over after a goodbye."""
    vips, name = ((VIP,), "vrrp.51") if family == 4 else (VIPS6, "vrrp6.51")
    if family == 6:
        give_ipv6(stage.ours, stage.theirs)
    ours = [f"addresses={vips}", "use_vmac=True", *(["vmac_xmit_base=True"] if base else [])]

    def holds(end, name):
        shown = subprocess.run(end.command("ip", "-o", "address"), capture_output=True, text=True, check=True)
        held = [line.split() for line in shown.stdout.splitlines()]
        return {(name, vip) for vip in vips} <= {(words[1], words[3]) for words in held}

    def holders():
        return holds(stage.ours, name), holds(stage.theirs, "vrrp.51")

    keepalived = stage.keepalived(150, extra="use_vmac\n vmac_xmit_base" if base else "use_vmac", vips=vips)
    wait_for(lambda: holders() == (False, True), what="keepalived alone")
    hapair = stage.hapair(200, *ours)
    wait_for(lambda: holders() == (True, False), what="hapair preempts")
    changes = keepalived.lines.copy()
    time.sleep(10 * INTERVAL)
    assert [line for line in keepalived.lines[len(changes) :] if "STATE" in line] == [], "no flap"
    killed_at = time.monotonic()
    hapair.signal(signal.SIGKILL)
    wait_for(lambda: holders() == (False, True), what="the guard gives them away")
    assert time.monotonic() - killed_at < 3 * INTERVAL, "after a goodbye: no master-down interval"
    hapair = stage.hapair(100, *ours)
    time.sleep(2 * MASTER_DOWN)
    assert holders() == (False, True), hapair.lines
    keepalived.signal(signal.SIGTERM)
    hapair.wait_for("Entering MASTER STATE")
    assert hapair.said("resigned")
    wait_for(lambda: holders() == (True, False), what="hapair takes over")
    assert not hapair.said("dropped a packet")
    assert not complaints(keepalived)


def complaints(keepalived):
    return [line for line in keepalived.lines if re.search("(?i)error|invalid|mismatch|bogus|wrong", line)]


def test_another_password_is_no_election(stage):
    keepalived = stage.keepalived(
        100, extra="version 2\nauthentication {\n auth_type PASS\n auth_pass theirs\n }", interval=1
    )
    keepalived.wait_for("Entering MASTER STATE")
    hapair = stage.hapair(200, "version=2", "auth_pass='ours'", interval=1)
    hapair.wait_for("dropped a packet from 192.0.2.2: authentication")
