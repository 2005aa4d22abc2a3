"""agent-check: HAProxy's words, in any order, from anybody."""

from __future__ import annotations

import pytest
from health.probes.talk import bytewise, talk
from hypothesis import given
from hypothesis import strategies as st

from hapair.health.probes.agent import AgentProbe, understood
from hapair.health.probes.dialogue import Malformed
from hapair.health.probes.outcome import AgentSays, Finding


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"75%", AgentSays(percent=75)),
        (b"weight:12,maxconn:30", AgentSays(weight=12, maxconn=30)),
        (b"weight:50%", AgentSays(percent=50)),
        (b"UP ready\t100%", AgentSays(100, None, None, "ready", True, "up")),
        (b"drain", AgentSays(administrative="drain")),
        (b"stopped #maintenance until 5", AgentSays(up=False, state="stopped", reason="maintenance until 5")),
        (b"fail#disk", AgentSays(up=False, state="fail", reason="disk")),
        (b"up something else", AgentSays(up=True, state="up")),
        (b"weight:99999", AgentSays(weight=256)),
    ],
)
def test_words_are_haproxys(line, says):
    assert understood(line) == says


@pytest.mark.parametrize("line", [b"", b"hello", b"HTTP/1.1 400 Bad Request", b"75", b"-5%", b"# down"])
def test_a_line_without_any_such_word_means_nothing(line):
    with pytest.raises(Malformed):
        understood(line)


def test_the_first_line_counts_or_what_was_said_before_the_end():
    assert talk(AgentProbe(b"web1\n"), *bytewise(b"up 50%\nnonsense")) == (
        b"web1\n",
        Finding("L7OK", "up 50%"),
    )
    assert talk(AgentProbe(b""), b"down #disk", end=True)[1] == Finding("L7STS", "down #disk")
    assert talk(AgentProbe(b""), b"nonsense", end=True)[1].status == "L7RSP"
    assert talk(AgentProbe(b""), end=True)[1] == Finding("L7RSP", "no answer")


def test_a_line_without_end_is_given_up():
    assert talk(AgentProbe(b""), b"u" * 1025)[1] == Finding("L7RSP", "the line is too long")


@given(
    st.lists(st.sampled_from([b"up", b"down", b"75%", b"#", b" ", b",", b"maxconn:"]) | st.binary(min_size=1))
)
def test_arbitrary_lines_mean_something_or_nothing_and_are_fit_for_a_log(pieces):
    found = talk(AgentProbe(b""), *pieces, end=True)[1]
    assert isinstance(found, Finding)
    assert found.info.isprintable()
    if found.says is not None:
        assert found.says.weight is None or 0 <= found.says.weight <= 256
        assert found.says.reason.isprintable()
