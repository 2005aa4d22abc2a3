"""The page about rules says what the code does."""

from __future__ import annotations

from rules.vocabulary import PAGE, page

from hapair.rules.sample import CONVERTERS, FETCHES


def test_the_page_is_made_of_the_tables():
    assert PAGE.read_text() == page(), "python tests/rules/vocabulary.py writes it anew"


def test_every_word_has_a_meaning_of_one_line():
    for word in (*FETCHES.values(), *CONVERTERS.values()):
        assert word.meaning
        assert "\n" not in word.meaning
        assert "|" not in word.meaning
