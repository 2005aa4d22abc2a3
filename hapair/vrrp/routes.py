"""Routes and rules of a virtual router, as ready-made netlink requests (rtnetlink(7), fib_rules.h).

Bytes, because the guard must be able to delete them without us.  Pure.
"""

from __future__ import annotations

import struct

from hapair.config.model import VirtualRoute, VirtualRule

MAIN_TABLE = 254

NEW_ROUTE, DELETE_ROUTE, NEW_RULE, DELETE_RULE = 24, 25, 32, 33
_REQUEST_AND_ACK, CREATE, REPLACE, EXCLUSIVE = 0x5, 0x400, 0x100, 0x200
_DESTINATION, _SOURCE, OIF, _GATEWAY, PRIORITY, _PREFSRC, TABLE = 1, 2, 4, 5, 6, 7, 15
STATIC = 4
UNIVERSE, _LINK, _NOWHERE = 0, 253, 255
_UNICAST = TO_TABLE = 1
FAMILIES = {4: 2, 6: 10}
_HEADER = struct.Struct("=IHHII")
BODY = struct.Struct("=BBBBBBBBI")
"""struct rtmsg, and struct fib_rule_hdr."""
_ATTRIBUTE = struct.Struct("=HH")


def add_route(route: VirtualRoute, ifindex: int) -> bytes:
    """Add it, or put it in the place of one to the same destination with the same metric."""
    on_link = route.via is None and route.destination.version == 4
    return _route(NEW_ROUTE, CREATE | REPLACE, STATIC, _LINK if on_link else UNIVERSE, route, ifindex)


def delete_route(route: VirtualRoute, ifindex: int) -> bytes:
    """Delete it; the kernel compares what is said here and no more."""
    return _route(DELETE_ROUTE, 0, 0, _NOWHERE, route, ifindex)


def add_rule(rule: VirtualRule) -> bytes:
    """Add it; EEXIST when there is the same."""
    return _rule(NEW_RULE, CREATE | EXCLUSIVE, rule)


def delete_rule(rule: VirtualRule) -> bytes:
    """Delete it."""
    return _rule(DELETE_RULE, 0, rule)


def _route(kind: int, flags: int, protocol: int, scope: int, route: VirtualRoute, ifindex: int) -> bytes:
    destination = route.destination
    body = BODY.pack(
        FAMILIES[destination.version], destination.prefixlen, 0, 0, 0, protocol, scope, _UNICAST, 0
    )
    body += number(TABLE, route.table) + number(OIF, ifindex)
    if destination.prefixlen:
        body += attribute(_DESTINATION, destination.network_address.packed)
    if route.via is not None:
        body += attribute(_GATEWAY, route.via.packed)
    if route.src is not None:
        body += attribute(_PREFSRC, route.src.packed)
    if route.metric:
        body += number(PRIORITY, route.metric)
    return message(kind, flags, body)


def _rule(kind: int, flags: int, rule: VirtualRule) -> bytes:
    lengths = [network.prefixlen if network is not None else 0 for network in (rule.to, rule.source)]
    body = BODY.pack(FAMILIES[rule.family], *lengths, 0, 0, 0, 0, TO_TABLE, 0)
    body += number(TABLE, rule.table) + number(PRIORITY, rule.priority)
    for kind_of, network in ((_DESTINATION, rule.to), (_SOURCE, rule.source)):
        if network is not None:
            body += attribute(kind_of, network.network_address.packed)
    return message(kind, flags, body)


def number(kind: int, value: int) -> bytes:
    """One attribute that is a 32-bit number."""
    return attribute(kind, struct.pack("=I", value))


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data


def message(kind: int, flags: int, body: bytes) -> bytes:
    """One request that the kernel answers."""
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_AND_ACK | flags, 0, 0) + body
