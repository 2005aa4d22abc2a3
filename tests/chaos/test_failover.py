"""The MASTER is broken in every way; the peer takes over in time, alone, and gives back what it took.

Seen from outside: a fresh connection every 2 ms, the kernel's address lists every
10 ms, and who answers ARP.  Bounds are RFC 9568's timers times a margin for a busy
machine; `make bench-failover` is where milliseconds are compared.
"""

import os
import signal
import time

import attrs
import pytest
import trio

from lab import faults, verdicts
from lab.records import BEFORE, Bounds, Deed, record
from lab.scenario import PRIORITIES

from .conftest import INTERVAL

pytestmark = [pytest.mark.chaos, pytest.mark.netns]

DOWN = verdicts.master_down_time(PRIORITIES["lb-b"], INTERVAL)
"""The peer's wait when the MASTER falls silent."""
SKEW = verdicts.skew_time(PRIORITIES["lb-b"], INTERVAL)
"""The peer's wait when the MASTER, or its guard, says goodbye."""
MARGIN = 0.1
"""Seconds that two shared cores may be late."""
BRIEF = 0.1
"""Seconds that both nodes may hold the VIP."""
LIFETIME = 2.3
"""hapair's VIPs live two seconds unless refreshed; the kernel is up to 0.24 s late (measured)."""
GUARD = 1.0
"""Seconds of silence after which the guard acts (node.guard_timeout)."""
IN_FLIGHT = 15
"""Requests of 30 ms: those under way at that instant, on two shared cores."""


@attrs.frozen
class Case:
    fault: faults.Fault
    served: float
    """The peer serves within these seconds."""
    two_holders: float
    """The VIP may be on both nodes for these seconds."""


CASES = [
    Case(faults.GRACEFUL_STOP, served=SKEW + MARGIN, two_holders=BRIEF),
    # The guard says goodbye for the dead: no slower than a graceful stop.
    Case(faults.KILL_ROUTER, served=SKEW + MARGIN, two_holders=BRIEF),
    # Nobody is left to say goodbye; the kernel alone takes the address off.
    Case(faults.KILL_EVERYTHING, served=1.2 * DOWN, two_holders=LIFETIME),
    # A frozen process is silent at once; its guard takes the address away when it is sure.
    Case(faults.STOP_ROUTER, served=1.2 * DOWN, two_holders=GUARD + MARGIN),
    Case(faults.LINK_DOWN, served=1.2 * DOWN, two_holders=BRIEF),
    Case(faults.CARRIER_LOST, served=1.2 * DOWN, two_holders=BRIEF),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault.name)
async def test_the_peer_takes_over_alone_and_in_time_and_hands_back(pair, case, chronicle, request):
    chronicle(await _take_over_and_hand_back(pair, case, _title(case, request)))


@pytest.mark.ipv6
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.fault in (faults.GRACEFUL_STOP, faults.KILL_ROUTER, faults.LINK_DOWN)],
    ids=lambda case: case.fault.name,
)
async def test_with_ipv6_the_peer_takes_over_alone_and_in_time_and_hands_back(pair, case, chronicle, request):
    chronicle(await _take_over_and_hand_back(pair, case, _title(case, request)))


@pytest.mark.workers
@pytest.mark.parametrize(
    "case",
    [
        Case(faults.GRACEFUL_STOP, served=SKEW + MARGIN, two_holders=BRIEF),
        Case(faults.KILL_ROUTER, served=SKEW + MARGIN, two_holders=BRIEF),
        Case(faults.STOP_ROUTER, served=1.2 * DOWN, two_holders=BRIEF + MARGIN),
        Case(faults.KILL_EVERYTHING, served=1.2 * DOWN, two_holders=LIFETIME),
    ],
    ids=lambda case: case.fault.name,
)
async def test_with_workers_the_peer_takes_over_alone_and_in_time_and_hands_back(
    pair, case, chronicle, request
):
    chronicle(await _take_over_and_hand_back(pair, case, _title(case, request)))


