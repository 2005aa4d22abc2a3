"""What stands before a log line; tests/interop/test_log_options.py asks the real HAProxy."""

from __future__ import annotations

import os
import time

import pytest

from hapair.config.model import LogHeader
from hapair.dataplane.syslog_header import Header

AT = 1_700_000_000.25
"""2023-11-14T22:13:20.25Z."""
LOCAL0 = 16
NOTICE = 5


@pytest.fixture(params=[("UTC", "22", "+00:00"), ("IST-5:30", "03", "+05:30"), ("NST3:30", "18", "-03:30")])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param[0])
    time.tzset()
    yield request.param[1:]
    monkeypatch.undo()
    time.tzset()


def header(form: LogHeader, host: str | None = None, now: float = AT, data: bytes = b"") -> str:
    return Header(form, LOCAL0, "tag", host, lambda: now).before(NOTICE, int(now), data).decode()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (LogHeader.LOCAL, "<133>Nov 14 22:13:20 tag[PID]: "),
        (LogHeader.RFC3164, "<133>Nov 14 22:13:20 localhost tag[PID]: "),
        (LogHeader.RFC5424, "<133>1 2023-11-14T22:13:20.250000+00:00 - tag PID - - "),
        (LogHeader.PRIORITY, "<133>"),
        (LogHeader.SHORT, "<5>"),
        (LogHeader.TIMED, "<5>2023-11-14T22:13:20.250000+00:00 "),
        (LogHeader.ISO, "2023-11-14T22:13:20.250000+00:00 "),
        (LogHeader.RAW, ""),
    ],
    ids=lambda value: value.value if isinstance(value, LogHeader) else "",
)
@pytest.mark.parametrize("zone", [("UTC", "22", "+00:00")], indirect=True)
@pytest.mark.usefixtures("zone")
def test_each_format(form, expected):
    assert header(form) == expected.replace("PID", str(os.getpid()))


def test_the_zone_is_that_of_this_host(zone):
    hour, offset = zone
    text = header(LogHeader.ISO)
    assert text[11:13] == hour
    assert text.endswith(f".250000{offset} ")


@pytest.mark.usefixtures("zone")
def test_a_host_name_is_told_where_there_is_a_place_for_it():
    assert " lb-a tag[" in header(LogHeader.RFC3164, "lb-a")
    assert " lb-a tag " in header(LogHeader.RFC5424, "lb-a")
    assert "lb-a" not in header(LogHeader.LOCAL, "lb-a")


def test_structured_data_stands_before_the_line_of_rfc_5424_alone():
    assert header(LogHeader.RFC5424, data=b'[a@1 b="c"]').endswith(' - [a@1 b="c"] ')
    assert "[a@1" not in header(LogHeader.RFC3164, data=b'[a@1 b="c"]')


def test_the_next_second_has_a_header_of_its_own():
    now = AT
    made = Header(LogHeader.RFC3164, LOCAL0, "tag", None, lambda: now)
    first = made.before(NOTICE, int(now), b"")
    assert made.before(NOTICE, int(now), b"") == first
    assert made.before(NOTICE, int(now) + 1, b"") != first
