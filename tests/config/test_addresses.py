"""How addresses are spelled."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config import addresses
from hapair.config.fields import FieldError
from hapair.config.model import Bind


def refusal(parser, value) -> FieldError:
    with pytest.raises(FieldError) as caught:
        parser(value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("192.0.2.1:80", Bind("192.0.2.1:80", host=IPv4Address("192.0.2.1"), port=80)),
        ("*:65535", Bind("*:65535", port=65535)),
        (":80", Bind(":80", port=80)),
        ("[2001:db8::1]:443", Bind("[2001:db8::1]:443", host=IPv6Address("2001:db8::1"), port=443)),
        ("/run/x.sock", Bind("/run/x.sock", path="/run/x.sock")),
        ("fd@3", Bind("fd@3", fd=3)),
    ],
)
def test_binds_take_six_forms(text, bind):
    assert addresses.bind(text) == bind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.1", "no port"),
        ("192.0.2.1:", "expected"),
        ("192.0.2.1:0", "outside 1..65535"),
        ("192.0.2.1:65536", "outside 1..65535"),
        ("192.0.2.1:+80", "expected"),
        ("192.0.2.1: 80", "expected"),
        ("192.0.2.1:٨٠", "expected"),
        ("192.0.2.01:80", "not an IPv4 address"),
        ("192.0.2:80", "not an IPv4 address"),
        ("::1:80", "brackets"),
        ("[::1]", "expected"),
        ("[192.0.2.1]:80", "not an IPv6 address"),
        ("[::1]]:80", "expected"),
        ("localhost:80", "not a name"),
        ("fd@0", "3 or higher"),
        ("fd@-1", "3 or higher"),
        ("/" + "x" * 107, "longer than 107"),
        ("", "got nothing"),
        (80, "got 80"),
    ],
)
def test_no_other_bind_is_taken(text, words):
    assert words in refusal(addresses.bind, text).message


def test_a_bad_port_is_pointed_at():
    assert refusal(addresses.bind, "192.0.2.1:70000").offset == 10
    assert refusal(addresses.bind, ":70000").offset == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("web-1.example.org:8080", ("web-1.example.org", 8080)),
        ("[2001:DB8::1]:80", ("2001:db8::1", 80)),
        ("/run/app.sock", ("/run/app.sock", 0)),
    ],
)
def test_servers_are_addresses_names_or_sockets(text, found):
    assert addresses.server(text) == found


@pytest.mark.parametrize(
    "text", ["*:80", "a b:80", "1.2.3.4.5:80", "a..b:80", ":80", "-a:80", "a/b:80", "http://a:80", "a"]
)
def test_no_other_server_is_taken(text):
    refusal(addresses.server, text)


def test_vips_have_a_prefix_length_and_32_without():
    assert addresses.vip("192.0.2.1/24") == IPv4Interface("192.0.2.1/24")
    assert addresses.vip("192.0.2.1") == IPv4Interface("192.0.2.1/32")


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1/255.255.255.0",
        "192.0.2.1/33",
        "192.0.2.1/",
        "192.0.2.1/024",
        "224.0.0.18",
        "0.0.0.0",
        "::1/128",
        "x",
        1,
    ],
)
def test_no_other_vip_is_taken(text):
    refusal(addresses.vip, text)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32", "::1", "::/0", "0.0.0.0/0"])
def test_networks_of_both_families(text):
    assert addresses.cidr(text) == ip_network(text)


@pytest.mark.parametrize(
    "text", ["10.0.0.0/255.0.0.0", "10.0.0.0/33", "::/129", "10/8", "fe80::1%eth0", "x", ""]
)
def test_no_other_network_is_taken(text):
    refusal(addresses.cidr, text)


def test_bits_beyond_the_prefix_get_a_suggestion():
    assert refusal(addresses.cidr, "10.1.2.3/8").message.endswith('did you mean "10.0.0.0/8"?')
    assert refusal(addresses.cidr, "::1/64").message.endswith('did you mean "::/64"?')


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_can_be_bound_probed_and_listened_on(address, port):
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert addresses.bind(text) == Bind(text, host=address, port=port)
    assert addresses.server(text) == (str(address), port)
    assert addresses.listen(text) == (str(address), port)


@pytest.mark.parametrize(
    "text",
    [
        "stdout",
        "stderr",
        "/dev/log",
        "192.0.2.1:514",
        "logs.example.org:514",
        "[::1]:514",
        "tcp@192.0.2.1:601",
        "tcp@[::1]:601",
    ],
)
def test_log_targets(text):
    assert addresses.log_target(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "syslog",
        "stdin",
        "dev/log",
        "192.0.2.1",
        "192.0.2.999:514",
        "*:514",
        "tcp@192.0.2.1",
        "tcp@",
        "udp@192.0.2.1:514",
        "tcp@tcp@192.0.2.1:514",
    ],
)
def test_no_other_log_target_is_taken(text):
    refusal(addresses.log_target, text)


def test_a_host_to_check_has_no_port():
    assert addresses.host("192.0.2.1") == "192.0.2.1"
    assert "has a port" in refusal(addresses.host, "192.0.2.1:80").message
