"""SIGHUP: look ahead -> prepare (may fail) -> commit (synchronous, cannot) -> retire (drains by itself).

A file with a mistake, or one that asks for a port that is taken, changes
nothing and says why.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from hapair.config.delta import NOTHING, delta
from hapair.config.groups import sharing_tracks
from hapair.dataplane.resolve import resolve_all
from hapair.dataplane.service import gate_addresses
from hapair.errors import ReloadIncomplete

if TYPE_CHECKING:
    from hapair.app.wiring import Node
    from hapair.config.model import NodeConfig
    from hapair.dataplane.resolve import Addresses

logger = logging.getLogger("hapair.app")


async def look_ahead(node: Node, config: NodeConfig) -> Addresses:
    """What must be known before the node can follow: the servers' addresses, and that its routers could.

    As long as a name server likes.  To be cancelled at any moment: nothing is changed here.

    Raises:
        StartError: a name is unknown, or a router could not start.
    """
    addresses = await trio.to_thread.run_sync(resolve_all, config, abandon_on_cancel=True)
    await node.routers.check(config)
    return addresses


async def apply(node: Node, config: NodeConfig, addresses: Addresses) -> str:
    """Make the running node follow `config`; returns what changed, for the log.

    Raises:
        StartError: something new cannot be acquired; the node runs on as it was.
        ReloadIncomplete: a router could not be started after all; everything else took effect.
    """
    change = delta(node.config, config)
    prepared = node.plane.prepare(config, addresses)
    await node.plane.agree(prepared)
    for key in change.restart_keys:
        logger.warning("%s changed: that takes effect at the next start", key)
    node.plane.commit(prepared, gate_addresses(config))
    node.config = config
    node.watch(config)
    node.notifications.adopt(config)
    node.tracking.adopt(sharing_tracks(config.vrrp, config.sync_groups.values()))
    node.tell_states()
    missing = await node.routers.apply(config)
    files = [f"{reference.path} changed" for reference, _ in prepared.changes]
    summary = "; ".join([*files, *([change.summary()] if change.summary() != NOTHING or not files else [])])
    if missing:
        raise ReloadIncomplete(f"{summary}; but not started: {'; '.join(missing)}")
    return summary
