"""Several disturbances one upon the other: whatever the order, the pair heals by itself.

`make chaos SEEDS=20` tries the seeds 1 to 20, `make chaos SEED=7` the seventh again.
"""

import os
import time

import pytest
import trio

from lab import verdicts
from lab.audit import audit
from lab.processes import LabError
from lab.sequences import sequence

from .conftest import INTERVAL

pytestmark = [pytest.mark.chaos, pytest.mark.netns, pytest.mark.slow]

HEALED = 15.0
"""Seconds after the last of them; both nodes may have lost power just then."""


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        only = os.environ.get("SEED")
        count = int(os.environ.get("SEEDS") or 2)
        metafunc.parametrize("seed", [int(only)] if only else range(1, count + 1))


async def test_a_sequence_of_disturbances_costs_no_more_than_its_parts_and_leaves_nothing_behind(pair, seed):
    chosen = sequence(seed)
    preferred, start = pair.nodes["lb-a"], time.monotonic()
    try:
        await chosen.act(pair)
        await pair.until_master(preferred, within=HEALED, calm=4 * INTERVAL)
    except LabError as error:
        pytest.fail(f"{chosen}: {error}")
    end = time.monotonic()
    await trio.sleep(0.1)
    outage = verdicts.gap(pair.prober.requests, start, end)
    both = verdicts.two_holders(pair.sampler.holdings, start, end)
    print(f"{chosen}: {outage * 1000:.0f} ms, both {both * 1000:.0f} ms, {end - start:.1f} s")  # noqa: T201
    assert (await audit(pair), outage <= chosen.outage, both <= chosen.two_holders) == ([], True, True)


def test_a_seed_says_which_and_they_differ():
    chosen = [sequence(seed) for seed in range(50)]
    assert chosen == [sequence(seed) for seed in range(50)]
    assert len({one.parts for one in chosen}) > 40
    assert len({part.name for one in chosen for part in one.parts}) > 15