@pytest.mark.workers
@pytest.mark.parametrize("fault", [faults.KILL_ROUTER, faults.STOP_ROUTER], ids=lambda fault: fault.name)
async def test_workers_serve_until_the_peer_does(pair, fault):
    """Without them nobody serves from the fault until then: at least the time to tell the peer."""
    victim = pair.nodes["lb-a"]
    assert len(victim.worker_pids()) == 2
    takeover = await pair.take_over(fault, within=10)
    assert takeover.gap <= BRIEF
    assert takeover.no_holder == 0, "the VIP was with one or the other at every look"
    if fault is faults.KILL_ROUTER:
        await pair.until("no worker outlives the guard", lambda: victim.worker_pids() == [], within=1)


@pytest.mark.workers
async def test_a_killed_worker_moves_the_vip_to_the_peer(pair):
    victim = pair.nodes["lb-a"]
    first, _ = victim.worker_pids()
    os.kill(first, signal.SIGKILL)
    await pair.until_master(pair.nodes["lb-b"], within=5)
    await pair.until("all of it ends", lambda: not victim.speaks and not victim.worker_pids(), within=5)
    await victim.start()
    await pair.until_master(victim, within=10)


def _title(case, request):
    marks = {"ipv6": ", IPv6", "workers": ", workers"}
    return case.fault.what + "".join(
        words for mark, words in marks.items() if request.node.get_closest_marker(mark)
    )


async def _take_over_and_hand_back(pair, case, title):
    """What the chapter says, and the record of it."""
    preferred = pair.nodes["lb-a"]
    takeover = await pair.take_over(case.fault, within=10)
    assert takeover.served <= case.served
    assert takeover.first_failure_late == 0, "requests failed after the peer had begun to serve"

    # Long enough that whatever still holds the VIP on the broken node has let go of it.
    await trio.sleep(max(0.0, takeover.at + case.two_holders - time.monotonic()))
    assert pair.sampler.holders == {"lb-b"}
    assert len(await pair.who_has_the_vip()) == 1
    assert verdicts.two_holders(pair.sampler.holdings, takeover.at, time.monotonic()) <= case.two_holders

    handback = await pair.hand_back(preferred, case.fault, within=10)
    assert handback.two_holders <= BRIEF
    assert handback.failed <= IN_FLIGHT
    assert len(await pair.who_has_the_vip()) == 1
    return record(
        title=title,
        nodes=pair.nodes["lb-a"].kind,
        group="failover",
        bounds=Bounds(case.served + MARGIN, case.two_holders + BRIEF),
        start=takeover.at,
        end=handback.until,
        deeds=[Deed("broken", takeover.at, handback.at), Deed("mended", handback.at, handback.at)],
        requests=pair.prober.recent(takeover.at - BEFORE),
        holdings=pair.sampler.holdings,
        streams=pair.streamer.streams,
    )


async def test_a_healed_partition_leaves_one_master_that_clients_find_at_once(pair):
    """Both were MASTER; the one that wins announces itself, or clients talk to the loser for seconds."""
    takeover = await pair.take_over(faults.PARTITION, within=10)
    assert takeover.served <= 1.2 * DOWN
    handback = await pair.hand_back(pair.nodes["lb-a"], faults.PARTITION, within=10)
    assert handback.two_holders <= INTERVAL + MARGIN, "the lower priority yields to the first advert it hears"
    assert handback.gap <= 3 * INTERVAL
    assert len(await pair.who_has_the_vip()) == 1


async def test_nothing_fails_while_nothing_is_done(pair):
    start = time.monotonic()
    await trio.sleep(2)
    end = time.monotonic()
    await trio.sleep(pair.prober.timeout)
    assert verdicts.failures(pair.prober.requests, start, end) == []
    assert [sorted(holding.holders) for holding in pair.sampler.holdings[-1:]] == [["lb-a"]]
    served = [request for request in pair.prober.requests if start <= request.start < end]
    assert {request.backend for request in served} == {"web1", "web2"}
    assert len(served) > 500


async def test_the_death_of_the_backup_is_nobodys_business(pair):
    backup = pair.nodes["lb-b"]
    start = time.monotonic()
    faults.KILL_EVERYTHING.at(pair.lab, backup)
    await trio.sleep(0.5)
    await backup.start()
    await trio.sleep(0.5)
    end = time.monotonic()
    await trio.sleep(pair.prober.timeout)
    assert verdicts.failures(pair.prober.requests, start, end) == []
    assert verdicts.held_by(pair.sampler.holdings, "lb-b", start) > end
