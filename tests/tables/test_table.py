"""A stick table as a world of keys, and HAProxy's arithmetic of rates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hapair.config.stick import kind_of
from hapair.tables.table import NO_ROW, Table


def table(*store: str, size: int = 100, expire: int = 1000, purges: bool = True) -> Table:
    return Table("t", size, expire, [kind_of(text) for text in store], purges=purges)


def test_a_row_is_forgotten_when_it_was_not_touched_for_so_long():
    found = table("gpc0")
    row = found.touch(1, 0)
    found.add(row, "gpc0", 5, 0)
    assert found.touch(1, 999) == row
    assert found.find(1, 1998) == row
    assert found.find(1, 1999) == NO_ROW
    assert found.value(found.touch(1, 2000), "gpc0", 2000) == 0


def test_a_row_that_is_tracked_stays_and_its_time_begins_when_it_is_let_go():
    found = table("conn_cur")
    row = found.touch(1, 0)
    found.hold(row)
    assert found.find(1, 10**9) == row
    assert not found.drop(row)
    found.let_go(row, 10**9)
    assert found.find(1, 10**9 + 999) == row
    assert found.find(1, 10**9 + 1000) == NO_ROW


def test_a_full_table_drops_who_was_touched_longest_ago_and_nobody_tracks():
    found = table(size=3)
    for key in (1, 2, 3):
        found.touch(key, key)
    found.hold(found.find(1, 4))
    found.touch(2, 5)
    assert found.touch(4, 6) != NO_ROW
    assert [found.find(key, 7) != NO_ROW for key in (1, 2, 3, 4)] == [True, True, False, True]


def test_a_full_table_that_must_not_purge_has_no_row_for_a_new_key():
    found = table(size=1, purges=False)
    found.touch(1, 0)
    assert found.touch(2, 1) == NO_ROW
    assert found.touch(2, 1000) != NO_ROW, "who is expired goes even so"


def test_nobody_has_a_row_when_all_are_tracked():
    found = table(size=1)
    found.hold(found.touch(1, 0))
    assert found.touch(2, 1) == NO_ROW


def test_a_rate_counts_the_past_period_by_what_of_it_is_within_reach():
    found = table("conn_rate(1000)", expire=0)
    row = found.touch(1, 10_000)
    for _ in range(10):
        found.add(row, "conn_rate", 1, 10_000)
    assert found.value(row, "conn_rate", 10_500) == 10
    found.add(row, "conn_rate", 4, 11_250)
    assert found.value(row, "conn_rate", 11_250) == (10 * 750 + 4 * 1000) // 1000
    assert found.value(row, "conn_rate", 12_500) == 4 * 500 // 1000
    assert found.value(row, "conn_rate", 13_100) == 0


def test_a_single_event_does_not_flicker_while_it_is_within_reach():
    found = table("conn_rate(1000)", expire=0)
    row = found.touch(1, 10_000)
    found.add(row, "conn_rate", 1, 10_000)
    assert [found.value(row, "conn_rate", now) for now in (10_999, 11_500, 11_999, 12_001)] == [1, 1, 1, 0]


@given(st.lists(st.integers(0, 700), max_size=60), st.integers(0, 3000))
def test_a_rate_is_never_above_what_happened_in_two_periods(gaps, later):
    found = table("http_req_rate(1000)", expire=0)
    now = 5000
    row = found.touch(1, now)
    events = []
    for gap in gaps:
        now += gap
        found.add(row, "http_req_rate", 1, now)
        events.append(now)
    now += later
    rate = found.value(row, "http_req_rate", now)
    assert rate <= sum(now - at <= 2000 for at in events)
    assert rate >= 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["touch", "hold", "let_go", "drop"]), st.integers(0, 9), st.integers(0, 600)
        ),
        max_size=80,
    )
)
def test_whatever_happens_nobody_is_lost_and_the_size_is_kept(steps):
    """Against a model: key -> (expires, held)."""
    found, model, now = table("gpc0", size=5), {}, 0
    for what, key, gap in steps:
        now += gap
        model = {k: v for k, v in model.items() if v[0] > now or v[1]}
        row = found.find(key, now)
        assert (row != NO_ROW) == (key in model)
        if what == "touch":
            row = found.touch(key, now)
            if key not in model and len(model) >= 5:
                idle = [k for k, v in model.items() if not v[1]]
                if not idle:
                    assert row == NO_ROW
                    continue
                del model[min(idle, key=lambda k: (model[k][0], model[k][2]))]
            model[key] = [now + 1000, model[key][1] if key in model else 0, len(steps) + now]
        elif key in model:
            if what == "hold":
                found.hold(row)
                model[key][1] += 1
            elif what == "let_go" and model[key][1]:
                found.let_go(row, now)
                model[key][1] -= 1
                model[key][0] = now + 1000
            elif what == "drop":
                assert found.drop(row) == (not model[key][1])
                if not model[key][1]:
                    del model[key]
    assert len(found) <= 5
