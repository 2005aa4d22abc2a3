"""What a router may track besides backends and interfaces: [track_script.X], [track_ping.X], ..."""

from __future__ import annotations

from typing import Any

from hapair.config import addresses, fields
from hapair.config.fields import matching
from hapair.config.model import TrackFile, TrackPing, TrackProcess, TrackRoute, TrackScript
from hapair.config.shape import OWN_NAME, Parser, table
from hapair.config.tables_notify import command

PARSERS: dict[str, Parser[Any]] = {
    "script": table(
        TrackScript,
        rename=OWN_NAME,
        name=fields.name,
        script=command,
        user=fields.account,
        interval=fields.interval,
        timeout=fields.interval,
        rise=fields.positive,
        fall=fields.positive,
    ),
    "ping": table(
        TrackPing,
        rename=OWN_NAME,
        name=fields.name,
        address=addresses.own,
        interval=fields.interval,
        timeout=fields.interval,
        rise=fields.positive,
        fall=fields.positive,
    ),
    "file": table(
        TrackFile, rename=OWN_NAME, name=fields.name, file=fields.file_path, interval=fields.interval
    ),
    "process": table(
        TrackProcess,
        rename=OWN_NAME,
        name=fields.name,
        process=matching(r"[^\x00/]{1,15}", "the name of a process: up to 15 characters, no slash"),
        quorum=fields.positive,
        interval=fields.interval,
    ),
    "route": table(
        TrackRoute,
        rename=OWN_NAME,
        name=fields.name,
        destination=addresses.destination,
        via=addresses.own,
        dev=fields.interface,
        interval=fields.interval,
    ),
}
"""By the KIND of `track = ["KIND.NAME"]`."""
