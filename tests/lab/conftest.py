"""Labs for tests: every one has machines of its own, and none is left behind."""

import pytest

from lab.namespaces import can_create
from lab.topology import PAIR, open_lab


@pytest.fixture
async def lab():
    if not can_create():
        pytest.fail("needs root; as a user run it as `make test` does: python -m lab.namespaces pytest ...")
    async with open_lab(PAIR) as running:
        yield running
