"""What a response head says to caches that many share (RFC 9111 section 5.2.2), as HAProxy reads it."""

from __future__ import annotations

from typing import Final

UNSAID: Final = 0
FOR_ALL: Final = 1
FOR_NOBODY_ELSE: Final = 2

_PRIVATE: Final = frozenset({b"private", b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"})


def caching(lines: list[bytes]) -> int:
    """UNSAID, FOR_ALL or FOR_NOBODY_ELSE; the last word counts, but for `Pragma: no-cache`."""
    said = UNSAID
    for line in lines:
        if line[:1] not in b"CcPp":
            continue
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"pragma" and value.strip().lower() == b"no-cache":
            return FOR_NOBODY_ELSE
        if name == b"cache-control":
            for one in value.lower().split(b","):
                word = one.strip(b" \t")
                if word == b"public":
                    said = FOR_ALL
                elif word in _PRIVATE:
                    said = FOR_NOBODY_ELSE
    return said
