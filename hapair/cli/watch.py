"""`hapair vrrp watch`: every advert on an interface, a line each, and what it means for who is master."""

from __future__ import annotations

import errno
import json
import time
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

from hapair.errors import KernelError
from hapair.kernel.capture import Capture
from hapair.vrrp.onlooker import NOTHING, Change, deadline, elapse, observe
from hapair.vrrp.sighting import Captured, Sighting, sight

if TYPE_CHECKING:
    from hapair.vrrp.onlooker import View


def watch(interface: str, *, vrid: int | None, as_json: bool, count: int | None, seconds: float) -> int:
    """Print adverts until interrupted, `count` of them, or for `seconds`; returns the exit code."""
    watching = Watch(vrid, as_json=as_json)
    try:
        capture = Capture(interface)
    except KernelError as error:
        click.echo(f"hapair: {why(error)}", err=True)
        return 1
    try:
        if not as_json:
            click.echo(f"watching {interface}, Ctrl-C ends it", err=True)
        trio.run(_watch, capture, watching, count or inf, seconds)
    except KernelError as error:
        click.echo(f"hapair: {why(error)}", err=True)
        return 1
    except KeyboardInterrupt:
        pass  # how one ends it
    finally:
        capture.close()
    if not as_json:
        click.echo(f"{watching.seen} advert{'s' * (watching.seen != 1)}", err=True)
    return 0


def why(error: KernelError) -> str:
    """Say what an operator can do about a capture that does not work."""
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return f"cannot {error.doing}: it needs CAP_NET_RAW; run it as root"
        case errno.ENODEV | errno.ENXIO:
            return f"cannot {error.doing}: there is no such interface; `ip link` lists them"
        case errno.ENETDOWN:
            return f"cannot {error.doing}: it is down; `ip link set ... up` brings it up"
        case _:
            return str(error)


async def _watch(capture: Capture, watching: Watch, count: float, seconds: float) -> None:
    with trio.move_on_after(seconds):
        while watching.seen < count:
            with trio.move_on_after(max(0.0, watching.deadline - time.time())):
                await capture.readable()
            captured = capture.receive_nowait()  # one a turn: a flood must not keep us from ending
            if captured is not None:
                watching.take(captured)
            watching.silence(time.time())


class Watch:
    """What was seen so far; prints as it goes."""

    def __init__(self, vrid: int | None, *, as_json: bool) -> None:
        self._vrid = vrid
        self._as_json = as_json
        self._view: View = NOTHING
        self.seen = 0

    @property
    def deadline(self) -> float:
        """Seconds since the epoch: when to call `silence`."""
        return deadline(self._view)

    def take(self, captured: Captured) -> None:
        sighting = sight(captured)
        if sighting is None:
            click.echo(
                f"hapair: {len(captured.payload)} bytes from {captured.source} are no advert", err=True
            )
            return
        if self._vrid not in (None, sighting.vrid):
            return
        self.seen += 1
        self._say(_as_json(sighting) if self._as_json else line(sighting))
        if not sighting.doubts:
            self._view, changes = observe(self._view, sighting)
            self._report(changes)

    def silence(self, now: float) -> None:
        self._view, changes = elapse(self._view, now)
        self._report(changes)

    def _report(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._say(
                {"event": "change", **_dict(change)}
                if self._as_json
                else f"{clock(change.at)}  *** vrid {change.vrid}: {change.text}"
            )

    @staticmethod
    def _say(what: str | dict[str, Any]) -> None:
        click.echo(what if isinstance(what, str) else json.dumps(what))


def line(sighting: Sighting) -> str:
    """One advert for people."""
    s = sighting
    parts = [
        f"{clock(s.at)}  {s.source} > {s.destination}",
        f"vrid {s.vrid}",
        f"v{s.version}",
        f"priority {s.priority}",
        f"interval {s.interval:g}s",
        f"ttl {s.ttl}",
        f"checksum {s.checksum}",
    ]
    if s.authentication:
        parts.append(f"auth {masked(s)}")
    parts.append("addresses " + (", ".join(map(str, s.addresses)) or "none"))
    if s.outgoing:
        parts.append("(this host)")
    if s.doubts:
        parts.append(f"INVALID: {', '.join(s.doubts)}")
    return "  ".join(parts)


def masked(sighting: Sighting) -> str:
    """The authentication; a password only as one star for each of its octets."""
    if sighting.authentication != "password":
        return sighting.authentication
    return f"password {'*' * len(sighting.password)}"


def clock(at: float) -> str:
    """The local time of day, to the millisecond."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _as_json(sighting: Sighting) -> dict[str, Any]:
    fields = _dict(sighting)
    fields["password"] = "*" * len(sighting.password)
    return {"event": "advert", **fields}


def _dict(value: Sighting | Change) -> dict[str, Any]:
    return {name: _plain(item) for name, item in attrs.asdict(value, recurse=False).items()}


def _plain(item: object) -> object:
    if isinstance(item, tuple):
        return [_plain(each) for each in item]
    return item if isinstance(item, (int, float, str)) else str(item)
