"""The requests that put VIPs into the kernel and take them off, read by pyroute2."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from hapair.config.model import Scope, Vip
from hapair.vrrp.addresses import FOREVER, add_address, delete_address


def read(request: bytes):
    message = ifaddrmsg(request)
    message.decode()
    assert message["header"]["length"] == len(request)
    assert len(request) % 4 == 0
    return message


@pytest.mark.parametrize(("acknowledged", "flags"), [(False, 1), (True, 5)])
def test_one_is_deleted(acknowledged, flags):
    message = read(delete_address(7, Vip(ip_interface("192.0.2.100/24")), acknowledged=acknowledged))
    assert (message["family"], message["prefixlen"], message["index"]) == (2, 24, 7)
    assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS") == "192.0.2.100"
    assert (message["header"]["type"], message["header"]["flags"]) == (21, flags)


def test_one_is_added_or_renewed():
    vip = Vip(ip_interface("192.0.2.100/24"), scope=Scope.LINK, label="eth0:web")
    message = read(add_address(7, vip, 2))
    assert (message["family"], message["prefixlen"], message["index"]) == (2, 24, 7)
    assert (message["scope"], message["flags"]) == (253, 0)
    assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS") == "192.0.2.100"
    assert message.get_attr("IFA_LABEL") == "eth0:web"
    lifetimes = message.get_attr("IFA_CACHEINFO")
    assert (lifetimes["ifa_preferred"], lifetimes["ifa_valid"]) == (2, 2)
    assert (message["header"]["type"], message["header"]["flags"]) == (20, 0x505)


def test_one_of_ipv6_is_usable_at_once_and_no_source():
    message = read(add_address(7, Vip(ip_interface("2001:db8::100/64")), None))
    assert (message["family"], message["prefixlen"], message["flags"]) == (10, 64, 2)
    assert message.get_attr("IFA_ADDRESS") == "2001:db8::100"
    lifetimes = message.get_attr("IFA_CACHEINFO")
    assert (lifetimes["ifa_preferred"], lifetimes["ifa_valid"]) == (0, FOREVER)
