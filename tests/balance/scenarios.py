"""What can happen to a balancer, as data: played on RoundRobin and on the real HAProxy alike.

A scenario is `{"weights": [...], "steps": [...]}`; its steps:

    ["pick", n]          n requests, one after the other
    ["weight", i, w]     `set weight` at run time
    ["maint", i], ["ready", i]
    ["hold"]             a request that stays; with maxconn 1 its server is full until
    ["free", i]          server i finishes it
    ["dead", i], ["alive", i]    connections to i are refused: one retry, redispatched

Played, it gives a string: a letter for each request, `-` when nobody served it.
Servers that are held are full for `pick`, dead ones are avoided by the retry.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hapair.balance.roundrobin import RoundRobin

LETTERS = "abcdefgh"
Step = list[Any]
Scenario = dict[str, Any]
WEIGHTS = [1, 2, 3, 5, 6, 10, 30, 100, 255, 256]


def play(scenario: Scenario) -> str:
    """The order that RoundRobin gives."""
    return "".join(_play(scenario))


def _play(scenario: Scenario) -> Iterator[str]:
    weights = list(scenario["weights"])
    usable = [True] * len(weights)
    held: set[int] = set()
    dead: set[int] = set()
    balancer = RoundRobin(weights)

    def pick() -> str:
        full = held.__contains__ if scenario["maxconn"] else None
        index = balancer.pick(full=full)
        if index in dead:
            index = balancer.pick(index, full)
        return "-" if index < 0 or index in dead else LETTERS[index]

    for step in scenario["steps"]:
        match step:
            case ["pick", count]:
                yield from (pick() for _ in range(count))
            case ["hold"]:
                letter = pick()
                held.add(LETTERS.index(letter))
                yield letter
            case ["free", index]:
                held.discard(index)
            case ["weight", index, weight]:
                weights[index] = weight
                balancer.set_weight(index, weight if usable[index] else 0)
            case ["maint" | "ready" as state, index]:
                usable[index] = state == "ready"
                balancer.set_weight(index, weights[index] if usable[index] else 0)
            case ["dead", index]:
                dead.add(index)
            case ["alive", index]:
                dead.discard(index)
            case _:
                raise AssertionError(step)


def still(chance: random.Random) -> Scenario:
    """Weights that never change."""
    return {"weights": _weights(chance), "maxconn": False, "steps": [["pick", 90]]}


def changing(chance: random.Random) -> Scenario:
    """Servers go down, come up and change weight."""
    weights = _weights(chance)
    steps: list[Step] = [["pick", chance.randint(0, 40)]]
    for _ in range(chance.randint(1, 8)):
        index = chance.randrange(len(weights))
        kind = chance.choice(["maint", "ready", "weight", "weight"])
        if kind == "weight":
            steps.append([kind, index, chance.choice([0, *WEIGHTS, chance.randint(1, 256)])])
        else:
            steps.append([kind, index])
        steps.append(["pick", chance.randint(1, 25)])
    return {"weights": weights, "maxconn": False, "steps": steps}


def crowded(chance: random.Random) -> Scenario:
    """Servers are full for a while; one is always free, for else HAProxy would queue."""
    weights = _weights(chance, least=2)
    steps: list[Step] = []
    busy = _Holding(weights)
    for _ in range(chance.randint(4, 14)):
        if busy.held and (chance.random() < 0.4 or len(busy.held) == len(weights) - 1):
            steps.append(["free", busy.free(chance)])
        else:
            steps.append(["hold"])
            busy.hold()
        count = chance.randint(0, 12)
        steps.append(["pick", count])
        busy.pick(count)
    return {"weights": weights, "maxconn": True, "steps": steps}


class _Holding:
    """Which servers the steps so far hold; asks RoundRobin, so a wrong order shows as such when played."""

    def __init__(self, weights: list[int]) -> None:
        self._balancer = RoundRobin(weights)
        self.held: list[int] = []

    def hold(self) -> None:
        self.held.append(self._balancer.pick(full=self.held.__contains__))

    def pick(self, count: int) -> None:
        for _ in range(count):
            self._balancer.pick(full=self.held.__contains__)

    def free(self, chance: random.Random) -> int:
        return self.held.pop(chance.randrange(len(self.held)))


def refusing(chance: random.Random) -> Scenario:
    """Some servers refuse connections for a while: their requests are redispatched."""
    weights = _weights(chance, least=2)
    steps: list[Step] = [["pick", chance.randint(0, 10)]]
    for _ in range(chance.randint(1, 6)):
        index = chance.randrange(len(weights))
        steps += [
            [chance.choice(["dead", "dead", "alive"]), index],
            ["pick", chance.randint(1, 30)],
        ]
    return {"weights": weights, "maxconn": False, "steps": steps}


def extreme(chance: random.Random) -> Scenario:
    """Corners: no weight at all, everybody down, totals that shrink below what the turn has seen."""
    return {"maxconn": False} | chance.choice(_EXTREMES)


_EXTREMES: list[Scenario] = [
    {
        "weights": [256, 256],
        "steps": [
            ["pick", 200], ["maint", 1], ["weight", 0, 1], ["pick", 20],
            ["weight", 1, 1], ["ready", 1], ["pick", 60], ["weight", 1, 3], ["pick", 60],
        ],
    },
    {
        "weights": [256, 256, 1],
        "steps": [
            ["pick", 300], ["maint", 1], ["weight", 0, 1], ["pick", 5], ["weight", 1, 2],
            ["ready", 1], ["weight", 1, 3], ["pick", 90],
        ],
    },
    {
        "weights": [0, 0],
        "steps": [
            ["pick", 1], ["weight", 0, 3], ["pick", 5], ["weight", 1, 2], ["pick", 20], ["maint", 0],
            ["maint", 1], ["pick", 3], ["ready", 1], ["pick", 4], ["ready", 0], ["pick", 20],
        ],
    },
    {"weights": [0, 5], "steps": [["pick", 3], ["weight", 0, 3], ["pick", 20]]},
    {
        "weights": [10, 5],
        "steps": [
            ["pick", 20], ["weight", 1, 10], ["pick", 3], ["weight", 1, 1], ["pick", 36], ["maint", 0],
            ["pick", 2], ["weight", 0, 1], ["pick", 6], ["weight", 1, 6], ["pick", 14], ["ready", 0],
            ["pick", 26],
        ],
    },
    {"weights": [1],
     "steps": [["dead", 0], ["pick", 2], ["alive", 0], ["pick", 2], ["maint", 0], ["pick", 2]]},
]  # fmt: skip


KINDS = {"still": still, "changing": changing, "crowded": crowded, "refusing": refusing, "extreme": extreme}


def _weights(chance: random.Random, least: int = 1) -> list[int]:
    return [
        chance.choice([*WEIGHTS, chance.randint(1, 256)])
        for _ in range(chance.randint(least, len(LETTERS) - 2))
    ]
