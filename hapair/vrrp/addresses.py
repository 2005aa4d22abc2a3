"""VIPs as ready-made netlink requests (rtnetlink(7)): struct nlmsghdr, struct ifaddrmsg, struct rtattr.

Bytes, because the guard must be able to delete them without us, and because a takeover waits for
nothing else: the kernel needs some microseconds for one, a library thirty times that.  Pure.
"""

from __future__ import annotations

import struct

from hapair.config.model import Scope, Vip

FOREVER = 0xFFFFFFFF
"""As a lifetime, in seconds."""

_NEW_ADDRESS, _DELETE_ADDRESS = 20, 21
_REQUEST, _REQUEST_AND_ACK, _CREATE_OR_REPLACE = 0x1, 0x5, 0x500
_ADDRESS, _LOCAL, _LABEL, _CACHEINFO = 1, 2, 3, 6
_NO_DAD = 0x02
_FAMILIES = {4: 2, 6: 10}
"""AF_INET, AF_INET6."""
SCOPES = {Scope.GLOBAL: 0, Scope.SITE: 200, Scope.LINK: 253, Scope.HOST: 254}

_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_LIFETIMES = struct.Struct("=IIII")


def scope_of(vip: Vip) -> int:
    """Return the kernel's number."""
    return SCOPES[vip.scope or Scope.GLOBAL]


def add_address(ifindex: int, vip: Vip, lifetime: int | None) -> bytes:
    """Return the RTM_NEWADDR request that adds it or renews its lifetime (seconds; None: for ever).

    An IPv6 VIP is usable at once (no duplicate address detection), and never the source of what
    this node itself begins: its preferred lifetime is 0.  Both as keepalived does.
    """
    valid = FOREVER if lifetime is None else lifetime
    if vip.version == 4:
        flags, scope, preferred = 0, scope_of(vip), valid
        attributes = _attribute(_LOCAL, vip.ip.packed) + _attribute(_ADDRESS, vip.ip.packed)
        if vip.label:
            attributes += _attribute(_LABEL, vip.label.encode() + b"\0")
    else:
        flags, scope, preferred = _NO_DAD, 0, 0
        attributes = _attribute(_ADDRESS, vip.ip.packed)
    attributes += _attribute(_CACHEINFO, _LIFETIMES.pack(preferred, valid, 0, 0))
    body = _IFADDRMSG.pack(_FAMILIES[vip.version], vip.network.prefixlen, flags, scope, ifindex)
    return _message(_NEW_ADDRESS, _REQUEST_AND_ACK | _CREATE_OR_REPLACE, body + attributes)


def delete_address(ifindex: int, vip: Vip, *, acknowledged: bool = False) -> bytes:
    """Return the RTM_DELADDR request for one address; the guard waits for no acknowledgement."""
    body = _IFADDRMSG.pack(_FAMILIES[vip.version], vip.network.prefixlen, 0, 0, ifindex)
    body += _attribute(_LOCAL, vip.ip.packed) + _attribute(_ADDRESS, vip.ip.packed)
    return _message(_DELETE_ADDRESS, _REQUEST_AND_ACK if acknowledged else _REQUEST, body)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body
