"""What the host itself knows about a configuration."""

from __future__ import annotations

from ipaddress import ip_address

from hapair.app.check import LocalAddresses, load_text_config


def test_an_address_of_this_host_is_known():
    assert ip_address("127.0.0.1") in LocalAddresses()


def test_an_address_of_nobody_is_not():
    for address in ("192.0.2.77", "2001:db8::77", "fe80::1", "ff02::1"):
        assert ip_address(address) not in LocalAddresses()


def test_a_bind_to_an_address_of_nobody_gets_a_warning():
    binds = 'bind = ["192.0.2.77:80", "127.0.0.1:80"]'
    text = f'[node]\nname = "a"\n[frontend.main]\n{binds}\ntimeout = {{ client = "1s" }}\n'
    paths = [problem.path for problem in load_text_config(text, "node.toml", {}).warnings]
    assert paths == ["frontend.main", "frontend.main.bind[0]"]
