"""What goes over the channel, down and up."""

from __future__ import annotations

import json
from math import inf

import pytest

from hapair.dataplane.messages import Prepare, Report, Servers, packed, report_of, unpacked
from hapair.dataplane.service import ServerState
from hapair.proxy.faults import KEPT, LONGEST, Fault

from .plane import config


def test_a_configuration_survives_the_way():
    message = Prepare(config(), {"h 80": (2, ("192.0.2.1", 80))}, {"process ": 0})
    assert unpacked(packed(message, 7)) == (7, message)
    states = Servers((ServerState("be", "s", True, "ready", 1, inf),))
    assert unpacked(packed(states, 8)) == (8, states)


def test_a_report_survives_the_way():
    fault = Fault(9, 1.5, "now", "fe", "be", "s", "192.0.2.9:1", True, "junk", bytes(range(256)))
    report = Report(
        3,
        "no socket",
        {"fe": {"bad request line": 2}},
        9,
        (fault,),
        {"be": {"junk": 1}},
        (("be", "s", "refused"),),
    )
    assert report_of(report.encoded()) == report


WHOLE = json.loads(Report(3).encoded())


def test_of_too_many_faults_the_last_are_taken():
    faults = tuple(Fault(n, 1.5, "", "", "", "", "", False, "", b"x" * 600) for n in range(1, 40))
    taken = report_of(Report(3, news=faults).encoded()).news
    assert [fault.number for fault in taken] == list(range(40 - KEPT, 40))
    assert {len(fault.began) for fault in taken} == {LONGEST}


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        WHOLE | {"ticket": "3"},
        WHOLE | {"refusals": {"fe": [1]}},
        WHOLE | {"refusals": {"fe": {"why": "many"}}},
        WHOLE | {"distrusted": {"be": {"why": "many"}}},
        WHOLE | {"faults": "many"},
        WHOLE | {"news": [{"number": 1}]},
        WHOLE | {"suspects": [["be", "s"]]},
    ],
)
def test_a_worker_that_babbles_is_not_believed(said):
    with pytest.raises(ValueError, match="worker"):
        report_of(json.dumps(said).encode())
