"""Routes and rules of a virtual router, as ready-made netlink requests (rtnetlink(7), fib_rules.h).

Bytes, because the guard must be able to delete them without us.  Pure.
"""

from __future__ import annotations

import struct

from hapair.config.model import VirtualRoute, VirtualRule

MAIN_TABLE = 254

_NEW_ROUTE, _DELETE_ROUTE, _NEW_RULE, _DELETE_RULE = 24, 25, 32, 33
_REQUEST_AND_ACK, _CREATE, _REPLACE, _EXCLUSIVE = 0x5, 0x400, 0x100, 0x200
_DESTINATION, _SOURCE, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _TABLE = 1, 2, 4, 5, 6, 7, 15
_STATIC = 4
_UNIVERSE, _LINK, _NOWHERE = 0, 253, 255
_UNICAST = _TO_TABLE = 1
_FAMILIES = {4: 2, 6: 10}
_HEADER = struct.Struct("=IHHII")
_BODY = struct.Struct("=BBBBBBBBI")
"""struct rtmsg, and struct fib_rule_hdr."""
_ATTRIBUTE = struct.Struct("=HH")


def add_route(route: VirtualRoute, ifindex: int) -> bytes:
    """Add it, or put it in the place of one to the same destination with the same metric."""
    on_link = route.via is None and route.destination.version == 4
    return _route(_NEW_ROUTE, _CREATE | _REPLACE, _STATIC, _LINK if on_link else _UNIVERSE, route, ifindex)


def delete_route(route: VirtualRoute, ifindex: int) -> bytes:
    """Delete it; the kernel compares what is said here and no more."""
    return _route(_DELETE_ROUTE, 0, 0, _NOWHERE, route, ifindex)


def add_rule(rule: VirtualRule) -> bytes:
    """Add it; EEXIST when there is the same."""
    return _rule(_NEW_RULE, _CREATE | _EXCLUSIVE, rule)


def delete_rule(rule: VirtualRule) -> bytes:
    """Delete it."""
    return _rule(_DELETE_RULE, 0, rule)


def _route(kind: int, flags: int, protocol: int, scope: int, route: VirtualRoute, ifindex: int) -> bytes:
    destination = route.destination
    body = _BODY.pack(
        _FAMILIES[destination.version], destination.prefixlen, 0, 0, 0, protocol, scope, _UNICAST, 0
    )
    body += _number(_TABLE, route.table) + _number(_OIF, ifindex)
    if destination.prefixlen:
        body += _attribute(_DESTINATION, destination.network_address.packed)
    if route.via is not None:
        body += _attribute(_GATEWAY, route.via.packed)
    if route.src is not None:
        body += _attribute(_PREFSRC, route.src.packed)
    if route.metric:
        body += _number(_PRIORITY, route.metric)
    return _message(kind, flags, body)


def _rule(kind: int, flags: int, rule: VirtualRule) -> bytes:
    lengths = [network.prefixlen if network is not None else 0 for network in (rule.to, rule.source)]
    body = _BODY.pack(_FAMILIES[rule.family], *lengths, 0, 0, 0, 0, _TO_TABLE, 0)
    body += _number(_TABLE, rule.table) + _number(_PRIORITY, rule.priority)
    for attribute, network in ((_DESTINATION, rule.to), (_SOURCE, rule.source)):
        if network is not None:
            body += _attribute(attribute, network.network_address.packed)
    return _message(kind, flags, body)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_AND_ACK | flags, 0, 0) + body
