"""What of a request is hashed to find its server (HAProxy's `balance` and `hash-type`).  Hot.

Each is compiled to one function that gives 32 bits, or NO_KEY when the request
has nothing to hash: then the servers take turns.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from hapair.balance.balancer import NO_KEY
from hapair.hashes import avalanche, djb2, sdbm, wt6
from hapair.rules.sample import compile_sample
from hapair.rules.values import to_binary

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.config import model
    from hapair.rules.acl import Setting
    from hapair.rules.facts import Facts

    Key = Callable[[Facts], int]
    Hash = Callable[[bytes], int]

_FUNCTIONS: Final[dict[str, Any]] = {"sdbm": sdbm, "djb2": djb2, "wt6": wt6, "crc32": crc32}


def compile_key(config: model.Backend, setting: Setting) -> Key | None:
    """The key of this backend's requests; None when its algorithm has no use for one.

    Raises:
        RuleError: the sample to be hashed is wrong.
    """
    balance = config.balance
    if balance.algorithm == "source":
        return _source_spread if config.hash_type.avalanche else _source
    hashed = _hash(config.hash_type)
    if balance.algorithm == "uri":
        return lambda facts: hashed(uri_part(_target(facts), balance))
    if balance.algorithm == "url_param":
        name = balance.name.encode()
        return lambda facts: _known(hashed, parameter(_target(facts), name))
    if balance.algorithm == "hdr":
        header = balance.name.encode()
        domain_only = balance.domain_only
        return lambda facts: _known(hashed, _first_value(facts, header, domain_only=domain_only))
    if balance.algorithm == "hash":
        setting.asks = True
        read = compile_sample(balance.expression, files=setting.files, until=setting.until).read

        def sampled(facts: Facts) -> int:
            value = read(facts)
            return NO_KEY if value is None else _known(hashed, to_binary(value))

        return sampled
    return None


def _hash(kind: model.HashType) -> Hash:
    function: Hash = _FUNCTIONS[kind.function]
    if not kind.avalanche:
        return function
    return lambda data: avalanche(function(data))


def _known(hashed: Hash, data: bytes | None) -> int:
    return NO_KEY if data is None else hashed(data)


def _source(facts: Facts) -> int:
    """The words of the address, one over the other; `hash_type` has no say in its function."""
    try:
        found = IPv6Address(facts.source) if ":" in facts.source else IPv4Address(facts.source)
    except ValueError:
        return NO_KEY  # it came by a UNIX socket
    packed = found.packed
    number = 0
    for at in range(0, len(packed), 4):
        number ^= int.from_bytes(packed[at : at + 4], "big")
    return number


def _source_spread(facts: Facts) -> int:
    number = _source(facts)
    return number if number == NO_KEY else avalanche(number)


def _target(facts: Facts) -> bytes:
    """As rules have left it; with the scheme and the host, which servers are not told, where they came."""
    request: Any = facts
    target: bytes = request.lines[0].split(b" ", 2)[1]
    came: bytes = request.target
    if came.startswith(b"/") or not target.startswith(b"/"):
        return target
    return came[: -len(came.split(b"://", 1)[1].partition(b"/")[2]) - 1] + target


def uri_part(target: bytes, balance: model.Balance) -> bytes:
    """The beginning of a URI that counts."""
    if balance.path_only and not target.startswith(b"/"):
        scheme = target.find(b"://")
        slash = target.find(b"/", scheme + 3) if scheme >= 0 else -1
        target = target[slash:] if slash >= 0 else b""
    if balance.length:
        target = target[: balance.length]
    if not balance.whole:
        target = target.partition(b"?")[0]
    if balance.depth:
        at = -1
        for _ in range(balance.depth + 1):
            at = target.find(b"/", at + 1)
            if at < 0:
                return target
        target = target[:at]
    return target


def parameter(target: bytes, name: bytes) -> bytes | None:
    """The value of a parameter in the query string, as it was sent."""
    for pair in target.partition(b"?")[2].split(b"&"):
        found, equals, value = pair.partition(b"=")
        if equals and found == name:
            return value
    return None


def _first_value(facts: Facts, name: bytes, *, domain_only: bool) -> bytes | None:
    """The first element of a header."""
    for line in facts.header(name):
        value = line.partition(b",")[0].strip(b" \t")
        return main_domain(value) if domain_only else value
    return None


def main_domain(host: bytes) -> bytes:
    """Of `www.example.org` only `example`."""
    labels = host.rsplit(b".", 2)
    return labels[-2] if len(labels) > 1 else host
