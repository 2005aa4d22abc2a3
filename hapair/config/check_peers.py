"""Cross-checks of [peers]."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.config.check import Draft
    from hapair.config.report import Report


def check(draft: Draft, report: Report) -> None:
    """Report what keeps the tables from being shared."""
    peers = draft.peers
    if peers is None:
        return
    ours, theirs = ip_address(peers.listen[0]), ip_address(peers.peer[0])
    if peers.listen == peers.peer:
        report.error(("peers", "peer"), "this is our own: the other node's listen is meant")
    elif ours.version != theirs.version:
        report.error(("peers", "peer"), f"it is no IPv{ours.version} address as listen is")
    vips = {vip.ip for instance in draft.vrrp.values() for vip in instance.held}
    for key, address in (("listen", ours), ("peer", theirs)):
        if address in vips:
            report.error(("peers", key), f"{address} is a VIP, which moves: name an address that stays")
    if draft.node is not None and draft.node.workers:
        report.error(
            ("peers",), "each of node.workers has stick tables of its own: they cannot be shared", at_key=True
        )
    own = [place.stick_table for place in draft.frontends.values()]
    own += [place.stick_table for place in draft.backends.values()]
    if not draft.stick_tables and not any(own):
        report.warning(("peers",), "there is no stick table to be shared", at_key=True)
