"""What the doctor has found out: values only.  None always means "could not be found out"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from hapair.config.model import IPAddress, IPInterface
from hapair.vrrp.sighting import Sighting


@attrs.frozen
class Interface:
    name: str
    up: bool
    """Set up by the administrator."""
    carrier: bool
    multicast: bool
    arp: bool
    mac: str
    addresses: tuple[IPInterface, ...] = ()
    snooping_bridge: str = ""
    """The bridge it is or belongs to, when that one snoops and asks for no memberships itself."""
    arp_ignore: int | None = None
    """The greater one of `all` and the interface's own, as the kernel takes it."""
    disable_ipv6: int | None = None


@attrs.frozen
class Claim:
    """Somebody answered for one of our addresses."""

    interface: str
    address: IPAddress
    mac: str


@attrs.frozen
class Facts:
    interfaces: Mapping[str, Interface] = attrs.field(factory=dict)
    """Those of the configuration that exist."""
    heard: Mapping[str, tuple[Sighting, ...]] = attrs.field(factory=dict)
    """Interface -> adverts; without an entry it could not be listened to."""
    listened: float = 0.0
    """Seconds."""
    troubles: tuple[tuple[str, str], ...] = ()
    """What could not be looked at and why, and what to do about it."""
    claims: tuple[Claim, ...] = ()
    silent_peers: tuple[IPAddress, ...] = ()
    """Unicast peers that answered no ping."""
    answering_peers: tuple[IPAddress, ...] = ()
    ruleset: Mapping[str, Any] | None = None
    """What `nft -j list ruleset` says."""
    capabilities: frozenset[str] = frozenset()
    """Of CAPABILITIES, those that this process has."""
    low_port: int = 1024
    """Ports below need NET_BIND_SERVICE."""
    descriptors: int | None = None
    """The hard limit; None for none."""
    conntrack: tuple[int, int] | None = None
    """Entries and the most there may be; None also without connection tracking."""
    clock_synchronised: bool | None = None
    guard_seconds: float | None = None
    """How long the guard took to start and end again; None: it did not."""
    missing_accounts: tuple[str, ...] = ()
    """`user "x"` or `group "y"` of the configuration that do not exist."""
    node_runs: bool | None = None
    """Whether somebody answers on the runtime socket; None without one in the configuration."""


CAPABILITIES: Mapping[str, tuple[int, str]] = {
    "NET_ADMIN": (12, "puts VIPs on interfaces"),
    "NET_RAW": (13, "sends and hears adverts, ARP and ICMP"),
    "NET_BIND_SERVICE": (10, "binds low ports"),
}
"""Name -> its bit, and what it is for."""
