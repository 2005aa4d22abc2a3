"""Every kind of check has its dialogue."""

from __future__ import annotations

import os

import pytest

from hapair.config.asks import Send, TcpCheck, UdpCheck
from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server
from hapair.config.resolve import ASK_BY_DEFAULT
from hapair.health.plan import plan_for
from hapair.health.probes.kinds import ELSEWHERE, opener
from hapair.health.probes.outcome import Finding


def dialogue(kind: CheckKind):
    """As a configuration makes it that says no more than it must."""
    said = {
        CheckKind.UDP: UdpCheck(b"x"),
        CheckKind.TCP_CHECK: TcpCheck((Send("send x", b"x"),)),
    }
    ask = said.get(kind) or ASK_BY_DEFAULT.get(kind)
    check = Check(kind=kind, http=HttpCheck("GET", "/up") if kind is CheckKind.HTTP else None, ask=ask)
    make = opener(plan_for(Backend("b"), Server("s", 1, "192.0.2.1", 80, check=check)), os.urandom)
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


@pytest.mark.parametrize("kind", list(CheckKind))
def test_no_kind_is_forgotten(kind):
    assert (dialogue(kind) is None) == (kind in ELSEWHERE)
