"""What each fact means: one case for each finding, and none when all is well."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_interface

import attrs
import pytest
from doctor.cases import B_MAC, ETH0, NODE, VIP, WELL, A, B, C, advert, eth0, heard, instance

from hapair.config.model import Bind, Frontend, NodeConfig, Vip
from hapair.doctor.facts import Claim
from hapair.doctor.findings import Level
from hapair.doctor.verdict import judge, sound

OTHER = ip_interface("192.0.2.200/24")
VIP6 = (ip_interface("fe80::64/64"), ip_interface("2001:db8::64/64"))
DROPS = {
    "nftables": [
        {
            "chain": {
                "family": "inet",
                "table": "f",
                "name": "i",
                "hook": "input",
                "type": "filter",
                "policy": "drop",
            }
        }
    ]
}


def said(level, config, facts):
    return [finding.what for finding in judge(config, facts) if finding.level is level]


def test_a_healthy_node_alone_has_nothing_but_ok():
    findings = judge(NODE, WELL)
    assert {finding.level for finding in findings} == {Level.OK}
    assert sound(findings)


def test_a_healthy_peer_is_told_with_both_priorities():
    findings = judge(NODE, heard(advert(), claims=(Claim("eth0", VIP.ip, B_MAC),)))
    assert {finding.level for finding in findings} == {Level.OK}
    assert f"192.0.2.2 ({B_MAC}) is MASTER with priority 100, ours is 150" in [f.what for f in findings]


PROBLEMS = {
    "there is no interface eth0": (NODE, attrs.evolve(WELL, interfaces={}, heard={})),
    "there is no interface eth1": (instance(addresses=(Vip(VIP, dev="eth1"),)), WELL),
    "no carrier, or not set up: eth1": (
        instance(addresses=(Vip(VIP, dev="eth1"),)),
        attrs.evolve(WELL, interfaces={"eth0": ETH0, "eth1": attrs.evolve(ETH0, name="eth1", carrier=False)}),
    ),
    "eth0 is not Ethernet": (instance(use_vmac=True), eth0(mac="")),
    "eth0 is down": (NODE, eth0(up=False)),
    "eth0 has no carrier": (NODE, eth0(carrier=False)),
    "eth0 has no MULTICAST flag": (NODE, eth0(multicast=False)),
    "eth0 has ARP off": (NODE, eth0(arp=False)),
    "arp_ignore is 8 for eth0": (NODE, eth0(arp_ignore=8)),
    "eth0 has no IPv4 address of its own": (NODE, eth0(addresses=())),
    "eth0 has no IPv6 link-local address of its own": (
        instance(addresses=VIP6),
        eth0(addresses=(ip_interface("2001:db8::1/64"),)),
    ),
    "IPv6 is disabled on eth0": (instance(addresses=VIP6), eth0(disable_ipv6=1)),
    "source_address 192.0.2.3 is not on eth0": (instance(source_address=C), WELL),
    "the firewall drops adverts (protocol 112, chain inet f i)": (NODE, attrs.evolve(WELL, ruleset=DROPS)),
    f"virtual_router_id 51 is already used by 192.0.2.2 ({B_MAC}) for 192.0.2.200": (
        NODE,
        heard(advert(addresses=(OTHER.ip,))),
    ),
    f"192.0.2.2 ({B_MAC}) advertises 192.0.2.100, 192.0.2.200, not the addresses of this file": (
        NODE,
        heard(advert(addresses=(VIP.ip, OTHER.ip))),
    ),
    f"192.0.2.2 ({B_MAC}) speaks version 2, this node version 3": (NODE, heard(advert(version=2))),
    f"192.0.2.2 ({B_MAC}) has the interval 2 s, this node 1 s": (
        instance(version=2),
        heard(advert(version=2, interval=2.0, authentication="none")),
    ),
    f"192.0.2.2 ({B_MAC}) authenticates with none, this node with password": (
        instance(version=2, auth_pass="secret"),
        heard(advert(version=2, authentication="none")),
    ),
    f"192.0.2.2 ({B_MAC}) has another auth_pass": (
        instance(version=2, auth_pass="secret"),
        heard(advert(version=2, authentication="password", password=b"other")),
    ),
    f"192.0.2.2 ({B_MAC}) sends to the multicast group, this node to unicast peers": (
        instance(unicast_peers=(B,)),
        heard(advert()),
    ),
    f"192.0.2.2 ({B_MAC}) sends to 192.0.2.1, this node to the multicast group": (
        NODE,
        heard(advert(destination=A)),
    ),
    f"192.0.2.2 ({B_MAC}) is not in unicast_peers": (
        instance(unicast_peers=(C,)),
        heard(advert(destination=A)),
    ),
    f"adverts of 192.0.2.2 ({B_MAC}) are dropped: bad checksum": (
        NODE,
        heard(advert(doubts=("bad checksum",))),
    ),
    "two masters: 192.0.2.1 and 192.0.2.2": (
        NODE,
        heard(*(advert(at=t, source=s, outgoing=s == A) for t in range(3) for s in (A, B))),
    ),
    f"{B_MAC} answers for 192.0.2.100, and no master is heard": (
        NODE,
        heard(claims=(Claim("eth0", VIP.ip, B_MAC),)),
    ),
    "02:00:00:00:00:03 answers for 192.0.2.100, which is not the master that is heard": (
        NODE,
        heard(advert(), claims=(Claim("eth0", VIP.ip, "02:00:00:00:00:03"),)),
    ),
    "192.0.2.100 on eth0 already, and nobody here advertises it": (
        NODE,
        eth0(addresses=(ip_interface("192.0.2.1/24"), VIP)),
    ),
    "peer 192.0.2.3 answers no ping and sends no adverts": (
        instance(unicast_peers=(C,)),
        attrs.evolve(WELL, silent_peers=(C,)),
    ),
    "no CAP_NET_RAW here": (NODE, attrs.evolve(WELL, capabilities=frozenset({"NET_ADMIN"}))),
    "no CAP_NET_BIND_SERVICE here": (
        NodeConfig(NODE.node, frontends={"web": Frontend("web", (Bind("*:80", port=80),))}),
        attrs.evolve(WELL, capabilities=frozenset({"NET_ADMIN", "NET_RAW"})),
    ),
    'there is no user "hapair"': (NODE, attrs.evolve(WELL, missing_accounts=('user "hapair"',))),
    "1024 descriptors allowed, maxconn 2000 needs 4100": (NODE, attrs.evolve(WELL, descriptors=1024)),
    "the guard cannot be started": (NODE, attrs.evolve(WELL, guard_seconds=None)),
    "connection tracking holds 950 of 1000": (NODE, attrs.evolve(WELL, conntrack=(950, 1000))),
}


@pytest.mark.parametrize("what", PROBLEMS)
def test_each_problem_is_found_alone_and_with_a_remedy(what):
    config, facts = PROBLEMS[what]
    findings = judge(config, facts)
    assert said(Level.PROBLEM, config, facts) == [what]
    assert all(f.why and f.remedy for f in findings if f.level is not Level.OK)
    assert not sound(findings)


NOTES = {
    "no address of eth0 is in the subnet of 192.0.2.100/24": (
        NODE,
        eth0(addresses=(ip_interface("198.51.100.1/24"),)),
    ),
    "bridge br0 snoops multicast, and sends no queries itself": (NODE, eth0(snooping_bridge="br0")),
    f"192.0.2.2 ({B_MAC}) has the same priority, 150": (NODE, heard(advert(priority=150))),
    f"192.0.2.2 ({B_MAC}) has the interval 2 s, this node 1 s": (NODE, heard(advert(interval=2.0))),
    "nobody with id 51 was heard within 1 s": (NODE, attrs.evolve(WELL, listened=1.0)),
    "the guard needs 1500 ms to start": (NODE, attrs.evolve(WELL, guard_seconds=1.5)),
    "the clock is not synchronised": (NODE, attrs.evolve(WELL, clock_synchronised=False)),
    "it is dark": (NODE, attrs.evolve(WELL, troubles=(("it is dark", "switch the light on"),))),
}


@pytest.mark.parametrize("what", NOTES)
def test_each_note_is_made_alone_and_does_not_fail_the_node(what):
    config, facts = NOTES[what]
    findings = judge(config, facts)
    assert said(Level.NOTE, config, facts) == [what]
    assert said(Level.PROBLEM, config, facts) == []
    assert sound(findings)


@pytest.mark.parametrize(
    "facts",
    [
        attrs.evolve(eth0(addresses=(ip_interface("192.0.2.1/24"), VIP)), node_runs=True),
        attrs.evolve(
            eth0(addresses=(ip_interface("192.0.2.1/24"), VIP)),
            heard={"eth0": (advert(source=A, outgoing=True),)},
        ),
    ],
)
def test_the_vip_of_a_running_master_is_no_leftover(facts):
    assert said(Level.PROBLEM, NODE, facts) == []


def test_a_hand_back_while_listening_is_not_two_masters():
    adverts = [advert(at=0.0, source=C), advert(at=1.0), advert(at=1.05, source=C), advert(at=2.0)]
    assert said(Level.PROBLEM, NODE, heard(*adverts)) == []


def test_other_ids_and_the_other_family_are_none_of_our_business():
    strangers = [
        advert(vrid=52, addresses=(OTHER.ip,)),
        advert(source=IPv6Address("fe80::2"), addresses=(IPv6Address("fe80::64"),)),
    ]
    assert said(Level.PROBLEM, NODE, heard(*strangers)) == []


def test_a_virtual_mac_answers_for_its_own_router():
    facts = heard(advert(), claims=(Claim("eth0", VIP.ip, "00:00:5e:00:01:33"),))
    assert said(Level.PROBLEM, NODE, facts) == []


def test_a_node_that_sends_both_ways_suits_those_that_hear_one():
    both = heard(advert(), advert(destination=A))
    for config in (NODE, instance(unicast_peers=(B,)), instance(unicast_peers=(B,), multicast=True)):
        assert said(Level.PROBLEM, config, both) == []


def test_multicast_beside_peers_needs_the_flag_and_lets_anybody_in():
    mixed = instance(unicast_peers=(C,), multicast=True)
    assert said(Level.PROBLEM, mixed, heard(advert())) == []
    assert said(Level.PROBLEM, mixed, eth0(multicast=False)) == ["eth0 has no MULTICAST flag"]
    assert said(Level.PROBLEM, instance(unicast_peers=(C,)), eth0(multicast=False)) == []


def test_a_peer_that_sends_adverts_need_not_answer_pings():
    facts = heard(advert(destination=A), silent_peers=(B,))
    assert said(Level.PROBLEM, instance(unicast_peers=(B,)), facts) == []
