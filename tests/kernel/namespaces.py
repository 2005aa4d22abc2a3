"""Two network namespaces joined by a veth pair, for tests of what the kernel really does.

A namespace lives as long as its holder process; nothing gets a name in /run/netns,
so that nothing can be left behind.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hapair.kernel.script_safety import unsafe

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def only_where_scripts_run() -> None:
    """Skip in a user's namespace: the files of the real root belong to nobody there, so no script is safe.

    Anywhere else that is a failure.
    """
    if why := unsafe("/bin/cat", 0):
        _, _, users = Path("/proc/self/uid_map").read_text().split()
        assert users == "1", why
        pytest.skip(f"no script can be run in a user's namespace: {why}")


class Namespace:
    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "600"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.path = f"/proc/{self._holder.pid}/ns/net"
        ours = Path("/proc/self/ns/net").readlink()
        give_up_at = time.monotonic() + 5
        while not self._entered(ours):
            if self._holder.poll() is not None or time.monotonic() > give_up_at:
                self.close()
                pytest.fail("cannot make a network namespace: run as root, or under `unshare -Urn`")
            time.sleep(0.002)
        self.run("ip", "link", "set", "lo", "up")

    def _entered(self, ours: Path) -> bool:
        try:
            return Path(self.path).readlink() != ours
        except OSError:
            return False

    def command(self, *arguments: str) -> list[str]:
        return ["nsenter", f"--net={self.path}", *arguments]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command in it to its end; what it printed."""
        command = self.command(*arguments)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make sockets in it: they stay when this thread has left again."""
        back = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            self._enter(os.open(self.path, os.O_RDONLY))
            yield
        finally:
            self._enter(back)

    @staticmethod
    def _enter(descriptor: int) -> None:
        try:
            if _LIBC.setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)

    def addresses(self, ifname: str = "eth0") -> set[str]:
        output = self.run("ip", "-o", "address", "show", "dev", ifname)
        return {line.split()[3] for line in output.splitlines()}

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@contextmanager
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with `eth0` each: 192.0.2.1/24 and 192.0.2.2/24 on one wire."""
    a, b = Namespace(), Namespace()
    try:
        a.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.path)
        for n, namespace in enumerate((a, b), start=1):
            namespace.run("ip", "address", "add", f"192.0.2.{n}/24", "dev", "eth0")
            namespace.run("ip", "link", "set", "eth0", "up")
        for namespace in (a, b):  # the kernel takes up to a second to notice a carrier
            wait_for(lambda ns=namespace: "state UP" in ns.run("ip", "link", "show", "eth0"), what="link up")
        yield a, b
    finally:
        a.close()
        b.close()


@contextmanager
def segment(nodes: int) -> Iterator[tuple[Namespace, ...]]:
    """Namespaces on one switch, `eth0` each: 192.0.2.1/24, 192.0.2.2/24 ...; the last is the switch."""
    switch, *ends = made = [Namespace() for _ in range(nodes + 1)]
    try:
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        for n, end in enumerate(ends, start=1):
            end.run(
                "ip", "link", "add", "eth0", "type", "veth", "peer", "name", f"port{n}", "netns", switch.path
            )
            end.run("ip", "address", "add", f"192.0.2.{n}/24", "dev", "eth0")
            end.run("ip", "link", "set", "eth0", "up")
            switch.run("ip", "link", "set", f"port{n}", "master", "switch", "up")
        for end in ends:
            wait_for(lambda ns=end: "state UP" in ns.run("ip", "link", "show", "eth0"), what="link up")
        yield (*ends, switch)
    finally:
        for namespace in made:
            namespace.close()


def give_ipv6(*namespaces: Namespace) -> None:
    """fe80::1, fe80::2, ... on `eth0`, usable at once, and no other IPv6 address."""
    for n, namespace in enumerate(namespaces, start=1):
        namespace.run("ip", "link", "set", "eth0", "addrgenmode", "none")
        namespace.run("ip", "-6", "address", "flush", "dev", "eth0")
        namespace.run("ip", "address", "add", f"fe80::{n}/64", "dev", "eth0", "nodad")


def wait_for(condition, seconds: float = 10.0, what: str = "it") -> float:
    """Poll until `condition()`; how long that took, in seconds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.002)
    return time.monotonic() - start
