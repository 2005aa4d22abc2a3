"""What `show status` says: every field of the routers, ages instead of moments, and the servers."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface

import attrs

from hapair.api.stats import rows
from hapair.api.status import report
from hapair.config.model import Node, NodeConfig, VrrpInstance
from hapair.health.probes.outcome import Outcome
from hapair.health.service import Verdict
from hapair.vrrp.status import Peer, RouterState, RouterStatus

INSTANCE = VrrpInstance("web", "eth0", 51, (IPv4Interface("192.0.2.100/24"),), priority=150)
CONFIG = NodeConfig(Node("lb-a"), vrrp={"web": INSTANCE})
STATUS = RouterStatus(
    name="web",
    state=RouterState.BACKUP,
    since=90.0,
    cause="started",
    transitions=1,
    priority=150,
    effective_priority=1,
    why="backend web has 0 usable servers, needs 1",
    peer=Peer(IPv4Address("192.0.2.12"), 100, 0.1, 99.95),
    adverts_sent=3,
    adverts_received=40,
    drops={"ttl": 2},
)


NONE_OPEN: frozenset = frozenset()


def test_each_address_tells_whether_its_gate_is_open():
    two = attrs.evolve(INSTANCE, addresses=(*INSTANCE.addresses, IPv4Interface("192.0.2.101/24")))
    config = attrs.evolve(CONFIG, vrrp={"web": two})
    (router,) = report(config, [STATUS], [], 100.0, frozenset({IPv4Address("192.0.2.101")}))["vrrp"]
    assert router["gates"] == {"192.0.2.100/24": False, "192.0.2.101/24": True}


def test_moments_become_ages_and_addresses_text():
    (router,) = report(CONFIG, [STATUS], [], 100.0, NONE_OPEN)["vrrp"]
    assert router["state"] == "BACKUP"
    assert router["since"] == 10.0
    assert router["peer"] == {"address": "192.0.2.12", "priority": 100, "interval": 0.1, "heard": 0.05}
    assert router["addresses"] == ["192.0.2.100/24"]
    assert router["gates"] == {"192.0.2.100/24": False}
    assert (router["interface"], router["virtual_router_id"], router["version"]) == ("eth0", 51, 3)


def test_no_field_of_a_router_is_forgotten_and_all_can_be_written_as_json():
    (router,) = report(CONFIG, [STATUS], [], 100.0, NONE_OPEN)["vrrp"]
    assert router.keys() >= set(attrs.fields_dict(RouterStatus))
    assert json.loads(json.dumps(router)) == router


def test_a_router_that_a_reload_is_taking_away_is_still_shown():
    gone = attrs.evolve(STATUS, name="gone", peer=None)
    (router,) = report(CONFIG, [gone], [], 100.0, NONE_OPEN)["vrrp"]
    assert router["peer"] is None
    assert "addresses" not in router


def test_the_socket_answers_with_it(commands):
    found = json.loads(commands.execute("show status"))
    assert found["node"] == "lb-a"
    assert [(one["server"], one["status"], one["check"]) for one in found["servers"]] == [
        ("s1", "UP", "L7OK"),
        ("s2", "DOWN", "L4CON"),
        ("s3", "no check", ""),
    ]


def test_of_a_failed_check_it_tells_what_was_said(plane):
    failed = Outcome(
        ok=False,
        status="L7STS",
        duration=0.0025,
        info="NOAUTH",
        sent=b"PING\r\n",
        received=b"-NOAUTH\r\n",
        expected="+PONG",
    )
    verdicts = {("be", "s1"): Verdict(False, True, failed, "0/2 DOWN", 0.0)}
    server, *others = report(CONFIG, [], rows(plane, verdicts), 100.0, NONE_OPEN)["servers"]
    assert server["last_result"] == 'Layer7 wrong status, info: "NOAUTH"'
    assert server["last_details"] == r'sent "PING\r\n", expected +PONG, received "-NOAUTH\r\n"'
    assert server["last_duration_ms"] == 2
    assert [one["last_details"] for one in others] == ["", ""]
