"""What a reload changes: which routers, frontends and backends, and what has to wait for a restart."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hapair.config.model import NodeConfig

LIVE = frozenset({"maxconn", "maxcomprate", "hard_stop_after", "guard_timeout"})
"""Keys of [node] that a running node follows; the others are used once, at the start."""


NOTHING = "nothing changed"


@attrs.frozen
class Names:
    """The tables of one section, each name in exactly one tuple."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]


@attrs.frozen
class Delta:
    vrrp: Names
    sync_groups: Names
    trackers: Names
    frontends: Names
    backends: Names
    restart_keys: tuple[str, ...]
    """Changed, but not before the next start: `node.user`, `api.listen`."""
    live_keys: tuple[str, ...]
    """Keys of [node], and [email], that changed and take effect now."""

    def summary(self) -> str:
        """One line for the log: `frontend main changed; backend static removed`."""
        parts = [
            f"{section} {name} {what}"
            for section, names in (
                ("vrrp", self.vrrp),
                ("sync_group", self.sync_groups),
                ("tracker", self.trackers),
                ("frontend", self.frontends),
                ("backend", self.backends),
            )
            for what in ("added", "removed", "changed")
            for name in getattr(names, what)
        ]
        parts += [f"{key} changed" for key in self.live_keys]
        return "; ".join(parts) or NOTHING


def delta(old: NodeConfig, new: NodeConfig) -> Delta:
    """Compare by value: a table that only was moved or reformatted is the same."""
    node_keys = _changed(old.node, new.node)
    return Delta(
        vrrp=_names(old.vrrp, new.vrrp),
        sync_groups=_names(old.sync_groups, new.sync_groups),
        trackers=_names(_dotted(old.trackers), _dotted(new.trackers)),
        frontends=_names(old.frontends, new.frontends),
        backends=_names(old.backends, new.backends),
        restart_keys=(
            *(f"node.{key}" for key in node_keys if key not in LIVE),
            *(f"api.{key}" for key in _changed(old.api, new.api)),
            *(("peers",) if old.peers != new.peers else ()),
        ),
        live_keys=(
            *(f"node.{key}" for key in node_keys if key in LIVE),
            *(("email",) if old.email != new.email else ()),
        ),
    )


def _dotted(trackers: Mapping[tuple[str, str], object]) -> dict[str, object]:
    return {f"{kind}.{name}": tracker for (kind, name), tracker in trackers.items()}


def _names(old: Mapping[str, object], new: Mapping[str, object]) -> Names:
    kept = [name for name in new if name in old]
    return Names(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in kept if old[name] != new[name]),
        same=tuple(name for name in kept if old[name] == new[name]),
    )


def _changed(old: attrs.AttrsInstance, new: attrs.AttrsInstance) -> list[str]:
    return [
        field.name
        for field in attrs.fields(type(old))
        if getattr(old, field.name) != getattr(new, field.name)
    ]
