"""Metrics about the peer node."""

from __future__ import annotations

from hapair.api.peers import peer_metrics


def test_a_peer_that_is_there_and_one_that_is_not():
    assert 'hapair_peer_up{peer="192.0.2.1:1024"} 1\n' in peer_metrics(
        "192.0.2.1:1024", up=True, synced=False, taken=3
    )
    told = peer_metrics("[::1]:1", up=False, synced=False, taken=3).splitlines()
    assert told[1::2] == [
        'hapair_peer_up{peer="[::1]:1"} 0',
        'hapair_peer_synced{peer="[::1]:1"} 0',
        'hapair_peer_entries_taken_total{peer="[::1]:1"} 3',
    ]
    assert all(line.startswith("# TYPE hapair_peer_") for line in told[::2])
