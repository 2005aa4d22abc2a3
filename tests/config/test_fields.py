"""Spelling and range of single values."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.balance.base import ALGORITHMS
from hapair.config import balancing, fields
from hapair.config.fields import Expanded, FieldError
from hapair.dataplane.access_log import FACILITIES, LEVELS


def refusal(parser, value) -> str:
    with pytest.raises(FieldError) as caught:
        parser(value)
    return caught.value.message


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (500, 0.5),
        ("500", 0.5),
        ("100ms", 0.1),
        ("2s", 2),
        ("1.5s", 1.5),
        ("40.95s", 40.95),
        ("1m", 60),
        ("2h", 7200),
        ("1d", 86400),
        ("2500us", 0.0025),
    ],
)
def test_durations_have_haproxys_units_and_a_bare_number_is_milliseconds(written, seconds):
    assert fields.timeout(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        " 2s",
        "2 s",
        "2S",
        "2sec",
        "+2s",
        "-2s",
        "٢s",
        "2_0s",
        "1e3",
        ".5s",
        "5.s",
        "2s\n",
        "0x10",
        "inf",
        True,
        1.5,
        [],
    ],
)
def test_no_other_spelling_of_a_duration_is_taken(written):
    assert "duration" in refusal(fields.delay, written)


def test_a_duration_is_never_finer_than_a_microsecond():
    assert "multiple of 1us" in refusal(fields.delay, "0.5us")


def test_durations_have_ranges():
    assert refusal(fields.timeout, "0s") == '"0s" is outside 1ms..24d'
    assert refusal(fields.timeout, "25d") == '"25d" is outside 1ms..24d'
    assert fields.delay("0") == 0


@given(st.integers(1, 4095))
def test_every_centisecond_that_an_advert_can_carry_is_an_interval(centiseconds):
    assert fields.advert_interval(centiseconds * 10) == centiseconds / 100


@pytest.mark.parametrize("written", [0, "9ms", "15ms", "40.96s", "41s"])
def test_no_other_advert_interval_is_taken(written):
    refusal(fields.advert_interval, written)


@given(st.integers(0, 24 * 86400 * 10**6))
def test_a_spelt_duration_reads_as_the_same(micros):
    seconds = float(Fraction(micros, 10**6))
    assert fields.delay(fields.spell(seconds)) == seconds


@pytest.mark.parametrize("parser", [fields.vrid, fields.priority])
def test_vrid_and_priority_are_1_to_255(parser):
    assert [parser(1), parser(255)] == [1, 255]
    for value in (0, 256, -1):
        assert "1..255" in refusal(parser, value)


@pytest.mark.parametrize("value", [True, "5", 5.0, None, [5]])
def test_a_number_is_a_toml_integer(value):
    assert refusal(fields.positive, value).startswith("expected a whole number")


@pytest.mark.parametrize("text", [" 5", "5 ", "+5", "-5", "0x5", "5_0", "٥", ""])
def test_a_number_from_the_environment_is_all_digits(text):
    assert fields.positive(Expanded("5")) == 5
    assert "expected" in refusal(fields.positive, Expanded(text))


def test_true_from_the_environment_is_true():
    assert [fields.boolean(Expanded(text)) for text in ("true", "false")] == [True, False]
    for value in ("true", Expanded("True"), 1, 0):
        assert "true or false" in refusal(fields.boolean, value)


def test_weights_are_0_to_256():
    assert [fields.weight(0), fields.weight(256)] == [0, 256]
    assert "0..256" in refusal(fields.weight, 257)


@pytest.mark.parametrize(
    ("parser", "good", "bad"),
    [
        (fields.name, ["web", "web-1_a.b:c"], ["", "a b", "a/b", "ä", "a\n", "a" * 65]),
        (fields.account, ["hapair", "_x", "www-data"], ["0", "a b", "-a", "a:b"]),
        (fields.interface, ["eth0", "br-lan", "eth0.5", "a" * 15], [".", "..", "a" * 16, "a b", "a/b"]),
        (fields.file_path, ["/run/x.pid", "/"], ["run/x", "", "/a\0"]),
        (fields.socket_path, ["/" + "a" * 106], ["/" + "a" * 107, "x"]),
        (fields.http_token, ["X-Forwarded-For", "GET"], ["a b", "a:", "a\r\n", ""]),
        (fields.header_value, ["a b", "x"], [" a", "a\r\nb", "ä"]),
        (fields.cookie_value, ["server1", "a=b"], ["a b", "a;b", 'a"', "a,b", "a\\b"]),
        (fields.uri_path, ["/haproxy?stats"], ["stats", "/a b", "/\r\n"]),
        (fields.domain, ["example.org", ".example.org"], ["a b", "a;b", ""]),
    ],
)
def test_texts_match_from_end_to_end(parser, good, bad):
    assert [parser(text) for text in good] == good
    for text in bad:
        refusal(parser, text)


def test_the_words_are_those_of_the_rooms_that_use_them():
    assert set(balancing.ALGORITHMS) == set(ALGORITHMS)
    assert all(fields.facility(name) == name for name in FACILITIES)
    assert all(fields.level(name) == name for name in LEVELS)
    assert "randm" in refusal(balancing.balance, "randm")


def test_a_misspelt_word_gets_a_suggestion():
    assert refusal(balancing.balance, "roundrobbin").endswith('did you mean "roundrobin"?')
    assert refusal(fields.level, "xyz").endswith('"info", "debug"')


def test_a_value_is_shown_as_a_terminal_can_bear_it():
    assert fields.shown('a\x1b[2J"') == '"a\\x1b[2J\\""'
    assert len(fields.shown("x" * 10_000)) < 200
