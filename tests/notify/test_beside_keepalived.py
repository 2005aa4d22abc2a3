"""The same faults, and every word that scripts and FIFO readers hear from keepalived 2.2.7 and from us."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from kernel.namespaces import only_where_scripts_run, pair, wait_for
from vrrp.processes import VIP, Program

pytestmark = [pytest.mark.interop, pytest.mark.netns, pytest.mark.slow]

KEEPALIVED = """
global_defs {{
    vrrp_version 3
    script_user root
    vrrp_notify_fifo {directory}/fifo
}}
vrrp_instance web {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 0.1
    virtual_ipaddress {{
        {vip} dev eth0
    }}
    notify "{directory}/any general"
    notify_master "{directory}/own master one"
    notify_backup "{directory}/own backup"
    notify_fault "{directory}/own fault"
    notify_stop "{directory}/own stop"
}}
"""

KEEPALIVED_GROUP = """
vrrp_sync_group edge {{
    group {{
        web
        db
    }}
    notify "{directory}/any general"
    notify_master "{directory}/own master one"
    notify_backup "{directory}/own backup"
    notify_fault "{directory}/own fault"
    notify_stop "{directory}/own stop"
}}
vrrp_instance db {{
    state BACKUP
    interface eth0
    virtual_router_id 52
    priority 150
    advert_int 0.1
    virtual_ipaddress {{
        192.0.2.101/24 dev eth0
    }}
}}
"""

HAPAIR = """
[node]
name = "lb-a"
log = {{ target = "stdout" }}
script_user = "root"
notify_fifo = "{directory}/fifo"
event_log = "{directory}/events"

[vrrp.web]
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["{vip}"]
notify = ["{directory}/any", "general"]
notify_master = ["{directory}/own", "master", "one"]
notify_backup = ["{directory}/own", "backup"]
notify_fault = ["{directory}/own", "fault"]
notify_stop = ["{directory}/own", "stop"]
"""

HAPAIR_GROUP = """
[vrrp.db]
interface = "eth0"
virtual_router_id = 52
priority = 150
advert_interval = "100ms"
addresses = ["192.0.2.101/24"]

[sync_group.edge]
instances = ["web", "db"]
notify = ["{directory}/any", "general"]
notify_master = ["{directory}/own", "master", "one"]
notify_backup = ["{directory}/own", "backup"]
notify_fault = ["{directory}/own", "fault"]
notify_stop = ["{directory}/own", "stop"]
"""

SCRIPT = """#!/bin/sh
printf '[%s]' "$@" >> {0}.heard
echo >> {0}.heard
"""


class Side:
    """One program alone on its wire, and what it made others hear."""

    def __init__(self, directory: Path, namespace, peer, configuration: str, *command: str) -> None:
        directory.mkdir()
        self.directory, self.namespace, self.peer = directory, namespace, peer
        for name in ("any", "own"):
            script = directory / name
            script.write_text(SCRIPT.format(script))
            script.chmod(0o755)
            Path(f"{script}.heard").touch()
        os.mkfifo(directory / "fifo", 0o600)
        self._reader = os.open(directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        path = directory / "configuration"
        path.write_text(configuration.format(directory=directory, vip=VIP))
        self.program = Program(namespace, *(word.format(path=path) for word in command))

    def wire(self, state: str) -> None:
        self.peer.run("ip", "link", "set", "eth0", state)

    def heard(self, name: str) -> list[str]:
        return Path(f"{self.directory / name}.heard").read_text().splitlines()

    def wait_for(self, who: str, *states: str) -> None:
        expected = [f"[general]{who.format(state)}" for state in states]
        wait_for(lambda: self.heard("any") == expected, what=f"{states} at {self.program.lines[-8:]}")

    def fifo(self) -> list[str]:
        return os.read(self._reader, 65536).decode().splitlines()

    def close(self) -> None:
        if self.program.process.poll() is None:
            self.program.signal(signal.SIGTERM)
        self.program.process.wait(10)
        self.program.close()
        os.close(self._reader)


def hooks_removed(configuration: str) -> str:
    return "".join(
        line for line in configuration.splitlines(keepends=True) if "/own" not in line and "/any" not in line
    )


@contextmanager
def both(tmp_path, ours: str, theirs: str):
    only_where_scripts_run()
    with pair() as (a, a_peer), pair() as (b, b_peer):
        sides = []
        try:
            command = (sys.executable, "-m", "hapair", "run", "{path}")
            sides.append(Side(tmp_path / "ours", a, a_peer, ours, *command))
            command = (
                *"keepalived --dont-fork --log-console --log-detail --vrrp --use-file={path}".split(),
                "--pid={path}.pid",
                "--vrrp_pid={path}.vrrp",
            )
            sides.append(Side(tmp_path / "theirs", b, b_peer, theirs, *command))
            yield sides
        finally:
            for side in sides:
                side.close()


def live_through_everything(side: Side, who: str) -> None:
    """Alone on the wire, then without it, with it again, and to the end."""
    side.wait_for(who, "BACKUP", "MASTER")
    side.wire("down")
    side.wait_for(who, "BACKUP", "MASTER", "FAULT")
    side.wire("up")
    side.wait_for(who, "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER")
    side.program.signal(signal.SIGTERM)
    side.program.process.wait(10)
    side.wait_for(who, "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP")


def test_scripts_and_fifo_hear_the_same_words_in_the_same_order(tmp_path):
    with both(tmp_path, HAPAIR, KEEPALIVED) as (ours, theirs):
        for side in (ours, theirs):
            live_through_everything(side, "[INSTANCE][web][{}][150]")
        wait_for(lambda: len(theirs.heard("own")) == 6)  # keepalived does not wait for its scripts
        assert ours.heard("own") == theirs.heard("own")
        assert ours.heard("any") == theirs.heard("any")
        assert ours.fifo() == theirs.fifo()
        assert (tmp_path / "ours" / "events").read_text().count('"event": "transition"') == 6


def test_a_sync_groups_scripts_and_fifo_lines_are_the_same(tmp_path):
    ours, theirs = hooks_removed(HAPAIR) + HAPAIR_GROUP, hooks_removed(KEEPALIVED) + KEEPALIVED_GROUP
    with both(tmp_path, ours, theirs) as (ours, theirs):
        for side in (ours, theirs):
            live_through_everything(side, "[GROUP][edge][{}][0]")
        wait_for(lambda: len(theirs.heard("own")) == 6)
        assert ours.heard("own") == theirs.heard("own")
        lines, other_lines = ours.fifo(), theirs.fifo()
        groups = [line for line in other_lines if line.startswith("GROUP")]
        assert len(groups) == 6
        assert [line for line in lines if line.startswith("GROUP")] == groups
        assert sorted(lines) == sorted(other_lines)  # which instance is first may differ
