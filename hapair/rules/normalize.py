"""`normalize-uri`: one kind of difference between URIs that mean the same is taken away (section 4.2).

Each is a function of a target's path and query, given as one; None where `strict` finds it broken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hapair.rules.verdicts import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.rules.action_words import Words
    from hapair.rules.facts import Facts
    from hapair.rules.verdicts import Act

    Normalize = Callable[[bytes], bytes | None]

_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SLASHES: Final = re.compile(rb"/{2,}")
_BAD: Final = Answer(400, (), None, refuses=True)


def _on_path(change: Callable[[bytes], bytes]) -> Normalize:
    def normalize(target: bytes) -> bytes:
        path, question, query = target.partition(b"?")
        return change(path) + question + query

    return normalize


def _strip_dot(path: bytes) -> bytes:
    """Segments that are one dot."""
    segments = path.split(b"/")
    last = len(segments) - 1
    kept = [one for i, one in enumerate(segments) if one != b"." or i == 0]
    if last and segments[last] == b".":
        kept.append(b"")
    return b"/".join(kept)


def _strip_dotdot(path: bytes, *, full: bool) -> bytes:
    """Segments that are two dots, each with the one before it; at the beginning only if `full`."""
    if not path.startswith(b"/"):
        return path
    kept: list[bytes] = []
    segments = path[1:].split(b"/")
    for i, one in enumerate(segments):
        if one != b"..":
            kept.append(one)
            continue
        if kept and kept[-1] != b"..":
            kept.pop()
        elif not full:
            kept.append(one)
        if i == len(segments) - 1:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def _decoded(target: bytes) -> bytes:
    def decode(found: re.Match[bytes]) -> bytes:
        byte = int(found[1], 16)
        return bytes([byte]) if byte in _UNRESERVED else found[0]

    return _PERCENT.sub(decode, target)


def _upper(target: bytes) -> bytes:
    return _PERCENT.sub(lambda found: found[0].upper(), target)


def _strict(change: Callable[[bytes], bytes]) -> Normalize:
    return lambda target: None if _BROKEN.search(target) else change(target)


def _sorted_query(target: bytes) -> bytes:
    path, question, query = target.partition(b"?")
    if not question:
        return target
    parameters = sorted(query.split(b"&"), key=lambda one: one.partition(b"=")[0])
    return path + question + b"&".join(parameters)


_KINDS: Final[dict[str, tuple[str, Normalize]]] = {
    "fragment-encode": ("", lambda target: target.replace(b"#", b"%23")),
    "fragment-strip": ("", lambda target: target.partition(b"#")[0]),
    "path-merge-slashes": ("", _on_path(lambda path: _SLASHES.sub(b"/", path))),
    "path-strip-dot": ("", _on_path(_strip_dot)),
    "path-strip-dotdot": ("full", _on_path(lambda path: _strip_dotdot(path, full=False))),
    "percent-decode-unreserved": ("strict", _decoded),
    "percent-to-uppercase": ("strict", _upper),
    "query-sort-by-name": ("", _sorted_query),
}
"""By name: the word that may follow, and what is done."""
_MORE: Final[dict[str, Normalize]] = {
    "path-strip-dotdot": _on_path(lambda path: _strip_dotdot(path, full=True)),
    "percent-decode-unreserved": _strict(_decoded),
    "percent-to-uppercase": _strict(_upper),
}
"""What is done with that word."""


def normalize_uri(words: Words) -> Act:
    """The action."""
    kind = words.option(_KINDS).text
    option, change = _KINDS[kind]
    if option and words.left:
        words.option([option])
        change = _MORE[kind]
    words.end()

    def act(facts: Facts) -> Answer | None:
        about = facts.about
        if about is None:
            return None
        target = about.request_target
        before, rest = b"", target
        if not target.startswith(b"/"):
            scheme, found, authority = target.partition(b"://")
            host, slash, path = authority.partition(b"/")
            if not found or not slash:
                return None
            before, rest = scheme + found + host, slash + path
        new = change(rest)
        if new is None:
            return _BAD
        if new != rest:
            about.set_target(before + new)
        return None

    return act
