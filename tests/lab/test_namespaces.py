"""A user without privileges gets a network of his own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]


def _isolated(command, **options):
    return subprocess.run(
        [sys.executable, "-m", "lab.namespaces", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT / "netns-lab")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=20,
        **options,
    ).stdout


def test_an_isolated_command_sees_nothing_of_the_hosts_network():
    interfaces = _isolated(["cat", "/proc/net/dev"]).splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_an_isolated_command_is_root_in_there():
    assert _isolated(["id", "-u"]).strip() == "0"


def test_an_isolated_command_has_a_loopback():
    words = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    )
    _isolated([sys.executable, "-c", words])
