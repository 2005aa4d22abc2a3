"""Duplicate masters are counted by the one that stays."""

from __future__ import annotations

from ipaddress import IPv4Address

from hapair.vrrp.split_brain import SplitBrain

OTHER = IPv4Address("192.0.2.2")
NOW = 100.0


def after(*times: float, book: SplitBrain | None = None) -> SplitBrain:
    book = book or SplitBrain()
    for at in times:
        book = book.heard(OTHER, 3.0, at, known=True)
    return book


def test_nobody_else_is_no_split():
    assert SplitBrain().at(NOW) == SplitBrain()
    assert (SplitBrain().count, SplitBrain().seconds) == (0, 0.0)


def test_it_lasts_from_the_first_advert_to_the_last():
    book = after(NOW, NOW + 1, NOW + 2)
    assert (book.count, book.seconds) == (1, 2.0)


def test_it_is_over_when_the_other_was_silent_for_its_master_down_interval():
    book = after(NOW, NOW + 1)
    assert book.at(NOW + 3.9).duel is not None
    assert book.at(NOW + 4).duel is None
    assert (book.at(NOW + 4).count, book.at(NOW + 4).seconds) == (1, 1.0)


def test_another_time_counts_again_and_adds_up():
    book = after(NOW + 50, NOW + 52, book=after(NOW, NOW + 1))
    assert (book.count, book.seconds) == (2, 3.0)
    assert (book.over().count, book.over().seconds, book.over().duel) == (2, 3.0, None)


def test_the_one_that_we_have_just_replaced_is_none():
    assert SplitBrain().heard(OTHER, 3.0, NOW, known=False) == SplitBrain()
