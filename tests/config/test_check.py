"""Cross-checks that the golden cases cannot show: what is known from outside, and what must not be said."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hapair.config.load import load_text
from hapair.errors import ConfigError

GOOD = """
[node]
name = "a"
log = { target = "stdout" }
[vrrp.v]
interface = "eth0"
virtual_router_id = 7
addresses = ["192.0.2.1/24"]
[defaults]
timeout = { client = "1s", connect = "1s", server = "1s" }
[frontend.main]
bind = ["192.0.2.1:80", "127.0.0.1:80", "[::1]:80", "*:81"]
default_backend = "web"
[backend.web]
server.a = { address = "192.0.2.10:80", check = true }
server.b = { address = "192.0.2.11:80", check = true }
"""


def said(text: str, **more) -> list[tuple[str, str]]:
    """Path and message of every problem, errors or else warnings."""
    try:
        problems = load_text(text, "node.toml", {}, **more).warnings
    except ConfigError as error:
        problems = error.problems
    return [(problem.path, problem.message) for problem in problems]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_nothing_is_said_about_a_good_file():
    assert said(GOOD) == []


def test_a_bind_to_an_address_of_this_host_is_no_reason_for_a_warning():
    text = changed('"*:81"', '"198.51.100.1:81", "[2001:db8::1]:81"')
    both = ("frontend.main.bind[3]", "frontend.main.bind[4]")
    assert tuple(path for path, _ in said(text)) == both
    assert tuple(path for path, _ in said(text, local_addresses={ip_address("198.51.100.1")})) == both[1:]


def test_each_vip_of_each_instance_may_be_bound():
    more = '[vrrp.w]\ninterface = "eth0"\nvirtual_router_id = 8\naddresses = ["198.51.100.1"]\n'
    assert said(changed('"*:81"', '"198.51.100.1:81"') + more) == []


def test_one_virtual_router_id_on_two_interfaces_is_fine():
    more = '[vrrp.w]\ninterface = "eth1"\nvirtual_router_id = 7\naddresses = ["198.51.100.1"]\n'
    assert said(GOOD + more) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:9", "127.0.0.1:9", True),
        ("127.0.0.1:9", "127.0.0.2:9", False),
        ("127.0.0.1:9", "127.0.0.1:8", False),
        ("127.0.0.1:9", "*:9", True),
        ("*:9", "0.0.0.0:9", True),
        ("*:9", "[::]:9", False),
        ("[::]:9", "[::1]:9", True),
        ("/run/a.sock", "/run/a.sock", True),
        ("/run/a.sock", "/run/b.sock", False),
        ("fd@5", "fd@5", True),
        ("fd@5", "fd@6", False),
    ],
)
def test_two_listeners_clash_exactly_where_the_kernel_says_so(one, other, clash):
    text = changed(
        'bind = ["192.0.2.1:80", "127.0.0.1:80", "[::1]:80", "*:81"]', f'bind = ["{one}", "{other}"]'
    )
    assert any("already taken" in message for _, message in said(text)) == clash


def test_a_track_that_the_servers_can_meet_is_fine():
    for track, words in (("backend.web", None), ("backend.web>=2", None), ("backend.web>=3", "never")):
        found = said(changed('"192.0.2.1/24"]\n', f'"192.0.2.1/24"]\ntrack = ["{track}"]\n'))
        assert [words in message for _, message in found] == ([True] if words else [])


def test_a_track_is_use_enough_of_a_backend():
    text = changed('"192.0.2.1/24"]\n', '"192.0.2.1/24"]\ntrack = ["backend.other"]\n')
    text += '[backend.other]\nserver.a = { address = "192.0.2.12:80", check = true }\n'
    assert said(text) == []


def test_a_warning_about_defaults_is_given_once():
    text = (
        changed("[defaults]\n", "[defaults]\nmaxconn = 5000\n")
        + '[frontend.two]\nbind = "*:82"\ndefault_backend = "web"\n'
    )
    assert [path for path, _ in said(text)] == ["defaults.maxconn"]


def test_http_1_1_checks_without_host_are_told_once():
    with_host = 'httpchk = { version = "HTTP/1.1", headers = { host = "a" } }\n'
    assert said(changed("[defaults]\n", f"[defaults]\n{with_host}")) == []
    found = said(changed("[defaults]\n", '[defaults]\nhttpchk = "GET / HTTP/1.1"\n'))
    assert [path for path, _ in found] == ["defaults.httpchk"]


def test_what_defaults_say_about_http_is_no_mistake_of_a_tcp_backend():
    text = changed(
        "[defaults]\n", '[defaults]\nforwardfor = true\nhttp_server_close = true\nlog_format = "httplog"\n'
    )
    assert said(text) == []


def test_warnings_do_not_follow_from_errors():
    found = said(changed("virtual_router_id = 7", "virtual_router_id = 0"))
    assert [path for path, _ in found] == ["vrrp.v.virtual_router_id"]
