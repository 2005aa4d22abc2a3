"""Words, quotes and backslashes; what each spelling means was observed on HAProxy 2.6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.rules.lexer import RuleError, Word, split


def only(text: str) -> str:
    (word,) = split(text)
    return word.text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\.b", r"a\.b"),
        (r"'a\.b'", r"a\.b"),
        (r'"a\.b"', r"a\.b"),
        (r"a\ b", "a b"),
        (r"a\\b", r"a\b"),
        (r"'a\\b'", r"a\\b"),
        (r'"a\"b"', 'a"b'),
        (r"a\'b", "a'b"),
        (r"a\x41b", "aAb"),
        (r'"a\x41b"', "aAb"),
        (r"a\tb\n\r", "a\tb\n\r"),
        (r'"a\$b"', "a$b"),
        (r"a\$b", r"a\$b"),
        (r'a"b c"d', "ab cd"),
        (r"a\#b", "a#b"),
        (r'"a#b"', "a#b"),
        (r"a\db", r"a\db"),
        ('""', ""),
        ("a\\", "a\\"),
    ],
)
def test_quotes_and_backslashes_mean_what_they_mean_in_haproxy(written, meant):
    assert only(written) == meant


def test_blanks_separate_and_each_word_knows_where_it_began():
    assert split("  ab \t'c d' e") == [Word("ab", 2), Word("c d", 6), Word("e", 12)]
    assert split(" \t ") == []


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ('a "b', 2, "never closed"),
        ("a b'c", 3, "never closed"),
        ("a # b", 2, "comment"),
        ("a b#c", 3, "comment"),
        (r"a \x4", 2, "hexadecimal"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text, offset, message):
    with pytest.raises(RuleError, match=message) as caught:
        split(text)
    assert caught.value.offset == offset


@given(st.lists(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), min_size=1)))
def test_single_quotes_keep_anything(words):
    assert [word.text for word in split(" ".join(f"'{word}'" for word in words))] == words
