"""What transparency asks of the kernel, as bytes and nftables rules (pure).

Packets that belong to a socket of ours with a foreign address get a mark; a rule sends marked
packets to a table of its own, whose only route says that every address is local.  So the answers
of a server to "the client" end here.  Connections to foreign addresses that a transparent `bind`
takes are marked as well, and led to its socket (TPROXY; Documentation/networking/tproxy.rst).

One set for the node: mark, table and priority are the same number, as is the name.
"""

from __future__ import annotations

import struct

import attrs

from hapair.config.model import IPAddress, NodeConfig
from hapair.vrrp.routes import (
    BODY,
    CREATE,
    DELETE_ROUTE,
    DELETE_RULE,
    EXCLUSIVE,
    FAMILIES,
    NEW_ROUTE,
    NEW_RULE,
    OIF,
    PRIORITY,
    REPLACE,
    STATIC,
    TABLE,
    TO_TABLE,
    UNIVERSE,
    attribute,
    message,
    number,
)

MARK = 26721
"""`ha`: fwmark, routing table and priority of the rule."""
NAME = "hapair_transparent"
"""Of the nftables table."""

_HOST = 254
_LOCAL = 2
_FWMARK = 10
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END, _DELETE_TABLE = 16, 17, _SUBSYSTEM << 8 | 2
_INET = 1
_TABLE_NAME = 1
_NETLINK_HEADER = struct.Struct("=IHHII")
_NETFILTER_HEADER = struct.Struct(">BBH")
_REQUEST = 1


@attrs.frozen
class Taken:
    """Whose connections a transparent bind takes."""

    family: int
    host: IPAddress | None
    """None: everybody's but our own."""
    port: int


@attrs.frozen
class Transparency:
    """What a configuration needs."""

    taken: tuple[Taken, ...] = ()


def transparency(config: NodeConfig) -> Transparency | None:
    """What `config` needs; None when nothing in it is transparent."""
    vips = {vip.ip for instance in config.vrrp.values() for vip in instance.held}
    taken = []
    wanted = False
    for frontend in config.frontends.values():
        for bind in frontend.bind:
            if not bind.transparent or bind.port is None:
                continue
            wanted = True
            if bind.host is None or bind.host.is_unspecified:
                taken.append(Taken(bind.host.version if bind.host is not None else 4, None, bind.port))
            elif bind.host not in vips:
                taken.append(Taken(bind.host.version, bind.host, bind.port))
    if not wanted and not config.connects_for_others():
        return None
    return Transparency(tuple(dict.fromkeys(taken)))


def ruleset(wanted: Transparency) -> str:
    """Return what nft(8) makes the table of, in one transaction."""
    taken = "".join(f"    {_tproxy(one)} meta mark set {MARK} accept\n" for one in wanted.taken)
    return f"""\
add table inet {NAME}
delete table inet {NAME}
table inet {NAME} {{
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set {MARK} accept
{taken}  }}
}}
"""


def _tproxy(one: Taken) -> str:
    word, family = ("ip", "ipv4") if one.family == 4 else ("ip6", "ipv6")
    if one.host is None:
        which = f"meta nfproto {family} fib daddr type != local"
        return f"{which} tcp dport {one.port} tproxy {word} to :{one.port}"
    to = f"[{one.host}]" if one.family == 6 else f"{one.host}"
    return f"{word} daddr {one.host} tcp dport {one.port} tproxy {word} to {to}:{one.port}"


def additions(loopback: int) -> tuple[bytes, ...]:
    """Return the rtnetlink requests for rule and route of both families; EEXIST is as good."""
    return (
        *(_route(NEW_ROUTE, CREATE | REPLACE, family, loopback) for family in FAMILIES.values()),
        *(_rule(NEW_RULE, CREATE | EXCLUSIVE, family) for family in FAMILIES.values()),
    )


def deletions(loopback: int) -> tuple[bytes, ...]:
    """Return those that delete them."""
    return (
        *(_rule(DELETE_RULE, 0, family) for family in FAMILIES.values()),
        *(_route(DELETE_ROUTE, 0, family, loopback) for family in FAMILIES.values()),
    )


def delete_table() -> bytes:
    """Return the nfnetlink batch that deletes the table; ENOENT when there is none."""
    body = _NETFILTER_HEADER.pack(_INET, 0, 0) + attribute(_TABLE_NAME, NAME.encode() + b"\0")
    body += bytes(-len(body) % 4)
    edge = _NETFILTER_HEADER.pack(0, 0, _SUBSYSTEM)
    wanted = _netfilter(_DELETE_TABLE, body, acknowledged=True)
    return _netfilter(_BATCH_BEGIN, edge) + wanted + _netfilter(_BATCH_END, edge)


def is_netfilter(request: bytes) -> bool:
    """Whether a request is for nfnetlink: no rtnetlink request is so short and of that type."""
    return request[:6] == struct.pack("=IH", _NETLINK_HEADER.size + _NETFILTER_HEADER.size, _BATCH_BEGIN)


def _netfilter(kind: int, body: bytes, *, acknowledged: bool = False) -> bytes:
    flags = _REQUEST | (4 if acknowledged else 0)
    return _NETLINK_HEADER.pack(_NETLINK_HEADER.size + len(body), kind, flags, 0, 0) + body


def _route(kind: int, flags: int, family: int, loopback: int) -> bytes:
    protocol, scope = (STATIC, _HOST if family == FAMILIES[4] else UNIVERSE) if flags else (0, 255)
    body = BODY.pack(family, 0, 0, 0, 0, protocol, scope, _LOCAL, 0)
    return message(kind, flags, body + number(TABLE, MARK) + number(OIF, loopback))


def _rule(kind: int, flags: int, family: int) -> bytes:
    body = BODY.pack(family, 0, 0, 0, 0, 0, 0, TO_TABLE, 0)
    body += number(TABLE, MARK) + number(PRIORITY, MARK) + number(_FWMARK, MARK)
    return message(kind, flags, body)
