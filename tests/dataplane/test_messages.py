"""What goes over the channel, down and up."""

from __future__ import annotations

import json
from math import inf

import pytest

from hapair.dataplane.messages import Prepare, Report, Servers, packed, report_of, unpacked
from hapair.dataplane.service import ServerState

from .plane import config


def test_a_configuration_survives_the_way():
    message = Prepare(config(), {"h 80": (2, ("192.0.2.1", 80))}, {"process ": 0})
    assert unpacked(packed(message, 7)) == (7, message)
    states = Servers((ServerState("be", "s", True, "ready", 1, inf),))
    assert unpacked(packed(states, 8)) == (8, states)


def test_a_report_survives_the_way():
    report = Report(3, "no socket", {"fe": {"bad request line": 2}}, (("be", "s", "refused"),))
    assert report_of(report.encoded()) == report


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"ticket": "3", "problem": "", "refusals": {}, "suspects": []},
        {"ticket": 3, "problem": "", "refusals": {"fe": [1]}, "suspects": []},
        {"ticket": 3, "problem": "", "refusals": {"fe": {"why": "many"}}, "suspects": []},
        {"ticket": 3, "problem": "", "refusals": {}, "suspects": [["be", "s"]]},
    ],
)
def test_a_worker_that_babbles_is_not_believed(said):
    with pytest.raises(ValueError, match="worker"):
        report_of(json.dumps(said).encode())
