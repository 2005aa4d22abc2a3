"""What happens to a pair besides death: each disturbance may cost so much, and leaves nothing behind.

Several on one pair, one after the other: that they leave nothing behind is half of what is tested.
`ONLY=frozen make chaos` tries those alone whose name has that word.
"""

import os
import time
from collections import deque

import pytest

from lab.disturbances import ALL, GROUPS
from lab.records import Bounds, Deed, Record
from lab.watch import open_watched

from .conftest import INTERVAL

pytestmark = [pytest.mark.chaos, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(400)]

HAND_BACK = 8.0
"""Seconds until the preferred node is MASTER again; it may have to check its servers first."""


@pytest.mark.parametrize("group", GROUPS)
async def test_every_disturbance_costs_what_it_may_and_leaves_nothing_behind(
    nodes, group, is_beside, chronicle, powers
):
    failures = []
    waiting = deque(_chosen(group, nodes, chronicle))
    while waiting:
        async with open_watched(nodes, INTERVAL) as watched:
            while waiting:
                record = await _disturb(watched, waiting.popleft(), group)
                chronicle(record)
                failures += [f"{record.title}: {problem}" for problem in record.problems]
                if record.problems:
                    print(watched.pair.log())  # noqa: T201 -- pytest shows it when the test has failed
                if record.broken:
                    break  # the others get another pair
    assert is_beside or failures == []


def _chosen(group, nodes, chronicle):
    for one in GROUPS[group]:
        if os.environ.get("ONLY", "") not in one.name or (one.hapairs_own and nodes == "keepalived"):
            continue
        if why_not := one.why_not():
            chronicle(Record(one.name, nodes, group, 0.0, _bounds(one), why_not=why_not))
            continue
        yield one


def _bounds(disturbance):
    return Bounds(disturbance.outage, disturbance.two_holders, disturbance.failed)


async def _disturb(watched, disturbance, group):
    async def act(pair, deeds):
        start = time.monotonic()
        await disturbance.act(pair)
        deeds.append(Deed(disturbance.name, start, time.monotonic()))

    return await watched.see(
        disturbance.name,
        act,
        group=group,
        bounds=_bounds(disturbance),
        heals_within=HAND_BACK,
        logged=disturbance.logged,
    )


def test_no_two_disturbances_have_one_name():
    assert len({one.name for one in ALL}) == len(ALL) >= 30
