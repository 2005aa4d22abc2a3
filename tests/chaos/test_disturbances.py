"""What happens to a pair besides death: each disturbance may cost so much, and leaves nothing behind.

Several on one pair, one after the other: that they leave nothing behind is half of what is tested.
"""

import os
import time

import pytest
import trio

from lab import disturbances, verdicts
from lab.audit import audit
from lab.processes import LabError

from .conftest import INTERVAL

pytestmark = [pytest.mark.chaos, pytest.mark.netns, pytest.mark.slow]

HAND_BACK = 8.0
"""Seconds until the preferred node is MASTER again; it may have to check its servers first."""


@pytest.mark.parametrize("name", disturbances.GROUPS)
async def test_every_disturbance_costs_what_it_may_and_leaves_nothing_behind(pair, name):
    failures = []
    only = os.environ.get("ONLY", "")
    for disturbance in disturbances.GROUPS[name]:
        if only not in disturbance.name:
            continue
        if why_not := disturbance.why_not():
            print(f"{disturbance.name}: not here: {why_not}")  # noqa: T201
            continue
        start = time.monotonic()
        try:
            problems = await _disturb(pair, disturbance)
        except LabError as error:
            pytest.fail(f"after {failures}: {disturbance.name}: {error}")
        if disturbance.logged and not pair.said(disturbance.logged, start):
            problems.append(f"no log line has {disturbance.logged!r}")
        failures += [f"{disturbance.name}: {problem}" for problem in problems]
    assert failures == []


async def _disturb(pair, disturbance) -> list[str]:
    """Let it happen; what it cost beyond what it may."""
    preferred = pair.nodes["lb-a"]
    start = time.monotonic()
    await disturbance.act(pair)
    await pair.until_master(preferred, within=HAND_BACK, calm=4 * INTERVAL)
    end = time.monotonic()
    await trio.sleep(0.1)
    outage = verdicts.gap(pair.prober.requests, start, end)
    both = verdicts.two_holders(pair.sampler.holdings, start, end)
    problems = await audit(pair)
    if outage > disturbance.outage:
        problems.append(f"nobody was served for {outage:.2f} s")
    if both > disturbance.two_holders:
        problems.append(f"the VIP was on both nodes for {both:.2f} s")
    print(f"{disturbance.name}: {outage * 1000:.0f} ms, both {both * 1000:.0f} ms, {end - start:.1f} s")  # noqa: T201
    return problems
