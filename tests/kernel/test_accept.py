"""accept = false: found by its neighbours, closed to their packets."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_interface

import attrs
import pytest
from kernel.namespaces import pair

from hapair.config.model import VrrpInstance
from hapair.vrrp.accept import ruleset, table_name

WEB = VrrpInstance(
    "web",
    "eth0",
    51,
    (ip_interface("192.0.2.100/24"),),
    excluded_addresses=(ip_interface("2001:db8::100/64"),),
    accept=False,
)
LIFE = """
import subprocess, trio
from ipaddress import ip_interface
from hapair.config.model import VrrpInstance
from hapair.kernel.accept import closed_unless_accepting

def tables():
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    print(listed.stdout.split())

async def main():
    for accept in (False, True):
        instance = VrrpInstance("web", "eth0", 51, (ip_interface("192.0.2.100/24"),), accept=accept)
        async with closed_unless_accepting(instance):
            tables()
        tables()

trio.run(main)
"""


def test_routers_of_one_interface_have_tables_of_their_own():
    other = attrs.evolve(WEB, virtual_router_id=52)
    six = attrs.evolve(WEB, addresses=(ip_interface("fe80::1/64"),))
    dotted = attrs.evolve(WEB, interface="eth0.7")
    assert [table_name(one) for one in (WEB, other, six, dotted)] == [
        "hapair_eth0_ipv4_51",
        "hapair_eth0_ipv4_52",
        "hapair_eth0_ipv6_51",
        "hapair_eth0_7_ipv4_51",
    ]


def connects(namespace, address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered():
        client = socket.socket(family)
    with client:
        client.settimeout(0.3)
        try:
            client.connect((address, 80))
        except TimeoutError:
            return False
        return True


@pytest.mark.netns
@pytest.mark.slow
def test_the_vip_has_a_neighbour_entry_and_no_service():
    with pair() as (a, b):
        b.run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
        for address in ("2001:db8::1/64", *map(str, WEB.held)):
            nodad = ("nodad",) if ":" in address else ()
            a.run("ip", "address", "add", address, "dev", "eth0", *nodad)
        with a.entered():
            server = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
        with server:
            vips = [str(vip.ip) for vip in WEB.held]
            assert all(connects(b, address) for address in ("192.0.2.1", "2001:db8::1", *vips))
            a.run("nft", "-f", "-", stdin=ruleset(WEB))
            b.run("ip", "neighbour", "flush", "dev", "eth0")
            assert not any(connects(b, address) for address in vips)
            assert all("lladdr" in b.run("ip", "neighbour", "show", address) for address in vips)
            assert all(connects(b, address) for address in ("192.0.2.1", "2001:db8::1"))


@pytest.mark.netns
@pytest.mark.slow
def test_the_table_is_there_as_long_as_the_router():
    with pair() as (a, _):
        assert a.run(sys.executable, "-c", LIFE).splitlines() == [
            "['table', 'inet', 'hapair_eth0_ipv4_51']",
            "[]",
            "[]",
            "[]",
        ]


@pytest.mark.netns
@pytest.mark.slow
def test_a_table_of_an_earlier_life_is_removed_by_a_router_that_accepts():
    with pair() as (a, _):
        a.run("nft", "-f", "-", stdin=ruleset(WEB))
        program = LIFE.replace("(False, True)", "(True,)")
        assert a.run(sys.executable, "-c", program).splitlines() == ["[]", "[]"]
