"""The pieces of a log line."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World

from hapair.http1.printable import escape, request_line
from hapair.proxy.log_line import Dates, milliseconds


def test_a_stamp_is_haproxys_date_with_milliseconds() -> None:
    dates = Dates(1_700_000_000.0)
    assert dates.stamp(0.0).partition(b":")[0] in (b"14/Nov/2023", b"15/Nov/2023")
    assert dates.stamp(0.0)[-6:] == b"20.000"
    assert dates.stamp(0.9994)[-6:] == b"20.999"
    assert dates.stamp(1.25)[-6:] == b"21.250"
    assert dates.stamp(0.25)[-6:] == b"20.250"


def test_phases_are_rounded_down_and_minus_one_when_they_did_not_happen() -> None:
    assert milliseconds(1.0, 1.0019) == 1
    assert milliseconds(inf, 1.0) == -1
    assert milliseconds(1.0, inf) == -1


moments = st.floats(min_value=0.0, max_value=1e7, allow_nan=False)


@given(st.tuples(*[st.one_of(st.just(inf), moments)] * 5), moments, moments)
def test_the_five_phases_of_a_line_are_rounded_as_each_alone(reached, begun, now) -> None:
    head, placed, assigned, connected, answered = reached
    alone = [
        milliseconds(begun, head),
        milliseconds(placed, assigned),
        milliseconds(assigned, connected),
        milliseconds(connected, answered),
        milliseconds(begun, now),
    ]
    session = World().client().session
    session._head_at, session.placed_at, session.assigned_at, session.connected_at, session._answered_at = (
        reached
    )
    line = session._httplog(begun, "--", now)
    assert b" %b -1 0 - - " % b"/".join([b"%d" % phase for phase in alone]) in line


def test_a_stamp_follows_the_wall_clock_when_it_is_set() -> None:
    dates = Dates(1_700_000_000.0)
    before = dates.stamp(1.0)
    dates.offset += 0.5
    assert dates.stamp(1.0) == before.replace(b".000", b".500")


@given(st.binary())
def test_a_request_line_without_special_bytes_is_logged_as_if_it_had_been_escaped(raw: bytes) -> None:
    assert request_line(raw) == " ".join(escape(part) for part in raw.split(b" ")).encode()


@given(st.binary())
def test_no_byte_of_a_client_can_end_a_field_or_a_line(raw: bytes) -> None:
    text = escape(raw)
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in text
    assert " " not in text


def test_escaped_bytes_are_readable() -> None:
    assert escape(b'/a"\x00\xff#') == "/a#22#00#FF#23"
    assert request_line(b"GET /a\tb HTTP/1.1") == b"GET /a#09b HTTP/1.1"
