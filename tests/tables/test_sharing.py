"""Two nodes share their tables: over any pieces, after any loss, with any rows."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hapair.config.model import StickTable
from hapair.tables.directory import make_tables
from hapair.tables.sharing import BATCH, LARGEST, BadPeer, Sharing

STORE = ("server_id", "conn_cur", "http_req_cnt", "http_req_rate(10s)", "gpc(2)", "gpt0")
CONFIG = {
    "ips": StickTable(type="ip", size=100, expire=60.0, store=STORE),
    "names": StickTable(type="string", length=16, size=100, expire=60.0, store=STORE),
    "lasting": StickTable(type="ipv6", size=100, store=("gpc0",)),
}


def tables(config=CONFIG):
    return make_tables(config, {})


def content(named, now):
    """What a table has, but for what stays at home."""
    table = named.table
    return {key: [*table.snapshot(row, now), table.left(row, now)] for key, row in table.keys(now)}


def talk(one, other, now, other_now=None):
    """Everything that there is to say, both ways."""
    other_now = now if other_now is None else other_now
    for _ in range(10_000):
        there, back = one.take(now), other.take(other_now)
        other.receive(there, other_now)
        one.receive(back, now)
        if not there and not back:
            return
    raise AssertionError("they never come to an end")


def pair(here, there, now=0, there_now=None):
    one, other = Sharing("a", here), Sharing("b", there)
    talk(one, other, now, there_now)
    assert one.synced
    assert other.synced
    assert (one.peer, other.peer) == ("b", "a")
    return one, other


def test_what_one_node_knows_the_other_knows():
    here, there = tables(), tables()
    table = here["ips"].table
    row = table.touch(7, 1000)
    table.set_value(row, "server_id", 3)
    table.add(row, "http_req_cnt", 5, 1000)
    table.add(row, "http_req_rate", 4, 1000)
    table.add(row, "conn_cur", 1, 1000)
    here["names"].table.set_value(here["names"].table.touch(b"ann", 1000), "gpc", 9, 1)
    pair(here, there, 1500)
    other = there["ips"].table
    row = other.find(7, 1500)
    assert other.value(row, "server_id", 1500) == 3
    assert other.value(row, "http_req_cnt", 1500) == 5
    assert other.value(row, "http_req_rate", 1500) == 4
    assert other.value(row, "conn_cur", 1500) == 0, "connections are where they are"
    assert other.left(row, 1500) == 59_500
    assert there["names"].table.value(there["names"].table.find(b"ann", 1500), "gpc", 1500, 1) == 9


def test_changes_follow_as_they_come_and_do_not_come_back():
    here, there = tables(), tables()
    one, other = pair(here, there)
    row = here["ips"].table.touch(7, 10)
    for _ in range(1000):
        here["ips"].table.add(row, "gpc", 1, 10)
    sent = one.take(10)
    assert len(sent) < 200, "a thousand changes of a row are one row"
    other.receive(sent, 10)
    assert there["ips"].table.value(there["ips"].table.find(7, 10), "gpc", 10) == 1000
    assert other.take(10) == b""
    assert one.take(10) == b""


def test_clocks_of_the_two_nodes_need_not_agree():
    here, there = tables(), tables()
    table = here["ips"].table
    table.add(table.touch(7, 9_000_000), "http_req_rate", 4, 9_000_000)
    pair(here, there, 9_012_000, 2_000)
    other = there["ips"].table
    row = other.find(7, 2_000)
    assert other.left(row, 2_000) == 48_000
    assert other.value(row, "http_req_rate", 2_000) == table.value(
        table.find(7, 9_012_000), "http_req_rate", 9_012_000
    )


def test_an_old_row_does_not_replace_a_fresh_one_when_they_meet_again():
    here, there = tables(), tables()
    old, fresh = here["ips"].table, there["ips"].table
    old.set_value(old.touch(7, 1000), "server_id", 1)
    fresh.set_value(fresh.touch(7, 5000), "server_id", 2)
    pair(here, there, 6000)
    assert [t.value(t.find(7, 6000), "server_id", 6000) for t in (old, fresh)] == [2, 2]


def test_a_table_that_the_peer_has_otherwise_is_not_shared():
    there = tables({**CONFIG, "ips": StickTable(type="ip", size=100, store=("gpc0",))})
    here = tables()
    here["ips"].table.touch(7, 0)
    one, other = pair(here, there)
    assert one.different == other.different == ["ips"]
    assert len(there["ips"].table) == 0


def test_a_table_that_only_one_has_is_its_own_affair():
    here, there = tables(), tables({"names": CONFIG["names"]})
    here["names"].table.touch(b"ann", 0)
    there["names"].table.touch(b"bob", 0)
    pair(here, there)
    assert {*content(here["names"], 0)} == {*content(there["names"], 0)} == {b"ann", b"bob"}


def test_a_slow_peer_costs_a_number_for_each_row():
    here, there = tables(), tables()
    one, _ = pair(here, there)
    table = here["ips"].table
    for at in range(5000):
        table.add(table.touch(at % 50, at), "gpc", 1, at)
        if at % 100 == 0:
            assert len(one.take(at)) <= BATCH + 200


def test_nothing_is_noted_while_nobody_listens():
    here = tables()
    table = here["ips"].table
    assert not table.take_changes()
    sharing = Sharing("a", here)
    table.touch(7, 0)
    sharing.close()
    table.touch(8, 0)
    assert not table.take_changes()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of"),
        (struct.pack("!IB", 3, 1) + b"xyz", "no JSON"),
        (struct.pack("!IB", 2, 1) + b"{}", "who it is"),
        (struct.pack("!IB", 0, 3), "did not greet"),
        (struct.pack("!IB", LARGEST + 1, 1), "a frame of"),
    ],
)
def test_what_no_peer_says_ends_the_connection(data, why):
    with pytest.raises(BadPeer, match=why):
        Sharing("a", tables()).receive(data, 0)


def test_another_version_is_named():
    hello = json.dumps({"version": 2, "node": "b", "tables": []}).encode()
    with pytest.raises(BadPeer, match="version 2"):
        Sharing("a", tables()).receive(struct.pack("!IB", len(hello), 1) + hello, 0)


@given(junk=st.binary(max_size=200), kind=st.integers(0, 255))
def test_rows_that_are_none_end_the_connection_or_count(junk, kind):
    here, there = tables(), tables()
    one, _ = pair(here, there)
    try:
        one.receive(struct.pack("!IB", len(junk), kind) + junk, 0)
    except BadPeer:
        pass
    for named in here.values():
        assert len(named.table) <= named.table.size


@given(data=st.data(), cuts=st.lists(st.integers(1, 40), min_size=1))
@settings(max_examples=50)
def test_pieces_do_not_matter(data, cuts):
    here, there = tables(), tables()
    for key in data.draw(st.lists(st.binary(max_size=15), max_size=60)):
        here["names"].table.set_value(here["names"].table.touch(key, 0), "gpt0", len(key))
    one, other = Sharing("a", here), Sharing("b", there)
    one.receive(other.take(0), 0)
    sent = b""
    while more := one.take(0):
        sent += more
    at = 0
    while sent:
        size = cuts[at % len(cuts)]
        other.receive(sent[:size], 0)
        sent = sent[size:]
        at += 1
    assert content(here["names"], 0) == content(there["names"], 0)


class Pair(RuleBasedStateMachine):
    """Clients come to one node at a time; the connection comes and goes; the VIP moves when all was said."""

    @initialize()
    def start(self):
        self.now = 1000
        self.nodes = [tables(), tables()]
        self.master = 0
        self.ends = None
        self.said = False

    @rule(key=st.integers(0, 80), number=st.integers(1, 5), held=st.booleans())
    def comes(self, key, number, held):
        table = self.nodes[self.master]["ips"].table
        row = table.touch(key, self.now)
        if row < 0:
            return
        if held:
            table.hold(row)
        table.add(row, "http_req_cnt", number, self.now)
        table.add(row, "http_req_rate", number, self.now)
        table.set_value(row, "server_id", number)
        if held:
            table.let_go(row, self.now)
        self.said = False

    @rule(ms=st.integers(0, 30_000))
    def time(self, ms):
        self.now += ms

    @rule()
    def meet(self):
        if self.ends is None:
            self.ends = [Sharing("a", self.nodes[0]), Sharing("b", self.nodes[1])]
        talk(*self.ends, self.now)
        self.said = True

    @rule(pieces=st.integers(0, 3))
    def break_off(self, pieces):
        if self.ends is None:
            return
        for _ in range(pieces):
            self.ends[1 - self.master].receive(self.ends[self.master].take(self.now), self.now)
        for end in self.ends:
            end.close()
        self.ends = None

    @rule()
    def dies(self):
        """The master dies when its peer has heard of everything, and comes back with nothing."""
        if not self.said:
            return
        before = content(self.nodes[self.master]["ips"], self.now)
        for end in self.ends or ():
            end.close()
        self.ends = None
        self.nodes[self.master] = tables()
        self.master = 1 - self.master
        after = content(self.nodes[self.master]["ips"], self.now)
        assert {key: values for key, values in after.items() if key in before} == before
        self.said = False

    @invariant()
    def agree_when_all_was_said(self):
        if self.said:
            one, other = (content(node["ips"], self.now) for node in self.nodes)
            assert one == other


Pair.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPair = Pair.TestCase
