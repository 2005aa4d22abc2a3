"""The pair's network, and each way of breaking it."""

import pytest

from lab.probers import ask_arp
from lab.topology import BALANCERS, netlink

pytestmark = pytest.mark.netns


async def _hears(lab, one, other):
    """Whether a broadcast gets there and an answer back; no neighbour cache delays it."""
    addresses = lab.topology[other].address, lab.topology[one].address
    return bool(await ask_arp(lab[one].net, *addresses))


async def test_every_machine_hears_every_other(lab):
    for one in ("client", "lb-a", "web2"):
        for other in ("lb-b", "web1"):
            assert await _hears(lab, one, other)


async def test_a_link_taken_down_on_the_machine_comes_back(lab):
    lab.set_link("lb-a", up=False)
    assert not await _hears(lab, "client", "lb-a")
    lab.set_link("lb-a", up=True)
    assert await _hears(lab, "client", "lb-a")


async def test_a_pulled_cable_is_a_loss_of_carrier(lab):
    lab.set_carrier("lb-a", up=False)
    assert _carrier(lab, "lb-a") == 0
    assert not await _hears(lab, "client", "lb-a")
    lab.set_carrier("lb-a", up=True)
    assert _carrier(lab, "lb-a") == 1
    assert await _hears(lab, "client", "lb-a")


async def test_a_partitioned_machine_keeps_its_carrier_and_hears_nobody(lab):
    lab.set_forwarding("lb-a", on=False)
    assert _carrier(lab, "lb-a") == 1
    assert not await _hears(lab, "client", "lb-a")
    lab.set_forwarding("lb-a", on=True)
    assert await _hears(lab, "client", "lb-a")


async def test_isolated_machines_are_deaf_to_each_other_only(lab):
    lab.set_isolated(*BALANCERS, on=True)
    assert not await _hears(lab, "lb-a", "lb-b")
    assert await _hears(lab, "client", "lb-a")
    assert await _hears(lab, "client", "lb-b")
    lab.set_isolated(*BALANCERS, on=False)
    assert await _hears(lab, "lb-a", "lb-b")


def _carrier(lab, name):
    with netlink(lab[name].net) as inside:
        link = next(link for link in inside.get_links() if link.get("IFLA_IFNAME") == "eth0")
        return link.get("IFLA_CARRIER")
