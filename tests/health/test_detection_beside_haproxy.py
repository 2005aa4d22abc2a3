"""What happens to a server is seen within one interval of when the real HAProxy sees it, whatever it is."""

from __future__ import annotations

import csv

import attrs
import pytest
import trio
from health.servers import ILLS, Patient
from interop.haproxy import Haproxy

from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server, Timeouts
from hapair.health.plan import plan_for
from hapair.health.service import HealthService, ServerKey

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NOISE = 0.3
"""Seconds that a busy machine may add."""


@attrs.frozen
class Terms:
    inter: float
    rise: int
    fall: int
    fastinter: float | None = None
    downinter: float | None = None

    def haproxy(self) -> str:
        words = f"check inter {self.inter * 1000:.0f} rise {self.rise} fall {self.fall}"
        for name in ("fastinter", "downinter"):
            if (value := getattr(self, name)) is not None:
                words += f" {name} {value * 1000:.0f}"
        return words

    def check(self) -> Check:
        http = HttpCheck()
        return Check(
            CheckKind.HTTP,
            http=http,
            inter=self.inter,
            rise=self.rise,
            fall=self.fall,
            fastinter=self.fastinter,
            downinter=self.downinter,
        )

    def phase(self, ill: str, *, up: bool) -> float:
        """Seconds from one check to the next, before the first that finds what has changed.

        Of a server that does not answer, a check takes all its time: `inter`, too.
        """
        if not up:
            return self.inter
        return (self.downinter or self.inter) + (self.inter if ill in SILENT else 0)


SILENT = ("hang", "slow")
ALL_TERMS = [Terms(0.4, 2, 3), Terms(0.6, 3, 2, fastinter=0.1, downinter=0.3), Terms(0.5, 1, 1)]


class Watch:
    """When each of both saw each server go and come."""

    def __init__(self, haproxy: Haproxy, names: list[str]) -> None:
        self._haproxy, self._names = haproxy, names
        self.ours: dict[str, tuple[bool, float]] = {}
        self.theirs: dict[str, tuple[bool, float]] = {}

    def report(self, key, verdict) -> None:
        self._note(self.ours, key.server, up=verdict.up)

    async def look(self) -> None:
        text = await trio.to_thread.run_sync(self._haproxy.command, "show stat -1 4 -1")
        for row in csv.DictReader(text.removeprefix("# ").strip().splitlines()):
            if row["check_status"] not in ("", "INI"):
                self._note(self.theirs, row["svname"], up=row["status"].startswith("UP"))

    @staticmethod
    def _note(seen: dict[str, tuple[bool, float]], name: str, *, up: bool) -> None:
        if name not in seen or seen[name][0] is not up:
            seen[name] = up, trio.current_time()

    async def until_all_are(self, *, up: bool) -> None:
        wanted = dict.fromkeys(self._names, up)
        with trio.move_on_after(20):
            while True:
                await self.look()
                seen = [{name: was for name, (was, _) in one.items()} for one in (self.ours, self.theirs)]
                if seen == [wanted, wanted]:
                    return
                await trio.sleep(0.01)
        raise AssertionError(f"not all are {up}: {self.ours}, {self.theirs}")


async def test_every_situation_is_seen_within_one_interval(tmp_path, nursery):
    patients = [
        (Patient(f"{ill.replace(' ', '-')}-{i}", behave), ill, terms)
        for i, terms in enumerate(ALL_TERMS)
        for ill, behave in ILLS.items()
    ]
    for patient, _, _ in patients:
        await patient.start(nursery)
    lines = [f"listen app\n  bind unix@{tmp_path}/front.sock\n  option httpchk"]
    lines += [f"  server {one.name} 127.0.0.1:{one.port} {terms.haproxy()}" for one, _, terms in patients]
    haproxy = await trio.to_thread.run_sync(Haproxy, tmp_path, "\n".join(lines) + "\n")
    try:
        watch = Watch(haproxy, [one.name for one, _, _ in patients])
        servers = tuple(
            Server(one.name, i, "127.0.0.1", one.port, check=terms.check())
            for i, (one, _, terms) in enumerate(patients, 1)
        )
        backend = Backend("app", servers, timeout=Timeouts(connect=2.0))
        service = HealthService(watch.report)
        service.replace({ServerKey("app", one.name): plan_for(backend, one) for one in servers})
        await nursery.start(service.run)
        await watch.until_all_are(up=True)
        for up in (False, True):
            for patient, _, _ in patients:
                await patient.become(nursery, well=up)
            await watch.until_all_are(up=up)
            for patient, ill, terms in patients:
                ours, theirs = watch.ours[patient.name][1], watch.theirs[patient.name][1]
                assert abs(ours - theirs) < terms.phase(ill, up=up) + NOISE, (
                    patient.name,
                    up,
                    ours - theirs,
                )
    finally:
        haproxy.end()
    nursery.cancel_scope.cancel()
