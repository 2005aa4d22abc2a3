"""Reads what the kernel says of this host: /proc, limits, accounts, the clock."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import socket
from pathlib import Path
from typing import Any

from hapair.config.model import NodeConfig
from hapair.doctor.facts import CAPABILITIES, Interface
from hapair.kernel.netlink import interface_of
from hapair.kernel.route_socket import route_socket

_IFF_UP, _IFF_NOARP, _IFF_MULTICAST = 0x1, 0x80, 0x1000
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_TIMEX_SIZE = 512
"""More than struct timex has on any machine; all zero, it only asks."""


def interfaces(names: set[str]) -> dict[str, Interface]:
    """Return those that exist."""
    with route_socket() as opened:
        route = opened.library
        found = {}
        for name in sorted(names):
            indices = route.link_lookup(ifname=name)
            if indices:
                found[name] = _interface(route, name, indices[0])
        return found


def _interface(route: Any, name: str, index: int) -> Interface:
    (link,) = route.get_links(index)
    flags = link["flags"]
    return Interface(
        name=name,
        up=bool(flags & _IFF_UP),
        carrier=link.get_attr("IFLA_CARRIER") != 0,
        multicast=bool(flags & _IFF_MULTICAST),
        arp=not flags & _IFF_NOARP,
        mac=link.get_attr("IFLA_ADDRESS") or "",
        addresses=tuple(interface_of(address) for address in route.get_addr(index=index)),
        snooping_bridge=_snooping(route, link),
        arp_ignore=max(
            sysctl("net/ipv4/conf/all/arp_ignore") or 0, sysctl(f"net/ipv4/conf/{name}/arp_ignore") or 0
        ),
        disable_ipv6=sysctl(f"net/ipv6/conf/{name}/disable_ipv6", absent=1),
    )


def _snooping(route: Any, link: Any) -> str:
    """The bridge of a link, when it snoops without a querier of its own."""
    master = link.get_attr("IFLA_MASTER")
    (bridge,) = route.get_links(master) if master else (link,)
    info = bridge.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "bridge":
        return ""
    data = info.get_attr("IFLA_INFO_DATA")
    snoops, asks = data.get_attr("IFLA_BR_MCAST_SNOOPING"), data.get_attr("IFLA_BR_MCAST_QUERIER")
    return str(bridge.get_attr("IFLA_IFNAME")) if snoops and not asks else ""


def sysctl(name: str, absent: int | None = None) -> int | None:
    """Return a number below /proc/sys; `absent` when this kernel does not have it, None when it is hidden."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except FileNotFoundError:
        return absent
    except PermissionError:
        return None


def capabilities() -> frozenset[str]:
    """Return those of CAPABILITIES that are in effect."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.split()[1], 16)
            return frozenset(name for name, (bit, _) in CAPABILITIES.items() if bits >> bit & 1)
    return frozenset()


def descriptors() -> int | None:
    """Return the hard limit; None for none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def conntrack() -> tuple[int, int] | None:
    """Return entries and the most there may be; None without connection tracking."""
    entries, most = sysctl("net/netfilter/nf_conntrack_count"), sysctl("net/netfilter/nf_conntrack_max")
    return None if entries is None or not most else (entries, most)


def clock_synchronised() -> bool | None:
    """Ask the kernel, as `timedatectl` does; None when it does not say."""
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    return None if answer < 0 else answer != _TIME_ERROR


def missing_accounts(config: NodeConfig) -> tuple[str, ...]:
    """Return the accounts of the configuration that do not exist."""
    missing = []
    if config.node.user is not None:
        try:
            pwd.getpwnam(config.node.user)
        except KeyError:
            missing.append(f'user "{config.node.user}"')
    if config.node.group is not None:
        try:
            grp.getgrnam(config.node.group)
        except KeyError:
            missing.append(f'group "{config.node.group}"')
    return tuple(missing)


def node_runs(config: NodeConfig) -> bool | None:
    """Whether somebody answers on the runtime socket; None when that cannot be told."""
    if config.api.socket is None:
        return None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(os.fspath(config.api.socket))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return None
    return True
