"""Probes come from the address that `source` names, as the connections of clients do."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import attrs
import pytest
from health.test_flight import PLAN, Sky, sky  # noqa: F401
from health.test_flight_kinds import UDP
from interop.haproxy import Haproxy
from kernel.namespaces import Namespace

from hapair.config.asks import AgentCheck, UdpCheck
from hapair.config.model import Backend, Check, Server, Source
from hapair.health.plan import agents, plan_for
from hapair.health.probes.udp import UdpProbe

OURS, NOT_OURS = "127.0.0.7", "192.0.2.77"


def plan(source: Source | None):
    server = Server("s", 1, "127.0.0.1", 80, check=Check(), source=source, agent_check=AgentCheck(port=81))
    backend = Backend("b", (server,))
    ((_, _, agent),) = agents({"b": backend})
    found = plan_for(backend, server)
    assert agent.source == found.source
    return found


def test_the_address_counts_whoever_clients_connections_are_made_for():
    address = ip_address(OURS)
    assert plan(None).source == ""
    assert plan(Source(OURS, address)).source == OURS
    assert plan(Source(f"{OURS}:1024-2048", address, ports=(1024, 2048))).source == OURS, "ports are clients'"
    assert plan(Source(f"{OURS} usesrc clientip", address, usesrc="clientip")).source == OURS
    assert plan(Source("0.0.0.0 usesrc clientip", None, usesrc="clientip")).source == ""


def test_servers_that_are_asked_from_different_addresses_share_no_probe():
    assert not plan(None).same_question(plan(Source(OURS, ip_address(OURS))))


@pytest.mark.parametrize(
    ("source", "seen"), [("", "127.0.0.1"), (OURS, OURS), (NOT_OURS, "127.0.0.1"), ("::1", "127.0.0.1")]
)
def test_a_connection_comes_from_there_while_the_node_has_that_address(sky: Sky, source, seen):  # noqa: F811
    sky.launch(plan=attrs.evolve(PLAN, source=source))
    with sky.connected() as server:
        assert server.getpeername()[0] == seen


def test_so_does_a_datagram(sky: Sky):  # noqa: F811
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        sky.launch("t", UdpProbe(UdpCheck(b"x")), attrs.evolve(UDP, source=OURS), server.getsockname())
        sky.wait_for_events()
        sky.turn()
        assert server.recvfrom(100)[1][0] == OURS


@pytest.mark.netns
@pytest.mark.parametrize("group", ["1 0", "0 0"], ids=["raw", "unprivileged"])
@pytest.mark.parametrize("six", [False, True])
def test_so_does_a_ping(group, six):
    ours, other, to = ("fd00:9::7", "fd00:9::8", "fd00:9::1") if six else ("10.9.0.7", "10.9.0.8", "10.9.0.1")
    size = 128 if six else 32  # all of a network on lo would be ours
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    namespace = Namespace()
    try:
        namespace.run("sh", "-c", f"echo {group} >/proc/sys/net/ipv4/ping_group_range")
        for address in (to, ours):
            namespace.run("ip", "address", "add", f"{address}/{size}", "dev", "lo", *["nodad"] * six)
        with namespace.entered(), socket.socket(family, socket.SOCK_RAW, protocol) as everything:
            everything.settimeout(5)
            sky = Sky()

            def seen_from(source: str) -> str:
                plan = attrs.evolve(PLAN, source=source)
                sky.flights.launch(source, plan, family, (to, 0), None, sky.now)
                peer = everything.recvfrom(2000)[1][0]
                everything.recvfrom(2000)  # and its answer
                sky.until_landed()
                sky.landed.clear()
                return peer

            assert seen_from(ours) == ours
            assert seen_from(other) == to, "it is somebody else's: as without"
            namespace.run("ip", "address", "del", f"{ours}/{size}", "dev", "lo")
            assert seen_from(ours) == to, "it has gone"
            namespace.run("ip", "address", "add", f"{ours}/{size}", "dev", "lo", *["nodad"] * six)
            assert seen_from(ours) == ours, "it has come back"
            sky.flights.close()
            sky.listener.close()
    finally:
        namespace.close()


@pytest.mark.interop
def test_haproxys_checks_come_from_there_too(tmp_path, sky: Sky):  # noqa: F811
    port = sky.listener.getsockname()[1]
    haproxy = Haproxy(
        tmp_path,
        f"listen app\n  bind unix@{tmp_path}/front.sock\n  option httpchk\n"
        f"  server s 127.0.0.1:{port} check inter 100ms source {OURS}:1024-65535\n",
    )
    try:
        with sky.listener.accept()[0] as server:
            assert server.getpeername()[0] == OURS
    finally:
        haproxy.end()
