"""`src`: is a client's address one of these addresses and networks?

Law: an IPv4 client that came through an IPv6 socket (::ffff:192.0.2.1) counts as
the IPv4 address that it is, and an IPv4 client matches IPv6 networks of such
addresses.  HAProxy treats 6to4 (2002::/16) and ::192.0.2.1 in the same way; we do
not: whoever can choose such an address could pass for a private one.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from hapair.rules.lexer import RuleError, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Network = IPv4Network | IPv6Network
    ByMask = list[tuple[int, frozenset[int]]]

REMEMBERED = 8192
"""Answers that are kept, so that a client is looked up once and not for each of its requests."""

_SPELLING = re.compile(r"[0-9A-Fa-f.:]+(/[0-9.]+)?")
"""Narrower than what `ipaddress` takes: it knows zones, too."""


def address_test(patterns: Sequence[Word]) -> Callable[[str], bool]:
    """A test of addresses in text form; what is no address (a unix socket's client) matches nothing.

    Raises:
        RuleError: a pattern is no address or network.
    """
    networks = _Networks([network(word) for word in patterns])
    answers: dict[str, bool] = {}

    def test(sample: str) -> bool:
        answer = answers.get(sample)
        if answer is None:
            if len(answers) >= REMEMBERED:
                answers.clear()  # cheaper than to know which was used last
            answer = answers[sample] = networks.contain(sample)
        return answer

    return test


class _Networks:
    """Networks by family and length of prefix: a look-up costs a set access for each length in use."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._v4 = _by_mask(network for network in networks if isinstance(network, IPv4Network))
        self._v6 = _by_mask(network for network in networks if isinstance(network, IPv6Network))

    def contain(self, sample: str) -> bool:
        try:
            address = ip_address(sample)
        except ValueError:
            return False
        number = int(address)
        if isinstance(address, IPv4Address):
            return _found(self._v4, number) or _found(self._v6, MAPPED | number)
        mapped = address.ipv4_mapped
        return _found(self._v6, number) or (mapped is not None and _found(self._v4, int(mapped)))


MAPPED = 0xFFFF << 32
"""The IPv6 form of an IPv4 address, without it."""


def _by_mask(networks: Iterable[Network]) -> ByMask:
    masks: dict[int, set[int]] = {}
    for network in networks:
        masks.setdefault(int(network.netmask), set()).add(int(network.network_address))
    return [(mask, frozenset(numbers)) for mask, numbers in masks.items()]


def _found(by_mask: ByMask, number: int) -> bool:
    return any(number & mask in numbers for mask, numbers in by_mask)


def network(word: Word) -> Network:
    spelling = _SPELLING.fullmatch(word.text)
    if spelling is None:
        raise RuleError(word.offset, f"{word.text!r} is not an IP address or network")
    try:
        network = ip_network(word.text, strict=False)
    except ValueError:
        raise RuleError(word.offset, f"{word.text!r} is not an IP address or network") from None
    mask = spelling[1]
    if mask is not None and "." in mask and str(network.netmask) != mask[1:]:
        # ipaddress reads 0.0.0.255 as a host mask, that is /24; HAProxy never does.
        raise RuleError(word.offset, f"{mask[1:]!r} is not a network mask")
    return network
