"""The store against what it promises: its bound, whole bodies, nothing stale, nobody else's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hapair.cache.store import OVERHEAD, Store, make_stores
from hapair.cache.vary import UNASKED, asked
from hapair.config.model import Cache

HEAD = [b"HTTP/1.1 200 OK", b"Cache-Control: max-age=30"]


def store(**more: object) -> Store:
    return Store("c", Cache(total_max_size=1, **more))  # type: ignore[arg-type]


def put(one: Store, key: bytes, body: bytes, *lines: bytes, now: int = 0, length: int | None = None) -> bool:
    draft = one.draft(key, UNASKED, [*HEAD, *lines], len(body) if length is None else length, now)
    if draft is None:
        return False
    draft.take(body)
    draft.complete()
    return one.find(key, UNASKED, now) is not None


class Promises(RuleBasedStateMachine):
    """Responses come, in pieces or not at all, while time passes and others are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100
        self.store = store(max_object_size=200_000, max_age=20)
        self.coming: list[tuple[bytes, object, list[bytes], int]] = []
        self.latest: dict[bytes, tuple[bytes, int]] = {}
        self.count = 0

    @rule(key=st.sampled_from([b"a", b"b", b"c", b"d"]), length=st.sampled_from([-1, 10, 100_000, 300_000]))
    def begins(self, key, length):
        draft = self.store.draft(key, UNASKED, HEAD, length, self.now)
        if draft is not None:
            self.coming.append((key, draft, [], self.now))
            assert length <= 200_000

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), size=st.integers(0, 90_000))
    def more_comes(self, data, size):
        _, draft, pieces, _ = data.draw(st.sampled_from(self.coming))
        self.count += 1
        piece = b"%d," % self.count * (size // 4)
        draft.take(piece)
        pieces.append(piece)

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), whole=st.booleans())
    def ends(self, data, whole):
        one = data.draw(st.sampled_from(self.coming))
        self.coming.remove(one)
        key, draft, pieces, at = one
        if whole:
            draft.complete()
            self.latest[key] = b"".join(pieces), at
        else:
            draft.drop()

    @rule(key=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def asks(self, key):
        found = self.store.find(key, UNASKED, self.now)
        if found is not None:
            body, at = self.latest[key]
            assert found.body == body, "all of it, and of the latest"
            assert self.now < at + 20
            assert found.age(self.now) == self.now - at

    @rule(key=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def changes_at_its_server(self, key):
        self.store.discard(key)
        assert self.store.find(key, UNASKED, self.now) is None

    @rule(seconds=st.integers(0, 15))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def never_more_than_allowed(self):
        assert 0 <= self.store.used <= self.store.most
        held = sum(entry.size for entry in self.store.entries())
        assert held <= self.store.used
        if not self.coming:
            assert held == self.store.used


TestPromises = Promises.TestCase


def test_the_one_that_nobody_asked_for_the_longest_goes_first():
    one = store(max_object_size=300_000)
    body = bytes(300_000 - 1000)
    for key in (b"a", b"b", b"c"):
        assert put(one, key, body)
    assert one.find(b"a", UNASKED, 0)
    assert put(one, b"d", body)
    assert [one.find(key, UNASKED, 0) is not None for key in (b"a", b"b", b"c", b"d")] == [
        True,
        False,
        True,
        True,
    ]


def test_by_default_one_response_takes_a_256th_at_most():
    one = store()
    assert put(one, b"a", bytes(4096 - 100))
    assert not put(one, b"b", bytes(4096))
    assert not put(one, b"c", bytes(5000), length=-1), "that was not told beforehand"
    assert one.used < 4096 + OVERHEAD


def test_a_response_that_was_changed_while_it_came_is_not_kept():
    one = store()
    draft = one.draft(b"a", UNASKED, HEAD, 2, 0)
    assert draft is not None
    one.discard(b"a")
    draft.take(b"ok")
    draft.complete()
    assert one.find(b"a", UNASKED, 0) is None
    assert not one.used


def test_an_age_that_a_response_brings_is_its_own():
    one = store(max_age=100)
    assert put(one, b"a", b"x", b"Age: 10")
    found = one.find(b"a", UNASKED, 5)
    assert found is not None
    assert found.age(5) == 15
    assert not any(line.lower().startswith(b"age") for line in found.lines)
    assert not put(one, b"b", b"x", b"Age: 31"), "it has outlived its 30 s"


def test_variants_are_bounded():
    one = Store("c", Cache(total_max_size=1, process_vary=True, max_secondary_entries=2))
    lines = [*HEAD, b"Vary: Referer"]
    for name in (b"a", b"b", b"c"):
        draft = one.draft(b"k", asked([b"Referer: " + name]), lines, 1, 0)
        if draft is not None:
            draft.take(name)
            draft.complete()
    got = [one.find(b"k", asked([b"Referer: " + name]), 0) for name in (b"a", b"b", b"c")]
    assert [found and found.body for found in got] == [b"a", b"b", None]


def test_without_process_vary_what_varies_is_not_kept():
    assert not put(store(), b"a", b"x", b"Vary: Accept-Encoding")


@given(now=st.integers(0, 10**9), age=st.integers(0, 10**12))
def test_ages_have_an_end(now, age):
    one = store()
    if put(one, b"a", b"x", b"Age: %d" % age, now=now):
        found = one.find(b"a", UNASKED, now)
        assert found is not None
        assert found.age(now) == age <= 30


def test_a_reload_keeps_what_did_not_change():
    wanted = {"c": Cache(total_max_size=1)}
    first = make_stores(wanted, {})
    assert put(first["c"], b"a", b"x")
    assert make_stores(wanted, first)["c"] is first["c"]
    assert not len(make_stores({"c": Cache(total_max_size=2)}, first)["c"])
