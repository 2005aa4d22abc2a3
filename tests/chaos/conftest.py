"""Pairs in namespaces, and the report: a table at the end and a page with every timeline.

Their kind can be chosen (`make chaos ARGS=--nodes=hapair-2`), and another kind be shown beside it
(`make chaos BESIDE=keepalived`), which fails nothing.
"""

from pathlib import Path

import pytest
from rich.console import Console

from lab.namespaces import can_create
from lab.page import page
from lab.report import records_table
from lab.scenario import PRIORITIES, open_pair
from lab.topology import PAIR, PAIR6

INTERVAL = 0.1
"""Seconds between adverts: ten times quicker to test than the default, and just as true."""
PAGE = Path(__file__).parents[2] / "build" / "chaos.html"
KINDS = ("hapair", "hapair-1", "hapair-2", "keepalived")
RECORDS = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption(
        "--nodes",
        choices=KINDS,
        default="hapair",
        help="what the lab's nodes run; the number is that of hapair's workers",
    )
    parser.addoption(
        "--beside", choices=KINDS, help="what the same is done to, for comparison; no test fails of it"
    )


def pytest_configure(config):
    config.stash[RECORDS] = []


def pytest_generate_tests(metafunc):
    if "nodes" in metafunc.fixturenames:
        kinds = [metafunc.config.getoption("--nodes"), metafunc.config.getoption("--beside")]
        metafunc.parametrize("nodes", [kind for kind in kinds if kind])


@pytest.fixture
def is_beside(request, nodes):
    """Whether these nodes are there for comparison only."""
    return nodes == request.config.getoption("--beside") != request.config.getoption("--nodes")


@pytest.fixture
def chronicle(request):
    """Keeps a record for the report; with SEEDS, says that it has."""
    records = request.config.stash[RECORDS]

    def keep(record):
        records.append(record)
        if record.group == "sequences":
            request.node.user_properties.append(("progress", progress(record)))

    return keep


def progress(record):
    cost = f"{record.outage:.2f} s without service, {record.two_holders:.2f} s both, {record.length:.1f} s"
    return f"{record.verdict:7} {record.nodes}: {record.title} ({cost})"


def pytest_runtest_logreport(report):
    for key, value in report.user_properties:
        if key == "progress" and report.when == "call":
            Console(soft_wrap=True, highlight=False, markup=False).print(f"\r{value}")


def pytest_terminal_summary(terminalreporter, config):
    records = config.stash[RECORDS]
    if not records:
        return
    with Console(file=terminalreporter, width=150).capture() as capture:
        capture._console.print(records_table(records))
    terminalreporter.write(capture.get())
    try:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(records))
    except OSError as error:  # somebody else's, from an earlier run
        terminalreporter.write_line(f"no timelines: {error}")
    else:
        terminalreporter.write_line(f"timelines: {PAGE}")


@pytest.fixture
def powers():
    if not can_create():
        pytest.fail("needs root; as a user run it as `make chaos` does: python -m lab.namespaces pytest ...")


@pytest.fixture
async def pair(request, powers):
    """Both nodes run, lb-a is MASTER and served through; marked `ipv6`: nothing else; `workers`: with two."""
    kind = request.config.getoption("--nodes")
    if request.node.get_closest_marker("workers"):
        kind = "hapair-2"
    topology = PAIR6 if request.node.get_closest_marker("ipv6") else PAIR
    async with open_pair(dict.fromkeys(PRIORITIES, kind), INTERVAL, topology=topology) as running:
        await running.until_master(running.nodes["lb-a"], within=10, calm=5 * INTERVAL)
        yield running
        print(running.log())  # noqa: T201 -- pytest shows it when the test has failed
