"""Two workers' backends and frontends that share a table of counts."""

from __future__ import annotations

from typing import Any

from hapair.proxy.backend import Backend
from hapair.proxy.frontend import Process
from hapair.proxy.tally import CELL, WIDTH, Tally

from .test_backend import Waiter, backend, server


def tallies(workers: int = 2) -> list[Tally]:
    rows = [memoryview(bytearray(4 * WIDTH * CELL)).cast("q") for _ in range(workers)]
    return [Tally(rows, own) for own in range(workers)]


def sharing(tally: Tally, **options: Any) -> Backend:
    made = backend(server("s", **options))
    for one in made.servers:
        one.tally, one.entry = tally, 3
    return made


def test_a_worker_reads_what_the_others_note():
    first, second, third = tallies(3)
    first.note(1, 5)
    second.note(1, 7)
    assert [one.elsewhere(1) for one in (first, second, third)] == [7, 5, 12]
    assert first.elsewhere(2) == 0


def test_a_rate_is_shared_out_and_never_nothing():
    assert [tallies(3)[0].part(limit) for limit in (1, 3, 10)] == [1, 1, 4]


def test_what_has_no_entry_is_nobodys_business():
    first, second = tallies()
    first.note(-1, 5)
    assert second.elsewhere(-1) == second.elsewhere(0) == second.elsewhere(3) == 0


def test_a_servers_slots_are_shared():
    here, there = (sharing(tally, maxconn=3) for tally in tallies())
    assert all(here.place(Waiter(n), None) for n in range(2))
    assert there.place(Waiter(3), None)
    waits = Waiter(4)
    assert there.place(waits, None) is None
    assert waits.waiting_in is not None
    assert here.place(Waiter(5), None) is None


def test_a_slot_that_another_worker_frees_is_found_at_the_next_look():
    here, there = (sharing(tally, maxconn=1) for tally in tallies())
    taken = here.place(Waiter(1), None)
    assert taken is not None
    waits = Waiter(2)
    there.place(waits, None)
    there.wake()
    assert waits.granted is None
    here.release(taken)
    there.wake()
    assert waits.granted is there.servers[0]
    assert there.woken == [waits]
    assert here.place(Waiter(3), None) is None, "granted is taken"


def test_the_server_of_a_cookie_queues_when_it_is_full_elsewhere():
    here, there = (sharing(tally, maxconn=1, maxqueue=5, cookie="a") for tally in tallies())
    assert here.place(Waiter(1), None)
    waits = Waiter(2)
    assert there.place(waits, there.servers[0]) is None
    assert waits.waiting_in is there.servers[0].queue


def test_the_process_is_full_when_all_workers_together_are():
    first, second = tallies()
    process = Process(3)
    process.tally, process.entry, process.current = first, 0, 2
    assert not process.full()
    second.note(0, 1)
    assert process.full()
