"""`hapair doctor` in namespaces: a healthy pair, and labs in which everything is wrong on purpose."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from cli.speaker import B, Speaker, advert
from kernel.namespaces import pair
from vrrp.processes import INTERRUPTIBLE, Program, node

from hapair.vrrp import wire

pytestmark = [pytest.mark.netns, pytest.mark.slow]

ROUTER = """
[vrrp.{name}]
interface = "{interface}"
virtual_router_id = {vrid}
addresses = ["{address}"]
advert_interval = "100ms"
{more}
"""

CLOSED = """
add table inet f
add chain inet f i { type filter hook input priority 0; policy drop; }
add rule inet f i ct state established accept
"""


def router(name, vrid, address, interface="eth0", more=""):
    return ROUTER.format(name=name, vrid=vrid, address=address, interface=interface, more=more)


class Practice:
    """Two namespaces, and the doctor in the first."""

    def __init__(self, a, b, directory):
        self.a, self.b = a, b
        self._file = directory / "node.toml"

    def command(self, *routers, head='[node]\nname = "a"\n', seconds=1.0):
        self._file.write_text(head + "".join(routers))
        doctor = [sys.executable, "-u", "-m", "hapair", "doctor", str(self._file)]
        return [*doctor, "--seconds", str(seconds)]

    def visit(self, *routers, meanwhile=lambda: None, **options):
        """The exit code, and level and text of each finding."""
        program = Program(self.a, *self.command(*routers, **options))
        while program.process.poll() is None:
            meanwhile()
            try:
                program.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        program.close()
        found = [line.split(maxsplit=1) for line in program.lines if line[:1] in ("o", "n", "p")]
        return program.process.returncode, {text: level for level, text in found}


@pytest.fixture
def practice(tmp_path):
    with pair() as (a, b):
        yield Practice(a, b, tmp_path)


def problems(findings):
    return {text for text, level in findings.items() if level == "problem"}


def test_a_healthy_pair_has_no_problem(practice):
    peer = node(practice.b, 150, 0.1, 1.0)
    peer.wait_for("Entering MASTER STATE")
    code, findings = practice.visit(router("web", 51, "192.0.2.100/24"))
    peer.close()
    assert problems(findings) == set()
    assert code == 0
    assert any("is MASTER with priority 150, ours is 100" in text for text in findings)


def test_strangers_on_the_segment_are_named(practice):
    speaker = Speaker(practice.b)
    adverts = [
        advert(B, 90, wire.Dialect(2, 1.0), vrid=51),
        advert(B, 90, vrid=52),
        advert(B, 90, wire.Dialect(2, 1.0, b"other"), vrid=53),
    ]

    def speak():
        for payload in adverts:
            speaker.say(B, payload)

    practice.b.run("ip", "address", "add", "192.0.2.103/24", "dev", "eth0")
    mac = practice.b.run("ip", "-br", "link", "show", "eth0").split()[2]
    secret = 'version = 2\nauth_pass = "secret"\n'
    code, findings = practice.visit(
        router("old", 51, "192.0.2.100/24"),
        router("twin", 52, "192.0.2.101/24"),
        router("auth", 53, "192.0.2.102/24", more=secret).replace("100ms", "1s"),
        router("taken", 54, "192.0.2.103/24"),
        router("peers", 55, "192.0.2.104/24", more='unicast_peers = ["192.0.2.77"]'),
        meanwhile=speak,
    )
    speaker.close()
    who = f"192.0.2.2 ({mac})"
    assert code == 1
    assert problems(findings) == {
        f"vrrp.old: {who} speaks version 2, this node version 3",
        f"vrrp.twin: virtual_router_id 52 is already used by {who} for 192.0.2.100",
        f"vrrp.auth: virtual_router_id 53 is already used by {who} for 192.0.2.100",
        f"vrrp.taken: {mac} answers for 192.0.2.103, and no master is heard",
        "vrrp.peers: peer 192.0.2.77 answers no ping and sends no adverts",
    }


def test_a_host_that_is_not_ready_is_told_what_to_do(practice):
    host = practice.a
    host.run("ip", "address", "add", "192.0.2.100/24", "dev", "eth0")  # a leftover
    host.run("ip", "link", "set", "eth0", "multicast", "off")
    host.run("nft", "-f", "-", stdin=CLOSED)
    for name, *kind in (("down0", "type", "veth", "peer", "name", "down1"), ("br0", "type", "bridge")):
        host.run("ip", "link", "add", name, *kind)
    host.run("ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "1")
    host.run("ip", "address", "add", "198.51.100.1/24", "dev", "br0")
    host.run("ip", "link", "set", "br0", "up")
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/br0/disable_ipv6")
    code, findings = practice.visit(
        router("web", 51, "192.0.2.100/24"),
        router("gone", 52, "192.0.2.101/24", interface="eth9"),
        router("down", 53, "192.0.2.102/24", interface="down0"),
        router("six", 54, "fe80::64/64", interface="br0"),
        head='[node]\nname = "a"\nuser = "no-such-user"\nmaxconn = 100000000\n',
    )
    assert code == 1
    descriptors = {text for text in problems(findings) if text.endswith("maxconn 100000000 needs 200000100")}
    assert problems(findings) - descriptors == {
        "vrrp.web: eth0 has no MULTICAST flag",
        "vrrp.web: the firewall drops adverts (protocol 112, chain inet f i)",
        "vrrp.web: 192.0.2.100 on eth0 already, and nobody here advertises it",
        "vrrp.gone: there is no interface eth9",
        "vrrp.down: down0 is down",
        "vrrp.down: down0 has no IPv4 address of its own",
        "vrrp.down: the firewall drops adverts (protocol 112, chain inet f i)",
        "vrrp.six: br0 has no IPv6 link-local address of its own",
        "vrrp.six: IPv6 is disabled on br0",
        "vrrp.six: the firewall drops adverts (protocol 112, chain inet f i)",
        'host: there is no user "no-such-user"',
    }
    assert len(descriptors) == 1
    assert findings["vrrp.six: bridge br0 snoops multicast, and sends no queries itself"] == "note"


def test_without_permissions_it_says_which_are_missing_and_what_it_could_not_see(practice):
    command = practice.command(router("web", 51, "192.0.2.100/24"), seconds=0.2)
    words = ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin", *command]
    done = subprocess.run(practice.a.command(*words), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "host: no CAP_NET_RAW here" in done.stdout
    assert "host: no CAP_NET_ADMIN here" in done.stdout
    assert "could not watch eth0: Operation not permitted" in done.stdout
    assert "not known whether the firewall" in done.stdout


def test_ctrl_c_ends_it_at_once(practice):
    command = practice.command(router("web", 51, "192.0.2.100/24"), seconds=60)
    program = Program(practice.a, *INTERRUPTIBLE, *command)
    try:
        program.wait_for("listening and asking for 60 s")
        program.signal(signal.SIGINT)
        assert program.process.wait(5) == 130
    finally:
        program.close()
    assert program.lines == ["listening and asking for 60 s"]
