"""The table that all workers write and anybody can sum up."""

from __future__ import annotations

import attrs
import pytest

from hapair.config import model
from hapair.dataplane import shared
from hapair.dataplane.service import DataPlane
from hapair.errors import StartError

from .plane import Lines, config

SERVER = model.Server(name="s", id=1, host="192.0.2.1", port=80)


class Waiter:
    """The least of a session that a queue needs."""

    waiting_in = None
    ticket = priority_class = 0
    due = 0.0


def plane(entries):
    made = DataPlane(10, Lines(), lambda _: lambda _: None)
    made.entries = entries
    made.commit(made.prepare(config(SERVER)), ())
    return made


@pytest.fixture
def planes():
    entries = shared.assign(config(SERVER), {})
    made = [plane(entries) for _ in range(3)]
    yield made
    for one in made:
        one._close_all()


def publish(table, worker, plane):
    shared.publish(table.rows[worker], plane.process, plane.frontends.values(), plane.backends.values())


def test_the_sums_are_over_all_workers(planes):
    first, second, whole = planes
    table = shared.Table(2)
    for factor, one in ((1, first), (10, second)):
        server = one.backends["be"].servers[0]
        one.process.current = one.frontends["fe"].current = server.current = 2 * factor
        one.frontends["fe"].responses[2] = 3 * factor
        one.backends["be"].queued, server.bytes_out = 4 * factor, 5 * factor
        for _ in range(factor):
            server.queue.join(Waiter())
    publish(table, 0, first)
    publish(table, 1, second)
    shared.collect(table, whole.process, whole.frontends.values(), whole.backends.values())
    frontend, backend = whole.frontends["fe"], whole.backends["be"]
    server = backend.servers[0]
    assert (whole.process.current, frontend.current, server.current) == (22, 22, 22)
    assert frontend.responses == [0, 0, 33, 0, 0, 0]
    assert (backend.queued, server.bytes_out, server.queued_elsewhere) == (44, 55, 11)
    assert not server.queue
    assert table.running(whole.process.entry, 1) == 20


def test_one_server_is_read_without_the_others(planes):
    first, second, whole = planes
    table = shared.Table(2)
    for one in (first, second):
        one.backends["be"].queued, one.backends["be"].servers[0].current = 3, 4
        one.frontends["fe"].current = 5
    publish(table, 0, first)
    publish(table, 1, second)
    server = whole.backends["be"].servers[0]
    shared.collect_one(table, server)
    assert (server.current, server.backend.queued, whole.frontends["fe"].current) == (8, 6, 0)


def test_who_stays_keeps_the_entry_and_who_goes_leaves_it_to_the_next_but_one():
    one = config(SERVER)
    first = shared.assign(one, {})
    assert sorted(first.values()) == [0, 1, 2, 3]
    other = attrs.evolve(SERVER, name="t")
    second = shared.assign(config(other), first)
    assert second["frontend fe"] == first["frontend fe"]
    assert second["server be/t"] not in first.values(), "the workers may still write there"
    assert shared.assign(config(other, SERVER), second)["server be/s"] == first["server be/s"]


def test_a_table_that_is_full_is_an_error(monkeypatch):
    monkeypatch.setattr(shared, "ENTRIES", 3)
    with pytest.raises(StartError, match="3 frontends, backends and servers at most"):
        shared.assign(config(SERVER), {})
