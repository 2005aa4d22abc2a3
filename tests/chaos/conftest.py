"""A pair in namespaces for every test; its kind can be chosen: `make chaos ARGS=--nodes=keepalived`."""

import pytest

from lab.namespaces import can_create
from lab.scenario import PRIORITIES, open_pair
from lab.topology import PAIR, PAIR6

INTERVAL = 0.1
"""Seconds between adverts: ten times quicker to test than the default, and just as true."""


def pytest_addoption(parser):
    parser.addoption(
        "--nodes",
        choices=("hapair", "hapair-1", "hapair-2", "keepalived"),
        default="hapair",
        help="what the lab's nodes run; the number is that of hapair's workers",
    )


@pytest.fixture
async def pair(request):
    """Both nodes run, lb-a is MASTER and served through; marked `ipv6`: nothing else; `workers`: with two."""
    if not can_create():
        pytest.fail("needs root; as a user run it as `make chaos` does: python -m lab.namespaces pytest ...")
    kind = request.config.getoption("--nodes")
    if request.node.get_closest_marker("workers"):
        kind = "hapair-2"
    topology = PAIR6 if request.node.get_closest_marker("ipv6") else PAIR
    async with open_pair(dict.fromkeys(PRIORITIES, kind), INTERVAL, topology=topology) as running:
        await running.until_master(running.nodes["lb-a"], within=10, calm=5 * INTERVAL)
        yield running
        print(running.log())  # noqa: T201 -- pytest shows it when the test has failed
