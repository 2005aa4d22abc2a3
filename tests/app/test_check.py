"""What the host itself knows about a configuration."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest

from hapair.app.check import LocalAddresses, load_text_config
from hapair.errors import ConfigError


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


def scripted(program) -> str:
    return f"""
[node]
name = "a"
{'script_user = "root"' if os.geteuid() == 0 else ""}
[vrrp.web]
interface = "eth0"
virtual_router_id = 1
addresses = ["192.0.2.1"]
notify_master = ["{program}", "x"]
"""


def test_a_script_that_is_missing_gets_a_warning(tmp_path):
    (warning,) = load_text_config(scripted(tmp_path / "none"), "node.toml", {}).warnings
    assert (warning.path, warning.message) == ("vrrp.web.notify_master", "there is no such program here")


def test_a_script_that_anybody_could_change_is_an_error(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert load_text_config(scripted(program), "node.toml", {}).warnings == ()
    program.chmod(0o777)
    with pytest.raises(ConfigError) as caught:
        load_text_config(scripted(program), "node.toml", {})
    (problem,) = caught.value.problems
    assert problem.message == f"it is not safe to run: anybody can write to {program}"
