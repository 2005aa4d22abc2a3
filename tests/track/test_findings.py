"""What a file, and a count of processes, mean."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import TrackRoute
from hapair.track.findings import (
    Found,
    Route,
    file_says,
    ipv4_routes,
    ipv6_routes,
    processes_say,
    routes_say,
)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-5\n", -5), ("  +12 \n", 12), ("253", 253), ("-1000", -1000)]
)
def test_a_file_says_a_number(text, value):
    assert file_says(text) == Found(ok=value == 0, value=value)


def test_a_file_that_is_not_there_says_0():
    assert file_says(None) == Found(ok=True, value=0)


@pytest.mark.parametrize("text", ["", "x", "1 2", "1.5", "0x1", "9999999999", "١"])
def test_anything_else_is_no_number(text):
    assert file_says(text) is None


@given(st.text(max_size=20))
def test_no_text_fails(text):
    found = file_says(text)
    assert found is None or found.value == int(text.strip())


def test_a_quorum_is_enough():
    assert processes_say(2, "nginx", 2) == Found(ok=True)
    assert processes_say(1, "nginx", 2) == Found(ok=False, why="has 1 running (nginx), needs 2")


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t007100CB\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTES6 = """\
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth1
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
"""  # noqa: E501
UPLINK = Route(ip_network("0.0.0.0/0"), ip_address("192.0.2.1"), "eth0")


def test_the_kernels_ipv4_table_is_read_without_what_it_rejects():
    assert ipv4_routes(ROUTES) == [UPLINK, Route(ip_network("192.0.2.0/24"), None, "eth0")]


def test_the_kernels_ipv6_table_is_read_without_what_it_rejects():
    assert ipv6_routes(ROUTES6) == [
        Route(ip_network("2001:db8::/32"), ip_address("fe80::1"), "eth1"),
        Route(ip_network("fe80::/64"), None, "eth0"),
    ]


@pytest.mark.parametrize(
    ("via", "dev", "ok"),
    [(None, None, True), ("192.0.2.1", "eth0", True), ("192.0.2.9", None, False), (None, "eth1", False)],
)
def test_a_route_is_there_as_far_as_it_is_described(via, dev, ok):
    wanted = TrackRoute("r", ip_network("0.0.0.0/0"), ip_address(via) if via else None, dev)
    found = routes_say([UPLINK], wanted)
    assert found.ok is ok
    assert not routes_say([], wanted).ok


def test_a_missing_route_is_described():
    wanted = TrackRoute("r", ip_network("0.0.0.0/0"), ip_address("192.0.2.1"), "eth0")
    assert routes_say([], wanted).why == "is missing (0.0.0.0/0 via 192.0.2.1 dev eth0)"
