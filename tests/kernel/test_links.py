"""What the monitor sees of links and addresses in a real namespace."""

from __future__ import annotations

import logging
from ipaddress import IPv4Interface

import pytest
import trio
from kernel.namespaces import pair

from hapair.kernel.links import Links

pytestmark = pytest.mark.netns


class Witness:
    """Follows eth0 of one namespace and writes down what it is told."""

    def __init__(self, namespace):
        with namespace.entered():
            self.links = Links()
        self.link = self.links.follow("eth0")
        self.states: list[bool] = []
        self.lost: list[IPv4Interface] = []
        self.unsubscribe = self.link.subscribe(
            self.states.append, lambda _index, address: self.lost.append(address)
        )


@pytest.fixture
async def world(nursery):
    with pair() as (a, b):
        witness = Witness(a)
        await nursery.start(witness.links.run)
        yield a, b, witness
        nursery.cancel_scope.cancel()
        witness.links.close()


async def eventually(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.005)


async def test_a_link_is_known_from_the_first_moment(world):
    a, _, witness = world
    assert witness.link.up
    assert a.run("ip", "link", "show", "eth0").startswith(f"{witness.link.index}: ")
    assert witness.link.mac.hex(":") in a.run("ip", "link", "show", "eth0")
    assert witness.states == []


async def test_set_down_and_up(world):
    a, _, witness = world
    a.run("ip", "link", "set", "eth0", "down")
    await eventually(lambda: witness.states == [False])
    a.run("ip", "link", "set", "eth0", "up")
    await eventually(lambda: witness.states == [False, True])


async def test_a_lost_carrier_is_down(world):
    _, b, witness = world
    b.run("ip", "link", "set", "eth0", "down")
    await eventually(lambda: witness.states == [False])
    assert not witness.link.up


async def test_vanished_and_recreated_with_another_index(world):
    a, b, witness = world
    before = witness.link.index
    a.run("ip", "link", "delete", "eth0")
    await eventually(lambda: witness.states == [False])
    a.run("ip", "link", "add", "eth0", "index", "77", "type", "veth", "peer", "name", "eth0", "netns", b.path)
    for namespace in (a, b):
        namespace.run("ip", "link", "set", "eth0", "up")
    await eventually(lambda: witness.states == [False, True])
    assert witness.link.index == 77 != before


async def test_a_renamed_interface_is_gone_until_it_has_its_name_back(world):
    a, _, witness = world
    a.run("ip", "link", "set", "eth0", "down")
    a.run("ip", "link", "set", "eth0", "name", "other0")
    a.run("ip", "link", "set", "other0", "up")
    await eventually(lambda: witness.states == [False])
    await trio.sleep(0.05)
    assert not witness.link.up
    a.run("ip", "link", "set", "other0", "down")
    a.run("ip", "link", "set", "other0", "name", "eth0")
    a.run("ip", "link", "set", "eth0", "up")
    await eventually(lambda: witness.states == [False, True])


async def test_a_new_mac_is_told_like_a_link_that_came_up(world):
    a, _, witness = world
    a.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:42")
    await eventually(lambda: witness.states == [True])
    assert witness.link.mac == bytes.fromhex("020000000042")


async def test_a_removed_address_is_told(world):
    a, _, witness = world
    a.run("ip", "address", "add", "192.0.2.100/24", "dev", "eth0")
    a.run("ip", "address", "del", "192.0.2.100/24", "dev", "eth0")
    await eventually(lambda: witness.lost == [IPv4Interface("192.0.2.100/24")])


async def test_lost_notices_make_it_look_again(world, caplog):
    """More address changes than the socket's buffer holds; the link change among them must not be missed."""
    a, _, witness = world
    batch = "\n".join(
        line
        for n in range(6000)
        for line in (f"address add 198.18.{n % 200}.1/32 dev lo", f"address del 198.18.{n % 200}.1/32 dev lo")
    )
    a.run("ip", "-batch", "-", stdin=f"{batch}\nlink set eth0 down\n")
    with caplog.at_level(logging.INFO):
        await eventually(lambda: witness.states == [False])
    assert "link events were lost" in caplog.text


async def test_nobody_is_told_after_unsubscribing(world):
    a, _, witness = world
    witness.unsubscribe()
    a.run("ip", "link", "set", "eth0", "down")
    await eventually(lambda: not witness.link.up)
    assert witness.states == []


async def test_a_link_that_is_not_there_yet_is_followed(world):
    a, _, witness = world
    late = witness.links.follow("late0")
    assert (late.index, late.up) == (0, False)
    a.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
    for name in ("late0", "late1"):
        a.run("ip", "link", "set", name, "up")
    await eventually(lambda: late.up)
