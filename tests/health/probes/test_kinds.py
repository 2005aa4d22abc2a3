"""Every kind of check has its dialogue."""

from __future__ import annotations

import pytest

from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server
from hapair.health.plan import plan_for
from hapair.health.probes.kinds import opener
from hapair.health.probes.outcome import Finding


def dialogue(kind: CheckKind):
    check = Check(kind=kind, http=HttpCheck("GET", "/up") if kind is CheckKind.HTTP else None)
    make = opener(plan_for(Backend("b"), Server("s", 1, "192.0.2.1", 80, check=check)))
    return make() if make is not None else None


def test_a_tcp_check_is_done_when_the_connection_is_there():
    probe = dialogue(CheckKind.TCP)
    assert probe.silent
    assert probe.connected() == probe.received(b"hello") == probe.ended() == Finding("L4OK")


def test_an_http_check_begins_with_its_request_each_time_anew():
    first, second = dialogue(CheckKind.HTTP), dialogue(CheckKind.HTTP)
    assert first is not second
    assert not first.silent
    assert first.connected() == second.connected() == b"GET /up HTTP/1.0\r\n\r\n"


def test_a_ping_is_no_dialogue():
    assert dialogue(CheckKind.ICMP) is None


@pytest.mark.parametrize("kind", list(CheckKind))
def test_no_kind_is_forgotten(kind):
    assert dialogue(kind) is not None or kind is CheckKind.ICMP
