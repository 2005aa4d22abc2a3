"""A minute beside keepalived in every dialect, each of the two once as MASTER: nothing happens.

All pairs at the same time, each in namespaces of its own.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import attrs
import pytest
from interop.test_keepalived_peer import VIPS6, Stage, complaints
from kernel.namespaces import give_ipv6, pair
from vrrp.processes import VIP

pytestmark = [pytest.mark.interop, pytest.mark.netns, pytest.mark.slow]

INTERVAL = 1.0
QUIET = 60.0
"""Seconds."""


@attrs.frozen
class Dialect:
    theirs: str = ""
    ours: tuple[str, ...] = ()
    ipv6: bool = False


AUTHENTICATION = "authentication {\n auth_type PASS\n auth_pass secret12\n }"
DIALECTS = {
    "version 2": Dialect("version 2", ("version=2",)),
    "version 2 with a password": Dialect(
        f"version 2\n {AUTHENTICATION}", ("version=2", "auth_pass='secret12'")
    ),
    "version 3": Dialect(),
    "IPv6": Dialect(ipv6=True),
    "unicast": Dialect(
        "unicast_src_ip 192.0.2.2\n unicast_peer {\n 192.0.2.1\n }", ("unicast_peers=('192.0.2.2',)",)
    ),
    "virtual MAC": Dialect("use_vmac", ("use_vmac=True",)),
    "virtual MAC, IPv6": Dialect("use_vmac", ("use_vmac=True",), ipv6=True),
}


@attrs.frozen(eq=False)
class Couple:
    name: str
    hapair: object
    keepalived: object

    def states(self):
        """Every transition of either so far."""
        lines = [*self.hapair.lines, *self.keepalived.lines]
        return [line for line in lines if "Entering" in line and "STATE" in line]


def start(ends: ExitStack, directory, name: str, dialect: Dialect, *, our_priority: int) -> Couple:
    directory.mkdir()
    stage = Stage(*ends.enter_context(pair()), directory)
    ends.callback(stage.close)
    vips = VIPS6 if dialect.ipv6 else (VIP,)
    if dialect.ipv6:
        give_ipv6(stage.ours, stage.theirs)
    keepalived = stage.keepalived(150, extra=dialect.theirs, interval=1, vips=vips)
    hapair = stage.hapair(our_priority, f"addresses={vips}", *dialect.ours, interval=INTERVAL)
    return Couple(name, hapair, keepalived)


@pytest.mark.timeout(300)  # a minute, and 28 programs that start and stop on however busy a machine
def test_a_minute_in_every_dialect_is_quiet(tmp_path):
    with ExitStack() as ends:
        couples = [
            start(
                ends, tmp_path / f"{n}-{priority}", f"{name}, ours {priority}", dialect, our_priority=priority
            )
            for n, (name, dialect) in enumerate(DIALECTS.items())
            for priority in (200, 100)
        ]
        time.sleep(8 * INTERVAL)  # to be elected, in any order
        before = {couple.name: couple.states() for couple in couples}
        for couple in couples:
            ours, theirs = couple.hapair.lines, couple.keepalived.lines
            assert ("MASTER" in _last_state(ours)) != ("MASTER" in _last_state(theirs)), (
                couple.name,
                ours,
                theirs,
            )
        time.sleep(QUIET)
        for couple in couples:
            assert couple.states() == before[couple.name], couple.name
            assert not complaints(couple.keepalived), couple.name
            assert not couple.hapair.said("dropped a packet"), couple.name
            assert couple.hapair.process.poll() is None
            assert couple.keepalived.process.poll() is None


def _last_state(lines):
    return [line for line in lines if "Entering" in line and "STATE" in line][-1]
