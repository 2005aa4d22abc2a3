"""Fetches of internal states: constants, variables, time, chance, counters (section 7.3.2)."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from hapair.rules import arguments, variables
from hapair.rules.fetch import ALWAYS, CONNECTION, Fetch, Read, about, simple
from hapair.rules.values import Binary

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import BackendFacts, Facts, FrontendFacts, ServerFacts, Transaction
    from hapair.rules.values import Kind, Value

_TRUTHS: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False}
_TRUTHS["off"] = False
_UNITS: Final = {"s": 1, "ms": 1000, "us": 1000000}


def truth(text: str) -> bool:
    """HAProxy's spellings of true and false.

    Raises:
        ValueError: another word.
    """
    if text.lower() not in _TRUTHS:
        raise ValueError(text)
    return _TRUTHS[text.lower()]


def _constant(gives: Kind, understand: Callable[[str], Value], what: str) -> Fetch:
    def make(call: Call) -> Read:
        value: Value = call.take(0, understand, what)
        return lambda _facts: value

    return Fetch(gives, ALWAYS, make, f"{what}, as it stands", most=1)


def _text(call: Call) -> Read:
    value = (call.given(0) or "").encode()
    return lambda _facts: value


def _variable(call: Call) -> Read:
    name = variables.variable_of(call)
    default = call.given(1)
    instead = None if default is None else default.encode()

    def read(facts: Facts) -> Value | None:
        value = variables.read(facts, name)
        return instead if value is None else value

    return read


def _environment(call: Call) -> Read:
    name = call.take(0, str, "the name of an environment variable")
    value = os.environ.get(name)
    known = None if value is None else value.encode()
    return lambda _facts: known


def _date(call: Call) -> Read:
    offset = call.take(0, arguments.number, "a number") if call.given(0) else 0
    unit = (
        call.take(1, lambda text: _UNITS[text] if text in _UNITS else int("x"), "s, ms or us")
        if call.given(1)
        else 1
    )

    def read(facts: Facts) -> Value | None:
        transaction = facts.about
        return None if transaction is None else int(transaction.now() * unit) + offset

    return read


def _random(call: Call) -> Read:
    below = call.take(0, arguments.number, "a number") if call.given(0) else 1 << 32
    if not 0 < below <= 1 << 32:
        raise call.mistake("draws from 1 to 4294967296 numbers")

    def read(facts: Facts) -> Value | None:
        transaction = facts.about
        return None if transaction is None else transaction.draw(below)

    return read


def _uuid(call: Call) -> Read:
    if call.given(0) not in (None, "4"):
        raise call.mistake("makes version 4 only")

    def read(facts: Facts) -> Value | None:
        transaction = facts.about
        if transaction is None:
            return None
        digits = f"{transaction.draw(1 << 128):032x}"
        variant = "89ab"[int(digits[16], 16) & 3]
        text = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        return text.encode()

    return read


def _backend(transaction: Transaction, name: str | None) -> BackendFacts | None:
    return transaction.backend if name is None else transaction.find_backend(name)


def _of_backend(read: Callable[[BackendFacts], Value | None], meaning: str, gives: Kind = "int") -> Fetch:
    def make(call: Call) -> Read:
        name = call.given(0)

        def asked(facts: Facts) -> Value | None:
            transaction = facts.about
            backend = None if transaction is None else _backend(transaction, name)
            return None if backend is None else read(backend)

        return asked

    return Fetch(gives, ALWAYS, make, meaning + " of a backend, or of this one", most=1)


def _of_frontend(read: Callable[[FrontendFacts], Value | None], meaning: str) -> Fetch:
    def make(call: Call) -> Read:
        name = call.given(0)

        def asked(facts: Facts) -> Value | None:
            transaction = facts.about
            if transaction is None:
                return None
            frontend = transaction.frontend if name is None else transaction.find_frontend(name)
            return None if frontend is None else read(frontend)

        return asked

    return Fetch("int", ALWAYS, make, meaning + " of a frontend, or of this one", most=1)


def _of_server(read: Callable[[ServerFacts], Value], meaning: str, gives: Kind = "int") -> Fetch:
    def make(call: Call) -> Read:
        before, slash, after = call.take(0, str, "a server, or backend/server").partition("/")
        place, name = (before, after) if slash else (None, before)

        def asked(facts: Facts) -> Value | None:
            transaction = facts.about
            backend = None if transaction is None else _backend(transaction, place)
            if backend is None:
                return None
            return next((read(server) for server in backend.servers if server.name == name), None)

        return asked

    return Fetch(gives, ALWAYS, make, meaning + " of a server", most=1)


def _slots(backend: BackendFacts) -> int:
    """Connections that the servers which are up still take; -1 where one takes any number."""
    up = [server for server in backend.servers if server.up]
    if any(not server.maxconn for server in up):
        return -1
    return sum(max(0, server.maxconn - server.current - server.queued) for server in up)


def _average_queue(backend: BackendFacts) -> int:
    up = sum(server.up for server in backend.servers)
    waiting = backend.queued + sum(server.queued for server in backend.servers)
    return -(-waiting // up) if up else waiting


FETCHES: Final[dict[str, Fetch]] = {
    "always_true": simple("bool", ALWAYS, lambda _: True, "true"),
    "always_false": simple("bool", ALWAYS, lambda _: False, "false"),
    "str": Fetch("str", ALWAYS, _text, "a text, as it stands", most=1),
    "int": _constant("int", arguments.number, "a number"),
    "bool": _constant("bool", truth, "true or false"),
    "bin": _constant("bin", lambda text: Binary(bytes.fromhex(text)), "hexadecimal digits"),
    "ipv4": _constant("ip", IPv4Address, "an IPv4 address"),
    "ipv6": _constant("ip", IPv6Address, "an IPv6 address"),
    "meth": _constant("meth", str.encode, "a method"),
    "var": Fetch("any", ALWAYS, _variable, "a variable, or a text where it has no value", most=2),
    "env": Fetch("str", ALWAYS, _environment, "an environment variable, as it was at the start", most=1),
    "date": Fetch("int", ALWAYS, _date, "Unix time plus an offset, in s, ms or us", most=2),
    "date_us": about("int", ALWAYS, lambda a: int(a.now() * 1000000) % 1000000, "its microseconds"),
    "rand": Fetch("int", ALWAYS, _random, "a number by chance, below 2^32 or what is given", most=1),
    "uuid": Fetch("str", ALWAYS, _uuid, "a new UUID, version 4", most=1),
    "hostname": about("str", ALWAYS, lambda a: a.node.encode(), "this node's name"),
    "node": about("str", ALWAYS, lambda a: a.node.encode(), "this node's name"),
    "pid": about("int", ALWAYS, lambda a: a.pid, "the process number"),
    "proc": simple("int", ALWAYS, lambda _: 1, "the number of the process: there is one"),
    "nbproc": simple("int", ALWAYS, lambda _: 1, "how many processes there are"),
    "thread": simple("int", ALWAYS, lambda _: 0, "the number of the thread: there is one"),
    "stopping": about("bool", ALWAYS, lambda a: a.stopping, "is this process about to end?"),
    "nbsrv": _of_backend(lambda b: sum(s.up for s in b.servers), "servers that are up"),
    "be_conn": _of_backend(lambda b: b.current, "requests now"),
    "be_conn_free": _of_backend(_slots, "free slots"),
    "connslots": _of_backend(_slots, "free slots and places in queues"),
    "queue": _of_backend(lambda b: b.queued + sum(s.queued for s in b.servers), "requests that wait"),
    "avg_queue": _of_backend(_average_queue, "requests that wait for each server that is up"),
    "fe_conn": _of_frontend(lambda f: f.current, "connections now"),
    "srv_conn": _of_server(lambda s: s.current, "requests now"),
    "srv_queue": _of_server(lambda s: s.queued, "requests that wait"),
    "srv_weight": _of_server(lambda s: s.weight, "the weight"),
    "srv_uweight": _of_server(lambda s: s.weight, "the weight as an operator set it"),
    "srv_iweight": _of_server(lambda s: s.initial_weight, "the weight as it is configured"),
    "srv_conn_free": _of_server(
        lambda s: s.maxconn - s.current if s.maxconn else -1, "free slots, -1 without maxconn"
    ),
    "prio_class": about("int", CONNECTION, lambda a: a.priority_class, "its class in queues"),
    "prio_offset": about(
        "int", CONNECTION, lambda a: round(a.priority_offset * 1000), "ms that its time in queues is moved by"
    ),
    "srv_is_up": _of_server(lambda s: s.up, "is it up", "bool"),
    "fe_name": about("str", CONNECTION, lambda a: a.frontend.name.encode(), "the frontend's name"),
    "fe_defbe": about(
        "str",
        CONNECTION,
        lambda a: (a.frontend.default_backend or "").encode() or None,
        "its default_backend",
    ),
    "be_name": about(
        "str", CONNECTION, lambda a: a.backend.name.encode() if a.backend else None, "the backend's name"
    ),
    "be_id": about(
        "int", CONNECTION, lambda a: a.backend.number if a.backend else None, "the backend's number"
    ),
    "srv_name": about(
        "str", CONNECTION, lambda a: a.server.name.encode() if a.server else None, "the server's name"
    ),
    "srv_id": about(
        "int", CONNECTION, lambda a: a.server.number if a.server else None, "the server's number"
    ),
}
