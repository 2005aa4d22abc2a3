"""Which requests a kept response answers, where it varies (RFC 9111 section 4.1; `process-vary`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from hapair.cache.freshness import fields

if TYPE_CHECKING:
    from collections.abc import Iterable

MANAGED: Final = frozenset({b"accept-encoding", b"referer"})
"""Headers that a response may vary on; with any other it is not kept."""
_CODINGS: Final = frozenset(
    b"aes128gcm br compress deflate exi gzip identity pack200-gzip x-compress x-gzip zstd".split()
)
"""IANA's; of another one cannot say whether a client understands it."""
_ALIASES: Final = {b"x-gzip": b"gzip", b"x-compress": b"compress"}
_IDENTITY: Final = b"identity"


@attrs.frozen
class Asked:
    """What of a request a response may vary on."""

    codings: frozenset[bytes]
    referer: bytes


UNASKED: Final = Asked(frozenset(), b"")
"""Where nothing varies."""


def asked(request: Iterable[bytes]) -> Asked:
    """Read that from header lines."""
    lines = list(request)
    accepted: set[bytes] = set()
    refused: set[bytes] = set()
    everything = not fields(lines, b"accept-encoding")
    for value in fields(lines, b"accept-encoding"):
        for element in value.split(b","):
            word, *parameters = (part.strip(b" \t").lower() for part in element.split(b";"))
            coding = _ALIASES.get(word, word)
            if any(_is_zero(parameter) for parameter in parameters):
                refused.add(coding)
            elif coding == b"*":
                everything = True
            elif coding:
                accepted.add(coding)
    if everything:
        accepted |= _CODINGS - refused
    if _IDENTITY not in refused and (b"*" not in refused or _IDENTITY in accepted):
        accepted.add(_IDENTITY)
    return Asked(
        frozenset(accepted & _CODINGS),
        b", ".join(fields(lines, b"referer")),
    )


def _is_zero(parameter: bytes) -> bool:
    name, _, value = parameter.partition(b"=")
    return name == b"q" and bool(value) and not value.strip(b"0.")


@attrs.frozen
class Variant:
    """What a response was chosen by."""

    names: frozenset[bytes]
    """Headers that it varies on, in small letters."""
    codings: frozenset[bytes]
    """What it is coded in."""
    asked: Asked
    """How the request was that it answered."""

    def answers(self, request: Asked) -> bool:
        """Would that request get the same?"""
        if b"accept-encoding" in self.names and not self.codings <= request.codings:
            return False
        return b"referer" not in self.names or self.asked.referer == request.referer


def variant(response: Iterable[bytes], request: Asked) -> Variant | None:
    """What tells a response from others under the same key; None where that cannot be told."""
    lines = list(response)
    names = frozenset(
        name.strip(b" \t").lower() for value in fields(lines, b"vary") for name in value.split(b",")
    ) - {b""}
    if not names <= MANAGED:
        return None
    codings = frozenset(
        _ALIASES.get(coding, coding)
        for value in fields(lines, b"content-encoding")
        for coding in (one.strip(b" \t").lower() for one in value.split(b","))
        if coding
    )
    if b"accept-encoding" in names and not codings <= _CODINGS:
        return None
    return Variant(names, codings or frozenset({_IDENTITY}), request)
