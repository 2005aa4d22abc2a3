"""An unprivileged user that can still do a load balancer's work, and nothing else."""

from __future__ import annotations

import os
import re
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from hapair.app.privileges import become, confine, may_be_transparent, surrender
from hapair.dataplane.outgoing import make_transparent
from hapair.dataplane.outgoing import may_be_transparent as outgoing_may_be
from hapair.errors import StartError
from lab.namespaces import CLONE_NEWNET, unshare


def needs_root(test: Callable[..., None]) -> Callable[..., None]:
    """There must be another user to become: a plain user's namespace maps only one."""
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return pytest.mark.netns(pytest.mark.skipif(mapped < 2, reason="only one user is mapped here")(test))


def in_a_child(work: Callable[[], None]) -> str:
    """Run in a forked process with a network of its own; returns what went wrong there, empty for nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare(CLONE_NEWNET)
            work()
        except BaseException:  # noqa: BLE001 - it is told to the parent
            os.write(writing, traceback.format_exc().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said


def status() -> dict[str, str]:
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", Path("/proc/self/status").read_text(), re.MULTILINE))


@needs_root
def test_the_user_changes_and_only_three_capabilities_stay():
    def work():
        become("nobody", "nogroup", may_chroot=False)
        found = status()
        assert found["Uid"].split() == ["65534"] * 4
        assert found["Gid"].split() == ["65534"] * 4
        assert found["Groups"].strip() == ""
        for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert int(found[name], 16) == 1 << 10 | 1 << 12 | 1 << 13, name
        assert found["NoNewPrivs"] == "1"

    assert in_a_child(work) == ""


@needs_root
def test_a_worker_that_gives_everything_up_may_still_speak_for_clients():
    def work():
        become("nobody", "nogroup", may_chroot=False)
        assert may_be_transparent()
        surrender(but_transparency=True)
        assert not may_be_transparent()
        for family in (socket.AF_INET, socket.AF_INET6):
            with socket.socket(family) as sock:
                make_transparent(sock)
        surrender()
        assert not outgoing_may_be()

    assert in_a_child(work) == ""


@needs_root
def test_low_ports_raw_sockets_and_netlink_still_work_and_root_s_files_do_not():
    def work():
        become("nobody", "nogroup", may_chroot=False)
        from pyroute2 import IPRoute

        with IPRoute() as route:
            (loopback,) = route.link_lookup(ifname="lo")
            route.link("set", index=loopback, state="up")
            route.addr("add", index=loopback, address="192.0.2.100", prefixlen=32)
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 112).close()
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        with socket.socket() as sock:
            sock.bind(("192.0.2.100", 80))
        try:
            Path("/etc/shadow").read_text()
        except PermissionError:
            return
        raise AssertionError("root's files can still be read")

    assert in_a_child(work) == ""


@needs_root
def test_a_chroot_hides_the_rest_and_the_right_to_it_is_given_up(tmp_path):
    def work():
        become("nobody", "nogroup", may_chroot=True)
        confine(str(tmp_path))
        assert os.listdir("/") == []  # noqa: PTH208
        try:
            os.chroot("/")
        except PermissionError:
            return
        raise AssertionError("it could leave again")

    for directory in (tmp_path, *tmp_path.parents):
        if directory != Path("/tmp") and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    assert in_a_child(work) == ""


def test_an_unknown_user_or_group_is_named():
    with pytest.raises(StartError, match="there is no user 'no-such-user' here"):
        become("no-such-user", None, may_chroot=False)
    with pytest.raises(StartError, match="there is no group 'no-such-group' here"):
        become(None, "no-such-group", may_chroot=False)


def test_nothing_configured_changes_nothing():
    before = os.getuid(), os.getgid()
    become(None, None, may_chroot=False)
    confine(None)
    assert (os.getuid(), os.getgid()) == before
