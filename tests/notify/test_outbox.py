"""A bounded queue whose newest always gets through."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from hapair.notify.outbox import Outbox


class Slow:
    """Takes a second for everything."""

    def __init__(self) -> None:
        self.done = []
        self.at_once = 0

    async def deliver(self, item):
        self.at_once += 1
        assert self.at_once == 1
        await trio.sleep(1)
        self.done.append((item, trio.current_time()))
        self.at_once -= 1


@pytest.fixture
async def outbox(nursery):
    slow = Slow()
    made = Outbox("test", 3, slow.deliver)
    made.slow = slow
    nursery.start_soon(made.run)
    await trio.testing.wait_all_tasks_blocked()
    return made


async def test_things_are_told_one_after_the_other_in_their_order(autojump_clock, outbox):
    start = trio.current_time()
    for item in "abc":
        outbox.put(item)
    await outbox.idle()
    assert outbox.slow.done == [("a", start + 1), ("b", start + 2), ("c", start + 3)]


async def test_when_too_much_waits_the_oldest_is_left_out_and_never_the_last(autojump_clock, outbox, caplog):
    outbox.put("begun")
    await trio.testing.wait_all_tasks_blocked()
    for item in range(10):
        outbox.put(item)
    await outbox.idle()
    assert [item for item, _ in outbox.slow.done] == ["begun", 7, 8, 9]
    assert outbox.lost == 7
    assert "test: too many wait, the oldest is left out (7 so far)" in caplog.text


async def test_idle_waits_for_what_is_being_told(autojump_clock, outbox):
    outbox.put("a")
    await trio.testing.wait_all_tasks_blocked()
    start = trio.current_time()
    await outbox.idle()
    assert trio.current_time() == start + 1
    await outbox.idle()
    assert trio.current_time() == start + 1
