"""Client addresses against addresses and networks, with the standard library as oracle."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.rules import networks
from hapair.rules.lexer import RuleError, Word, split
from hapair.rules.networks import address_test

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)


@st.composite
def network(draw, address, bits):
    return ip_network((int(draw(address)), draw(st.integers(0, bits))), strict=False)


@given(
    st.lists(st.one_of(network(v4, 32), network(v6, 128)), min_size=1, max_size=5),
    st.data(),
)
def test_an_address_matches_when_it_is_in_one_of_the_networks(listed, data):
    inside = data.draw(st.sampled_from(listed))
    address = data.draw(
        st.one_of(
            st.integers(0, inside.num_addresses - 1).map(lambda host: inside[host]),
            v4,
            v6.filter(lambda a: a.ipv4_mapped is None),
        )
    )
    if address.version == 4:
        mapped = ip_address(f"::ffff:{address}")
        expected = any((address if n.version == 4 else mapped) in n for n in listed)
    else:
        expected = any(n.version == 6 and address in n for n in listed) or (
            address.ipv4_mapped is not None
            and any(n.version == 4 and address.ipv4_mapped in n for n in listed)
        )
    test = address_test([Word(str(n), 0) for n in listed])
    assert test(str(address)) == expected
    assert test(str(address)) == expected  # from memory


def test_an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client():
    assert address_test(split("192.0.2.0/24"))("::ffff:192.0.2.1")
    assert address_test(split("::ffff:192.0.2.0/120"))("192.0.2.1")


@pytest.mark.parametrize("spoofed", ["2002:a01:203::1", "::10.1.2.3", "64:ff9b::10.1.2.3"])
def test_addresses_that_only_contain_an_ipv4_address_are_not_that_address(spoofed):
    assert not address_test(split("10.0.0.0/8"))(spoofed)


def test_a_network_may_be_written_with_its_mask_or_a_host_in_it():
    assert address_test(split("10.1.2.3/255.255.0.0"))("10.1.9.9")
    assert address_test(split("10.1.2.3/16"))("10.1.9.9")


@pytest.mark.parametrize("sample", ["", "unix", "/run/x.sock", "1.2.3", "10.1.2.3/8"])
def test_what_is_no_address_matches_nothing(sample):
    assert not address_test(split("0.0.0.0/0 ::/0"))(sample)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "10.0.0",
        "10.0.0.256",
        "::1/129",
        "host",
        "10.0.0.0/0.0.0.255",
        "fe80::1%eth0",
        "٣.0.0.1",
    ],
)
def test_what_is_no_network_is_refused_with_its_place(text):
    with pytest.raises(RuleError) as caught:
        address_test(split(f"::1 {text}"))
    assert caught.value.offset == 4


def test_answers_are_remembered_up_to_a_bound(monkeypatch):
    asked = []
    contain = networks._Networks.contain
    monkeypatch.setattr(
        networks._Networks, "contain", lambda self, sample: asked.append(sample) or contain(self, sample)
    )
    monkeypatch.setattr(networks, "REMEMBERED", 2)
    test = address_test(split("10.0.0.0/8"))
    for sample in ("10.0.0.1", "10.0.0.1", "11.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"):
        assert test(sample) == sample.startswith("10.")
    assert asked == ["10.0.0.1", "11.0.0.1", "10.0.0.2", "10.0.0.1"]
