"""Balancing algorithms by the names that `balance` takes."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

from hapair.balance.draws import Draws
from hapair.balance.first import First
from hapair.balance.leastconn import LeastConn
from hapair.balance.ring import Ring
from hapair.balance.roundrobin import RoundRobin
from hapair.balance.server_map import ServerMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hapair.balance.balancer import Balancer
    from hapair.config import model

HASHING = ("source", "uri", "url_param", "hdr", "hash")
ALGORITHMS = ("roundrobin", "static-rr", "leastconn", "first", "random", *HASHING)


def make(config: model.Backend, weights: Sequence[int], chance: Callable[[int], int]) -> Balancer:
    """A balancer over the servers of a backend; what hashes gets its keys with each pick."""
    ids = [server.id for server in config.servers]
    name, factor = config.balance.algorithm, config.hash_balance_factor
    unit = gcd(*(server.weight for server in config.servers))
    if name == "roundrobin":
        return RoundRobin(weights)
    if name == "static-rr":
        return ServerMap(weights, unit, hashes=False)
    if name == "leastconn":
        return LeastConn(weights)
    if name == "first":
        return First(ids, weights)
    if name == "random":
        return Draws(ids, weights, factor, config.balance.draws, chance)
    assert name in HASHING, name
    if config.hash_type.consistent:
        return Ring(ids, weights, factor, turns_alone=name == "url_param")
    return ServerMap(weights, unit, hashes=True, turns_alone=name == "url_param")
