"""A whole node whose gateway, interface, script and file change: what it tracks decides what it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kernel.namespaces import only_where_scripts_run, pair
from vrrp.processes import Program

from hapair.app.trackers import PINGS, interfaces, ping_plan, pings, watched
from hapair.config.load import load_text
from hapair.config.model import CheckKind

NODE = """
[node]
name = "lb-a"
log = {{ target = "stdout" }}
[track_script.chk]
user = "root"
script = ["/bin/cat", "{folder}/healthy"]
interval = "50ms"
timeout = "5s"
[track_ping.gw]
address = "192.0.2.2"
interval = "50ms"
timeout = "200ms"
rise = 1
fall = 2
[track_file.f]
file = "{folder}/number"
interval = "50ms"
[track_route.up]
destination = "203.0.113.0/24"
via = "192.0.2.2"
interval = "50ms"
[track_file.unused]
file = "{folder}/unused"
[vrrp.web]
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["192.0.2.100/24"]
track = ["interface.eth9", "ping.gw weight -30", "script.chk weight -20", "file.f", "route.up weight -10"]
"""


def text(folder: Path) -> str:
    return NODE.format(folder=folder)


def test_only_what_a_router_tracks_is_watched(tmp_path):
    config = load_text(text(tmp_path), "node.toml", {}).config
    assert watched(config).keys() == {("script", "chk"), ("file", "f"), ("route", "up")}
    assert interfaces(config) == {"eth9"}
    (ping,) = pings(config)
    assert (ping_plan(ping).kind, ping_plan(ping).host) == (CheckKind.ICMP, "192.0.2.2")
    assert " " in PINGS, "a backend's name has no blank"


@pytest.mark.netns
@pytest.mark.slow
def test_every_kind_of_tracker_moves_the_priority_or_stops_the_router(tmp_path):
    only_where_scripts_run()
    file = tmp_path / "node.toml"
    file.write_text(text(tmp_path))
    (tmp_path / "healthy").touch()
    with pair() as (node, gateway):
        node.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "there")
        for name in ("eth9", "there"):
            node.run("ip", "link", "set", name, "up")
        program = Program(node, sys.executable, "-m", "hapair", "run", str(file))
        try:
            program.wait_for("Entering MASTER STATE")
            (tmp_path / "number").write_text("-7\n")
            program.wait_for("from 140 to 133: file f says -7 (-7)")
            (tmp_path / "healthy").unlink()
            program.wait_for("from 133 to 113")
            gateway.run("ip", "address", "del", "192.0.2.2/24", "dev", "eth0")
            program.wait_for("from 113 to 83")
            node.run("ip", "link", "set", "there", "down")
            program.wait_for("Entering FAULT STATE")
            assert program.said("interface eth9 is down (FAULT)")
            node.run("ip", "link", "set", "there", "up")
            program.wait_for("Entering MASTER STATE", times=2)
            gateway.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
            (tmp_path / "healthy").touch()
            (tmp_path / "number").unlink()
            node.run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.2")
            program.wait_for(" to 150: what it tracks is well again")
            assert not program.said("Traceback")
        finally:
            program.close()
