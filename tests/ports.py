"""Ports of this machine for those who must be told one before they bind it."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

FIRST = 10_000


def _candidates() -> itertools.cycle[int]:
    """Below those that the kernel hands out for port 0; two processes begin far from each other."""
    last = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    mine = os.getpid() * 997 % (last - FIRST)
    return itertools.cycle((*range(FIRST + mine, last), *range(FIRST, FIRST + mine)))


_PORTS = _candidates()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has, that nothing gets by chance, and that is not given twice.

    One that the kernel chose for a socket since closed may go to the next outgoing connection, or to the next
    who asks.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _PORTS:
        with socket.socket(family) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round")
