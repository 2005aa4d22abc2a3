"""A whole node on an IPv6 VIP: it answers there while it is MASTER, and not after its death."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from kernel.namespaces import Namespace, give_ipv6, pair, wait_for
from vrrp.processes import Program

pytestmark = [pytest.mark.netns, pytest.mark.slow]

NODE = """
[node]
name = "lb-a"
log = { target = "stdout" }
[vrrp.web]
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["fe80::100/64", "2001:db8::100/64"]
[defaults]
mode = "http"
timeout = { connect = "1s", client = "1s", server = "1s" }
[frontend.main]
bind = ["[2001:db8::100]:80"]
stats = { uri = "/" }
"""


def ask(client: Namespace) -> str:
    """The status of an answer on the VIP, or curl's exit code."""
    command = client.command(
        "curl", "-s", "-g", "-o", "/dev/null", "-m", "1", "-w", "%{http_code}", "http://[2001:db8::100]/"
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return done.stdout if done.returncode == 0 else f"curl {done.returncode}"


def test_the_vip_answers_while_the_node_is_master_and_is_gone_when_it_was_killed(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text(NODE)
    with pair() as (node, client):
        give_ipv6(node, client)
        client.run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
        program = Program(node, sys.executable, "-m", "hapair", "run", str(file))
        try:
            program.wait_for("Entering MASTER STATE")
            wait_for(lambda: ask(client) == "200", what="an answer on the VIP")
            assert {"fe80::100/64", "2001:db8::100/64"} <= node.addresses()
            program.signal(signal.SIGKILL)
            wait_for(lambda: node.addresses() == {"192.0.2.1/24", "fe80::1/64"}, what="the guard's work")
            assert ask(client).startswith("curl")
        finally:
            program.close()
