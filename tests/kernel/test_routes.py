"""Virtual routes and rules in a real kernel: added, kept, removed, and deleted by bytes alone."""

from __future__ import annotations

import socket
from ipaddress import IPv4Interface, ip_address, ip_network

import attrs
import pytest
from kernel.namespaces import Namespace, give_ipv6, pair

from hapair.config.model import VirtualRoute, VirtualRule, VrrpInstance
from hapair.kernel.links import Links
from hapair.kernel.route_socket import route_socket
from hapair.kernel.routes import NetlinkRoutes

pytestmark = pytest.mark.netns

NETWORK = ip_network("198.51.100.0/24")
INSTANCE = VrrpInstance(
    "web",
    "eth0",
    51,
    (IPv4Interface("192.0.2.100/24"),),
    virtual_routes=(
        VirtualRoute(NETWORK, ip_address("192.0.2.2"), metric=50, table=100),
        VirtualRoute(ip_network("203.0.113.0/24"), src=ip_address("192.0.2.1")),
        VirtualRoute(ip_network("::/0"), ip_address("fe80::2"), dev="eth0"),
    ),
    virtual_rules=(
        VirtualRule(100, 1000, source=ip_network("192.0.2.100/32")),
        VirtualRule(100, 1001, to=ip_network("2001:db8::/32")),
    ),
)


@pytest.fixture
def namespace():
    with pair() as (ours, theirs):
        give_ipv6(ours, theirs)
        yield ours


@pytest.fixture
def routes(namespace):
    with namespace.entered():
        links = Links()
        opened = route_socket()
        route = opened.__enter__()
    yield NetlinkRoutes(route, links.follow("eth0"))
    opened.__exit__(None, None, None)
    links.close()


def seen(namespace: Namespace) -> list[str]:
    shown = (
        namespace.run("ip", "route", "show", "table", "100")
        + namespace.run("ip", "route", "show", "203.0.113.0/24")
        + namespace.run("ip", "-6", "route", "show", "default")
        + namespace.run("ip", "rule", "show", "table", "100")
        + namespace.run("ip", "-6", "rule", "show", "table", "100")
    )
    return [" ".join(line.split()) for line in shown.splitlines()]


EVERYTHING = [
    "198.51.100.0/24 via 192.0.2.2 dev eth0 proto static metric 50",
    "203.0.113.0/24 dev eth0 proto static scope link src 192.0.2.1",
    "default via fe80::2 dev eth0 proto static metric 1024 pref medium",
    "1000: from 192.0.2.100 lookup 100",
    "1001: from all to 2001:db8::/32 lookup 100",
]


async def test_they_come_and_stay_and_go(namespace, routes):
    namespace.run("ip", "route", "add", "192.0.2.100/32", "dev", "eth0", "table", "100")
    namespace.run("ip", "route", "flush", "table", "100")
    await routes.remove(INSTANCE)  # nothing is there
    await routes.add(INSTANCE)
    assert seen(namespace) == EVERYTHING
    await routes.add(INSTANCE)
    assert seen(namespace) == EVERYTHING, "twice is once"
    await routes.remove(INSTANCE)
    assert seen(namespace) == []


async def test_the_guards_requests_delete_them_without_us(namespace, routes):
    await routes.add(INSTANCE)
    with namespace.entered():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with sock:
        for request in routes.deletions(INSTANCE):
            sock.send(request)
    assert seen(namespace) == []


async def test_what_cannot_be_added_is_said_once_and_tried_again(namespace, routes, caplog):
    far = attrs.evolve(
        INSTANCE, virtual_routes=(VirtualRoute(NETWORK, ip_address("192.0.99.1")),), virtual_rules=()
    )
    nowhere = attrs.evolve(INSTANCE, virtual_routes=(VirtualRoute(NETWORK, dev="eth7"),), virtual_rules=())
    for _ in range(3):
        await routes.add(far)
        await routes.add(nowhere)
    assert caplog.text.count("cannot be added") == 2
    assert routes.deletions(nowhere) == ()
    await routes.remove(nowhere)
    namespace.run("ip", "address", "add", "192.0.99.2/24", "dev", "eth0")
    await routes.add(far)
    assert "192.0.99.1" in namespace.run("ip", "route", "show", str(NETWORK))
