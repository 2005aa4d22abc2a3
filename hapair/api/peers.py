"""What the node tells of its peer: metrics in Prometheus text format."""

from __future__ import annotations


def peer_metrics(peer: str, *, up: bool, synced: bool, taken: int) -> str:
    """`peer` is where it is sought; `taken` rows have come from it that counted."""
    place = f'{{peer="{peer}"}}'
    return (
        "# TYPE hapair_peer_up gauge\n"
        f"hapair_peer_up{place} {int(up)}\n"
        "# TYPE hapair_peer_synced gauge\n"
        f"hapair_peer_synced{place} {int(synced)}\n"
        "# TYPE hapair_peer_entries_taken_total counter\n"
        f"hapair_peer_entries_taken_total{place} {taken}\n"
    )
