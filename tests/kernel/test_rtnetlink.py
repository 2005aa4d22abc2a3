"""Our parser of link and address messages against pyroute2's encoder, and against garbage."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

from hypothesis import given
from hypothesis import strategies as st

from hapair.kernel.rtnetlink import (
    AddressGone,
    AddressSeen,
    Done,
    LinkGone,
    LinkSeen,
    dump_links_request,
    parse,
)

UP, RUNNING = 0x1, 0x40


def link_message(kind: int, *, flags: int = UP | RUNNING, family: int = 0) -> bytes:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = ifinfmsg()
    message["family"], message["index"], message["flags"] = family, 7, flags
    message["attrs"] = [("IFLA_IFNAME", "eth0"), ("IFLA_ADDRESS", "02:00:00:00:00:01"), ("IFLA_MTU", 1500)]
    message["header"]["type"] = kind
    message.encode()
    return bytes(message.data)


def address_message(kind: int, family: int, local: str) -> bytes:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    message = ifaddrmsg()
    message["family"], message["index"], message["prefixlen"] = family, 7, 24
    message["attrs"] = [("IFA_LABEL", "eth0"), ("IFA_LOCAL", local)]
    message["header"]["type"] = kind
    message.encode()
    return bytes(message.data)


def test_a_link_that_is_up_and_running():
    assert list(parse(link_message(16))) == [LinkSeen(7, "eth0", bytes.fromhex("020000000001"), up=True)]


def test_up_without_a_carrier_is_not_up():
    assert list(parse(link_message(16, flags=UP))) == [
        LinkSeen(7, "eth0", bytes.fromhex("020000000001"), up=False)
    ]


def test_a_deleted_link():
    assert list(parse(link_message(17))) == [LinkGone(7)]


def test_a_port_leaving_its_bridge_is_not_a_deleted_link():
    """RTM_DELLINK with AF_BRIDGE."""
    assert list(parse(link_message(17, family=7))) == []


def test_an_address_that_is_there():
    assert list(parse(address_message(20, 2, "192.0.2.100"))) == [
        AddressSeen(7, IPv4Interface("192.0.2.100/24"))
    ]


def test_a_removed_ipv4_address():
    assert list(parse(address_message(21, 2, "192.0.2.100"))) == [
        AddressGone(7, IPv4Interface("192.0.2.100/24"))
    ]


def test_a_removed_ipv6_address():
    assert list(parse(address_message(21, 10, "2001:db8::1"))) == [
        AddressGone(7, IPv6Interface("2001:db8::1/24"))
    ]


def test_addresses_of_other_families_are_none_of_our_business():
    assert list(parse(address_message(21, 12, "192.0.2.100"))) == []
    assert list(parse(address_message(21, 2, "2001:db8::1"))) == []


def test_many_messages_in_one_datagram():
    done = bytes.fromhex("14000000030002000000000000000000") + bytes(4)
    datagram = link_message(16) + address_message(21, 2, "192.0.2.100") + done
    assert [type(notice) for notice in parse(datagram)] == [LinkSeen, AddressGone, Done]


def test_a_truncated_message_is_not_believed():
    whole = address_message(21, 2, "192.0.2.100")
    for length in range(16):
        assert list(parse(whole[:length])) == []


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail(datagram):
    list(parse(datagram))


@given(st.sampled_from([16, 17, 20, 21]), st.binary(max_size=100))
def test_no_body_makes_the_parser_fail(kind, body):
    header = (16 + len(body)).to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(10)
    list(parse(header + body))


def test_the_question_is_a_dump_of_all_links():
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = ifinfmsg(dump_links_request())
    message.decode()
    assert (message["header"]["type"], message["header"]["flags"]) == (18, 0x301)
