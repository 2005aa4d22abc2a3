"""Do something to a pair, wait until it has healed, and hold what happened against what is promised."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from lab.audit import Auditor
from lab.nodes import Kind
from lab.processes import LabError
from lab.records import BEFORE, Bounds, Deed, Record, record
from lab.scenario import PRIORITIES, Pair, open_pair

PREFERRED = "lb-a"
PEACE = 10.0
"""Seconds until a new pair is at peace."""


class Watched:
    """A pair at peace, and what it held then."""

    def __init__(self, pair: Pair, kind: Kind, auditor: Auditor) -> None:
        self.pair = pair
        self._kind = kind
        self._auditor = auditor

    async def see(
        self,
        title: str,
        act: Callable[[Pair, list[Deed]], Awaitable[None]],
        *,
        group: str,
        bounds: Bounds,
        heals_within: float,
        logged: str = "",
        again: str = "",
    ) -> Record:
        """`act` notes its deeds with monotonic times; afterwards lb-a must be MASTER again, alone.

        `logged` is what one of the nodes must have said meanwhile.
        """
        pair = self.pair
        deeds: list[Deed] = []
        start = time.monotonic()
        problems: list[str] = []
        broken = False
        interval = pair.nodes[PREFERRED].settings.advert_interval
        try:
            await act(pair, deeds)
            await pair.until_master(pair.nodes[PREFERRED], within=heals_within, calm=4 * interval)
        except LabError as error:
            problems.append(str(error).partition("\n")[0])
            broken = True
        end = time.monotonic()
        if logged and self._kind != "keepalived" and not pair.said(logged, start):
            problems.append(f"no log line has {logged!r}")
        if not broken:
            try:
                problems += await self._auditor.audit()
            except (LabError, OSError) as error:
                problems.append(f"the audit could not be made: {error}".partition("\n")[0])
        await trio.sleep(pair.prober.timeout + 0.1 if bounds.failed is not None else 0.1)
        return record(
            title=title,
            nodes=self._kind,
            group=group,
            bounds=bounds,
            start=start,
            end=end,
            deeds=deeds,
            requests=pair.prober.recent(start - BEFORE),
            holdings=pair.sampler.holdings,
            streams=pair.streamer.streams,
            problems=problems,
            broken=broken,
            again=again,
        )


@asynccontextmanager
async def open_watched(kind: Kind, advert_interval: float) -> AsyncIterator[Watched]:
    """A pair with every witness there is, at peace.

    Raises:
        LabError: it does not come to peace.
    """
    async with open_pair(dict.fromkeys(PRIORITIES, kind), advert_interval, streams=True) as pair:
        await pair.until_master(pair.nodes[PREFERRED], within=PEACE, calm=5 * advert_interval)
        yield Watched(pair, kind, await Auditor.of(pair))
