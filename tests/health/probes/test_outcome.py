"""Findings in HAProxy's words, safe to log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hapair.health.probes.outcome import EXCERPT, Finding, Outcome, printable


def test_a_description_is_haproxys():
    outcome = Outcome(False, "L7STS", 0.1, "Service Unavailable", 503)
    assert outcome.description == 'Layer7 wrong status, code: 503, info: "Service Unavailable"'
    assert Outcome(True, "L4OK", 0.0).description == "Layer4 check passed"
    refused = Outcome(False, "L4CON", 0.0, "Connection refused")
    assert refused.description == 'Layer4 connection problem, info: "Connection refused"'


def test_only_what_passed_is_ok():
    assert [status for status in ("L3OK", "L4OK", "L7OK", "L7STS", "SOCKERR") if Finding(status).ok] == [
        "L3OK",
        "L4OK",
        "L7OK",
    ]


@given(st.binary(max_size=200))
def test_bytes_of_a_server_can_end_neither_a_line_nor_a_quotation(data):
    text = printable(data)
    assert len(text) <= EXCERPT
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in text


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_what_was_said_can_be_read_back_and_forges_no_line(sent, received):
    details = Outcome(False, "L7RSP", 0.0, sent=sent, received=received).details
    assert details.isprintable()
    assert details.isascii()
    assert details.count('"') == 2 * (bool(sent) + bool(received))
