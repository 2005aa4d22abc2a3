"""Scenarios for algorithms that look at requests or loads, played on `Backend` and on the real HAProxy.

A scenario is `{"balance", "hash_type", "factor", "servers": [{"weight", "id", "backup"}], "allbackups",
"steps"}`; its steps:

    ["ask", target, source, key]        one request; `key` goes into the header X-Key, None for none
    ["hold", number, target, source, key]    one that stays until
    ["free", number]
    ["weight", i, w], ["maint", i], ["ready", i]

Played, it gives a letter for each request, `-` when nobody served it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from proxy.test_backend import Waiter

from hapair.config import model
from hapair.config.balancing import balance, hash_type
from hapair.http1.head import parse_request
from hapair.proxy.backend import Backend
from hapair.proxy.server import Server

LETTERS = "abcdefgh"
Scenario = dict[str, Any]
WEIGHTS = [1, 1, 1, 2, 3, 5, 6, 10, 30, 100]


def head(target: str, key: str | None) -> str:
    """The request, as HAProxy is sent it, too."""
    header = "" if key is None else f"X-Key: {key}\r\n"
    # Not the last header: with use_domain_only HAProxy looks at one byte behind the value.
    return f"GET {target} HTTP/1.1\r\nHost: www.example.org\r\n{header}Accept: */*\r\n\r\n"


def backend(scenario: Scenario) -> Backend:
    """Ours."""
    servers = tuple(
        model.Server(LETTERS[i], one["id"], "h", 1, weight=one["weight"], backup=one["backup"])
        for i, one in enumerate(scenario["servers"])
    )
    config = model.Backend(
        "be",
        servers,
        mode=model.Mode.HTTP,
        balance=balance(scenario["balance"]),
        hash_type=hash_type(scenario["hash_type"]),
        hash_balance_factor=scenario["factor"],
        allbackups=scenario["allbackups"],
    )
    return Backend(config, {server.name: None for server in servers}, [])


def play(scenario: Scenario) -> str:
    """The servers that we choose."""
    return "".join(_play(scenario))


def _play(scenario: Scenario) -> Iterator[str]:
    pool = backend(scenario)
    held: dict[int, Server] = {}

    def ask(target: str, source: str, key: str | None) -> Server | None:
        request = parse_request(head(target, key).encode()[:-4])
        request.source = source
        session = Waiter(0)
        if pool.rules.key is not None:
            session.balance_key = pool.rules.key(request)
        pool.enter()
        return pool.place(session, None)

    for step in scenario["steps"]:
        match step:
            case ["ask", *request]:
                server = ask(*request)
                yield server.name if server is not None else "-"
                if server is not None:
                    pool.release(server)
                pool.leave()
            case ["hold", number, *request]:
                server = ask(*request)
                assert server is not None
                held[number] = server
                yield server.name
            case ["free", number]:
                pool.release(held.pop(number))
                pool.leave()
            case ["weight", index, weight]:
                pool.set_weight(pool.servers[index], weight)
            case ["maint" | "ready" as state, index]:
                pool.set_administrative(pool.servers[index], state, 0.0)
            case _:
                raise AssertionError(step)


def scenario(kind: str, chance: random.Random) -> Scenario:
    """One of this kind: its way to balance, then servers and steps that fit."""
    text, hashing, factor = _BALANCE[kind](chance)
    fixed = kind in _FIXED
    ids = chance.sample(range(1, 2000), 6)
    backups = chance.random() < 0.3
    if hashing.startswith("consistent") and kind in ("url_param", "hdr", "hash"):
        # Without a key HAProxy may go on along the ring of backups when an active server is back.
        backups = False
    servers = [
        {"weight": chance.choice(WEIGHTS), "id": ids[i], "backup": backups and i > 1}
        for i in range(chance.randint(2, 6))
    ]
    found = {
        "balance": text,
        "hash_type": hashing,
        "factor": factor,
        # HAProxy's map has other backups, too, when only the first is wanted: not what it promises.
        "allbackups": fixed or chance.random() < 0.5,
        "servers": servers,
    }
    steps = list(_steps(chance, servers, fixed=fixed, loaded=kind in _LOADED))
    return {**found, "steps": steps}


def _steps(
    chance: random.Random, servers: list[dict[str, Any]], *, fixed: bool, loaded: bool
) -> Iterator[list[Any]]:
    held: list[int] = []
    out: set[int] = set()
    for number in range(chance.randint(12, 20)):
        dice = chance.random()
        index = chance.randrange(len(servers))
        if loaded and dice < 0.5:
            if held and chance.random() < 0.4:
                yield ["free", held.pop(chance.randrange(len(held)))]
            elif not out:
                held.append(number)
                yield ["hold", number, *_request(chance)]
        elif dice < 0.6 and not held:
            # What a held request would do to a server that leaves is not what is asked here.
            out.symmetric_difference_update({index})
            yield ["maint" if index in out else "ready", index]
        elif dice < 0.7 and index not in out:
            weights = [0, servers[index]["weight"]] if fixed else [0, *WEIGHTS]
            if not held:
                yield ["weight", index, chance.choice(weights)]
                yield ["weight", index, chance.choice(weights[1:])]
        for _ in range(chance.randint(1, 4)):
            yield ["ask", *_request(chance)]
    for number in held:
        yield ["free", number]


def _request(chance: random.Random) -> list[str | None]:
    path = "".join(f"/{chance.choice(['a', 'bc', 'static', 'x.y'])}" for _ in range(chance.randint(1, 4)))
    query = chance.choice(
        ["", "?", f"?k={chance.randrange(99)}", f"?q=1&k={chance.randrange(99)}/&k=2", "?kk=1"]
    )
    host = chance.choice(["", "", "", "http://www.example.org"])
    source = chance.choice(
        [f"10.{chance.randrange(256)}.{chance.randrange(256)}.7", f"2001:db8::{chance.randrange(1, 65536):x}"]
    )
    key = chance.choice([None, f"k{chance.randrange(99)}", "a, b", "www.Example.org", "x.org", "plain"])
    return [host + path + query, source, key]


def _hashing(chance: random.Random, text: str) -> tuple[str, str, int]:
    method = chance.choice(["map-based", "consistent"])
    if chance.random() < 0.7:
        method += " " + chance.choice(["sdbm", "djb2", "wt6", "crc32"])
        method += chance.choice(["", " avalanche"])
    return text, method, 0


def _uri(chance: random.Random) -> str:
    words = [f"len {chance.randint(1, 20)}", f"depth {chance.randint(1, 3)}", "whole", "path-only"]
    return " ".join(["uri", *(word for word in words if chance.random() < 0.4)])


_BALANCE: dict[str, Callable[[random.Random], tuple[str, str, int]]] = {
    "static-rr": lambda _: ("static-rr", "map-based", 0),
    "leastconn": lambda _: ("leastconn", "map-based", 0),
    "first": lambda _: ("first", "map-based", 0),
    "source": lambda chance: _hashing(chance, "source"),
    "uri": lambda chance: _hashing(chance, _uri(chance)),
    "url_param": lambda chance: _hashing(chance, "url_param k"),
    "hdr": lambda chance: _hashing(chance, f"hdr(X-Key){chance.choice(['', ' use_domain_only'])}"),
    "hash": lambda chance: _hashing(
        chance, chance.choice(["hash src,ipmask(24)", "hash path,lower", "hash src"])
    ),
    "bounded": lambda chance: ("uri", "consistent", chance.randint(101, 250)),
    "roundrobin": lambda _: ("roundrobin", "map-based", 0),
}
KINDS = tuple(_BALANCE)
_LOADED = ("leastconn", "bounded", "first")
_FIXED = ("static-rr", "source", "uri", "url_param", "hdr", "hash")
"""Weights are the servers' own or none: what maps do with others is not asked."""
