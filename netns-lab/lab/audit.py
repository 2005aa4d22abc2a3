"""Whether a pair is as it should be when nobody does anything to it: asked from outside."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from lab.probers import fetch

if TYPE_CHECKING:
    from lab.scenario import Pair

BODY = 300_000
"""Bytes."""


async def audit(pair: Pair) -> list[str]:
    """What is wrong: not one that answers ARP, a body that is not what the backend sent, an exception."""
    problems = []
    answers = await pair.who_has_the_vip()
    if len(answers) != 1:
        problems.append(f"{sorted(answers)} answer ARP")
    if pair.said("Traceback"):
        problems.append("an exception")
    status, fields, body = await fetch(pair.lab["client"].net, pair.vip, f"/bytes?n={BODY}")
    if (status, len(body), f"{zlib.crc32(body):08x}") != (200, BODY, fields["x-body-crc32"]):
        problems.append("a wrong body")
    return problems
