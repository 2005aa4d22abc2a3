"""configs/hapair.service: what systemd would do with the node, and what it would let it see."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest
from app.node import running
from app.test_privileges import needs_root

from hapair.kernel import guard_child
from hapair.vrrp.guard import LONGEST_SKEW, RELIEF_MARGIN

UNIT = Path(__file__).parents[2] / "configs" / "hapair.service"


@pytest.fixture
def service() -> dict[str, str]:
    parser = RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read(UNIT)
    return dict(parser["Service"])


def test_guard_and_workers_are_not_killed_while_they_serve_until_the_peer_does(service):
    assert service["KillMode"] == "process"


def test_the_next_node_starts_when_the_workers_of_the_last_have_let_go_of_their_ports(service):
    assert float(service["RestartSec"]) > LONGEST_SKEW + RELIEF_MARGIN + guard_child.END_TIMEOUT


@pytest.mark.parametrize("hidden", ["ProcSubset", "ProtectProc", "ProtectKernelTunables"])
def test_what_trackers_and_routers_need_of_proc_is_not_hidden(service, hidden):
    assert hidden not in service


NODE = """
[node]
name = "a"
log = { target = "stderr" }

[vrrp.web]
interface = "eth0"
virtual_router_id = 1
addresses = ["192.0.2.100/24"]
promote_secondaries = true
"""
"""With a router that would have a setting changed."""

HIDING = """
ip link add eth0 type veth peer name eth1
ip address add 192.0.2.1/24 dev eth0
ip link set eth1 up
ip link set eth0 up
mount -t proc -o subset=pid,hidepid=invisible proc /proc
exec "$@"
"""
"""What ProcSubset=pid and ProtectProc=invisible do, in a network of its own."""


@needs_root
@pytest.mark.slow
def test_a_node_that_sees_no_settings_starts_all_the_same(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(NODE)
    with running(path, within=("unshare", "--net", "--mount", "sh", "-ec", HIDING, "sh")) as daemon:
        missing = "/proc/sys/net: No such file or directory"
        assert f"ipv4/conf/eth0/promote_secondaries cannot be set: {missing}" in daemon.text()
        assert daemon.end() == 0
