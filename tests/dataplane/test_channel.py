"""The channel between control process and worker: whole frames, their descriptors, and never a wait."""

from __future__ import annotations

import os
import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from hapair.dataplane.channel import HEADER, Channel, Frame, Unframing

FRAMES = st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 3)), max_size=8)


@pytest.fixture
def ends():
    ours, theirs = (Channel(sock) for sock in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@given(FRAMES, st.lists(st.integers(1, 64), max_size=40))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames, cuts):
    numbers = iter(range(100))
    wanted = [Frame(data, tuple(next(numbers) for _ in range(count))) for data, count in frames]
    stream = b"".join(HEADER.pack(len(f.payload), len(f.descriptors)) + f.payload for f in wanted)
    unframing, found = Unframing(), []
    # Descriptors come no later than the first byte of their frame.
    early = [number for frame in wanted for number in frame.descriptors]
    for cut in cuts:
        part, stream = stream[:cut], stream[cut:]
        found += unframing.feed(part, early)
        early = []
    found += unframing.feed(stream, early)
    assert found == wanted


def test_descriptors_arrive_with_their_frame(ends):
    ours, theirs = ends
    read, write = os.pipe()
    ours.send(b"none")
    ours.send(b"one", [read])
    first, second = theirs.receive()
    assert (first.payload, first.descriptors, second.payload) == (b"none", (), b"one")
    (copy,) = second.descriptors
    os.write(write, b"x")
    assert os.read(copy, 1) == b"x"
    assert not os.get_inheritable(copy)
    for number in (read, write, copy):
        os.close(number)


async def test_what_is_not_taken_waits_in_order_and_the_sender_does_not(ends, nursery):
    ours, theirs = ends
    sent = [bytes([n]) * 300_000 for n in range(8)]
    for payload in sent:
        ours.send(payload)
    assert not ours.all_sent
    nursery.start_soon(ours.pump)
    got: list[bytes] = []
    while len(got) < len(sent):
        await theirs.readable()
        got += [frame.payload for frame in theirs.receive()]
    assert got == sent
    await trio.testing.wait_all_tasks_blocked()
    assert ours.all_sent


def test_the_end_of_the_other_side_is_seen_after_its_last_words(ends):
    ours, theirs = ends
    ours.send(b"bye")
    ours.close()
    assert [frame.payload for frame in theirs.receive()] == [b"bye"]
    assert theirs.ended
    theirs.send(b"to nobody")
    assert theirs.all_sent


def test_last_words_are_heard_by_one_who_was_talking(ends):
    """A worker that cannot begin says why and goes, without hearing what it is told."""
    ours, theirs = ends
    theirs.send(b"never read")
    ours.send(b"no such directory")
    ours.close()
    theirs.send(b"never sent")
    assert theirs.all_sent
    assert not theirs.ended
    assert [frame.payload for frame in theirs.receive()] == [b"no such directory"]
    assert theirs.ended
