"""What `hapair status` shows, as plain data: the routers and the servers of a node, now.

Every field of RouterStatus is in it, under its own name; moments become ages,
because the node's clock means nothing elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from hapair import __version__
from hapair.api.stats import BACKEND, FRONTEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hapair.api.stats import Row
    from hapair.config.model import IPAddress, NodeConfig
    from hapair.vrrp.status import RouterStatus


def report(
    config: NodeConfig,
    routers: Iterable[RouterStatus],
    table: Sequence[Row],
    now: float,
    open_gates: frozenset[IPAddress],
) -> dict[str, Any]:
    """Return what JSON can carry; ages in seconds, `now` in the routers' time."""
    return {
        "node": config.node.name,
        "version": __version__,
        "vrrp": [_router(config, router, now, open_gates) for router in routers],
        "servers": [_server(row) for row in table if row["type"] not in (FRONTEND, BACKEND)],
    }


def _router(
    config: NodeConfig, router: RouterStatus, now: float, open_gates: frozenset[IPAddress]
) -> dict[str, Any]:
    found = attrs.asdict(router, recurse=False)
    peer = router.peer
    found |= {
        "state": router.state.value,
        "since": _age(router.since, now),
        "drops": dict(router.drops),
        "peer": peer
        and {
            "address": str(peer.address),
            "priority": peer.priority,
            "interval": peer.interval,
            "heard": _age(peer.heard_at, now),
        },
    }
    instance = config.vrrp.get(router.name)
    if instance is not None:  # else a reload is just taking it away
        found |= {
            "interface": instance.interface,
            "virtual_router_id": instance.virtual_router_id,
            "version": instance.version,
            "addresses": [str(address) for address in instance.held],
            "gates": {str(address): address.ip in open_gates for address in instance.held},
        }
    return found


def _server(row: Row) -> dict[str, Any]:
    return {
        "backend": row["pxname"],
        "server": row["svname"],
        "status": row["status"],
        "sessions": row["scur"],
        "check": row.get("check_status", ""),
        "last_result": row.get("check_desc", ""),
        "last_details": row.get("check_details", ""),
        "last_duration_ms": row.get("check_duration", 0),
    }


def _age(moment: float, now: float) -> float:
    return round(max(0.0, now - moment), 3)
