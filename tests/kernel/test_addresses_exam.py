"""One exam for the fake kernel and the real one."""

from __future__ import annotations

import errno
from ipaddress import IPv4Interface, IPv6Interface

import pytest
import trio
from kernel.namespaces import Namespace, give_ipv6

from hapair.config.model import Scope, Vip, vips
from hapair.errors import KernelError
from hapair.kernel.fake import FakeAddresses, FakeLink
from hapair.kernel.links import Links
from hapair.kernel.netlink import NetlinkAddresses
from hapair.kernel.route_socket import route_socket

OWN, VIP, SECOND = (
    IPv4Interface("192.0.2.1/24"),
    IPv4Interface("192.0.2.100/24"),
    IPv4Interface("198.51.100.7/32"),
)


class FakeRoom:
    def __init__(self) -> None:
        self.link = FakeLink("eth0")
        self.addresses = FakeAddresses(self.link, OWN)

    def vanish(self) -> None:
        self.link.exists = False


class RealRoom:
    def __init__(self, namespace: Namespace, links: Links, route) -> None:
        self._namespace = namespace
        self.link = links.follow("eth0")
        self.addresses = NetlinkAddresses(route, self.link)

    def vanish(self) -> None:
        self._namespace.run("ip", "link", "delete", "eth0")


@pytest.fixture(params=["fake", pytest.param("netlink", marks=pytest.mark.netns)])
def room(request):
    if request.param == "fake":
        yield FakeRoom()
        return
    namespace = Namespace()
    try:
        namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
        namespace.run("ip", "address", "add", str(OWN), "dev", "eth0")
        namespace.run("ip", "link", "set", "eth0", "up")
        with namespace.entered():
            links = Links()
            opened = route_socket()
            route = opened.__enter__()
        yield RealRoom(namespace, links, route)
        opened.__exit__(None, None, None)
        links.close()
    finally:
        namespace.close()


async def test_what_is_added_is_present_beside_what_was_there(room):
    await room.addresses.add(Vip(VIP), 5)
    await room.addresses.add(Vip(SECOND), None)
    assert await room.addresses.present() == {OWN, VIP, SECOND}


async def test_adding_twice_is_fine(room):
    await room.addresses.add(Vip(VIP), 5)
    await room.addresses.add(Vip(VIP), 5)
    assert await room.addresses.present() == {OWN, VIP}


async def test_removing_is_fine_whether_it_is_there_or_not(room):
    await room.addresses.add(Vip(VIP), 5)
    await room.addresses.remove(Vip(VIP))
    await room.addresses.remove(Vip(VIP))
    assert await room.addresses.present() == {OWN}


async def test_the_prefix_is_part_of_the_address(room):
    await room.addresses.add(Vip(VIP), 5)
    await room.addresses.remove(Vip(IPv4Interface("192.0.2.100/32")))
    assert VIP in await room.addresses.present()


async def test_an_address_is_found_wherever_it_is_and_can_be_removed_from_there(room):
    other = IPv4Interface("192.0.2.100/32")
    await room.addresses.add(Vip(VIP), 5)
    await room.addresses.add(Vip(other), None)
    await room.addresses.add(Vip(SECOND), None)
    found = await room.addresses.everywhere(frozenset({VIP.ip}))
    assert {(placed.index, placed.address) for placed in found} == {
        (room.link.index, VIP),
        (room.link.index, other),
    }
    (misplaced,) = [placed for placed in found if placed.address == other]
    await room.addresses.remove_misplaced(misplaced)
    await room.addresses.remove_misplaced(misplaced)
    assert await room.addresses.present() == {OWN, VIP, SECOND}


@pytest.mark.slow
async def test_a_lifetime_runs_out_by_itself_unless_it_is_renewed(room):
    await room.addresses.add(Vip(VIP), 1)
    await room.addresses.add(Vip(SECOND), 1)
    for _ in range(3):
        await trio.sleep(0.5)
        await room.addresses.add(Vip(SECOND), 1)
    assert await room.addresses.present() == {OWN, SECOND}


@pytest.mark.slow
async def test_a_renewal_can_make_an_address_permanent(room):
    await room.addresses.add(Vip(VIP), 1)
    await room.addresses.add(Vip(VIP), None)
    await trio.sleep(1.4)
    assert VIP in await room.addresses.present()


async def test_a_vanished_interface_has_no_addresses_and_takes_none(room):
    await room.addresses.add(Vip(VIP), 5)
    room.vanish()
    assert await room.addresses.present() == frozenset()
    await room.addresses.remove(Vip(VIP))
    with pytest.raises(KernelError) as caught:
        await room.addresses.add(Vip(VIP), 5)
    assert caught.value.errno == errno.ENODEV
    assert "could not add 192.0.2.100/24 to eth0" in str(caught.value)


@pytest.mark.netns
async def test_the_source_of_adverts_is_the_first_address_that_is_no_vip():
    namespace = Namespace()
    try:
        namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
        for address in (OWN, VIP, SECOND):
            namespace.run("ip", "address", "add", str(address), "dev", "eth0")
        with namespace.entered():
            links = Links()
            with route_socket() as route:
                addresses = NetlinkAddresses(route, links.follow("eth0"))
                assert addresses.first(4, besides=vips((VIP,))) == OWN.ip
                assert addresses.first(4, besides=vips((VIP, OWN, SECOND))) is None
                nowhere = NetlinkAddresses(route, links.follow("eth7"))
                assert nowhere.first(4, besides=()) is None
            links.close()
    finally:
        namespace.close()


@pytest.mark.netns
async def test_another_scope_than_that_of_its_subnet_is_refused_before_it_matters():
    namespace = Namespace()
    try:
        namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
        namespace.run("ip", "address", "add", str(OWN), "dev", "eth0")
        with namespace.entered():
            links = Links()
            with route_socket() as route:
                addresses = NetlinkAddresses(route, links.follow("eth0"))
                addresses.check_scopes((Vip(VIP), Vip(SECOND, scope=Scope.LINK)))
                with pytest.raises(KernelError, match=r"scope link: 192\.0\.2\.1/24 has another"):
                    addresses.check_scopes((Vip(VIP, scope=Scope.LINK),))
                with pytest.raises(KernelError, match="Invalid argument"):
                    await addresses.add(Vip(VIP, scope=Scope.LINK), 5)
            links.close()
    finally:
        namespace.close()


@pytest.mark.netns
async def test_an_ipv6_vip_is_usable_at_once_and_no_source_of_our_own_traffic():
    own, vip = IPv6Interface("fe80::1/64"), IPv6Interface("2001:db8::100/64")
    namespace = Namespace()
    try:
        namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
        give_ipv6(namespace)
        namespace.run("ip", "link", "set", "peer", "up")
        namespace.run("ip", "link", "set", "eth0", "up")
        with namespace.entered():
            links = Links()
            with route_socket() as route:
                addresses = NetlinkAddresses(route, links.follow("eth0"))
                for _ in range(2):  # the second time renews
                    await addresses.add(Vip(vip), 5)
                assert await addresses.present() == {own, vip}
                shown = namespace.run("ip", "-6", "address", "show", "dev", "eth0", "to", str(vip.ip))
                assert "tentative" not in shown
                assert "deprecated" in shown
                assert addresses.first(6, besides=()) == own.ip
                await addresses.remove(Vip(vip))
                await addresses.remove(Vip(vip))
                assert await addresses.present() == {own}
            links.close()
    finally:
        namespace.close()
