"""Disturbances one upon the other, in an order that a seed decides: what no list of single ones can find.

The next one does not wait until the pair has healed.  Only what presupposes nothing takes part.
"""

from __future__ import annotations

import time
from random import Random

import attrs
import trio

from lab.disturbances import ALL, Disturbance
from lab.records import Deed
from lab.scenario import Pair

SHORTEST, LONGEST = 3, 5
LONGEST_PAUSE = 0.6
"""Seconds; two master-down times at 100 ms adverts."""
MARGIN = 1.0
"""Seconds that a sequence may cost beyond the sum of its parts: its last one may meet a pair that heals."""


@attrs.frozen
class Sequence:
    seed: int
    parts: tuple[Disturbance, ...]
    pauses: tuple[float, ...]
    """Seconds before each."""

    @property
    def outage(self) -> float:
        """The longest time without a success, in seconds: they may follow each other without a gap."""
        return sum(part.outage for part in self.parts) + MARGIN

    @property
    def two_holders(self) -> float:
        """The VIP may be on both nodes for so many seconds."""
        return sum(part.two_holders for part in self.parts) + MARGIN

    def __str__(self) -> str:
        parts = zip(self.pauses, self.parts, strict=True)
        return f"SEED={self.seed}: " + ", ".join(f"{pause:.2f} s, {part.name}" for pause, part in parts)

    @property
    def title(self) -> str:
        return f"seed {self.seed}: " + ", ".join(part.name for part in self.parts)

    async def act(self, pair: Pair, deeds: list[Deed], *, without_hapairs_own: bool = False) -> None:
        """What only hapair has is left out, but not its pause, when it is done to somebody else."""
        for pause, part in zip(self.pauses, self.parts, strict=True):
            await trio.sleep(pause)
            if not (part.hapairs_own and without_hapairs_own):
                start = time.monotonic()
                await part.act(pair)
                deeds.append(Deed(part.name, start, time.monotonic()))


def sequence(seed: int) -> Sequence:
    """The same for the same seed, as long as what can happen here is the same."""
    chance = Random(seed)
    possible = [one for one in ALL if one.anytime and not one.why_not()]
    parts = tuple(chance.sample(possible, chance.randint(SHORTEST, LONGEST)))
    return Sequence(seed, parts, tuple(chance.uniform(0.0, LONGEST_PAUSE) for _ in parts))
