"""Several disturbances one upon the other: whatever the order, the pair heals by itself.

`make chaos SEEDS=20` tries the seeds 1 to 20, `make chaos SEED=7` the seventh again.
"""

import os

import pytest

from lab.records import Bounds
from lab.sequences import sequence
from lab.watch import open_watched

from .conftest import INTERVAL

pytestmark = [pytest.mark.chaos, pytest.mark.netns, pytest.mark.slow]

HEALED = 15.0
"""Seconds after the last of them; both nodes may have lost power just then."""


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        only = os.environ.get("SEED")
        count = int(os.environ.get("SEEDS") or 2)
        metafunc.parametrize("seed", [int(only)] if only else range(1, count + 1))


async def test_a_sequence_of_disturbances_costs_no_more_than_its_parts_and_leaves_nothing_behind(
    nodes, seed, is_beside, chronicle, powers
):
    chosen = sequence(seed)

    async def act(pair, deeds):
        await chosen.act(pair, deeds, without_hapairs_own=nodes == "keepalived")

    async with open_watched(nodes, INTERVAL) as watched:
        record = await watched.see(
            chosen.title,
            act,
            group="sequences",
            bounds=Bounds(chosen.outage, chosen.two_holders),
            heals_within=HEALED,
            again=f"make chaos SEED={seed}",
        )
        if record.problems:
            print(chosen, watched.pair.log(), sep="\n")  # noqa: T201 -- pytest shows it when the test has failed
    chronicle(record)
    assert is_beside or record.problems == (), f"{chosen}; again: {record.again}"


def test_a_seed_says_which_and_they_differ():
    chosen = [sequence(seed) for seed in range(50)]
    assert chosen == [sequence(seed) for seed in range(50)]
    assert len({one.parts for one in chosen}) > 40
    assert len({part.name for one in chosen for part in one.parts}) > 15
