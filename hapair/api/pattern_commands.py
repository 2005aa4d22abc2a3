"""The commands for maps and files of patterns (management manual, section 9.3: `show map`, `add acl` ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING

from hapair.rules.lexer import RuleError, Word
from hapair.rules.matching import number_test, text_test
from hapair.rules.networks import address_test

if TYPE_CHECKING:
    from hapair.rules.pattern_files import Entry, Live, Reference, References

AT_ONCE = 100
"""Entries that are looked at before clients are served again: a test of each may have to be compiled."""
_TREES = ("str", "beg", "ip")
"""Methods whose patterns HAProxy keeps in a tree, where the longest counts."""
_WORD = {"acl": "ACL", "map": "map"}


class PatternCommands:
    """Answers as HAProxy does; files are known by their path, or by `#` and their number."""

    def __init__(self, references: Callable[[], References]) -> None:
        self._references = references

    def verbs(self, kind: str) -> list[tuple[str, Callable[[list[str]], str | Iterator[str]]]]:
        """The commands for `acl` or `map`."""
        found: dict[str, Callable[[str, list[str]], str | Iterator[str]]] = {
            "show": self._show,
            "get": self._get,
            "add": self._add,
            "del": self._delete,
            "clear": self._clear,
        }
        if kind == "map":
            found["set"] = self._set
        return [(f"{verb} {kind}", partial(run, kind)) for verb, run in found.items()]

    def _find(self, kind: str, name: str) -> Reference | None:
        for one in self._references().used():
            if any(live.kind == kind for live in one.uses()) and name in (one.path, f"#{one.number}"):
                return one
        return None

    def _show(self, kind: str, words: list[str]) -> str | Iterator[str]:
        if not words:
            lines = ["# id (file) description\n"]
            for one in self._references().used():
                uses = [live.kind for live in one.uses()]
                if kind in uses:
                    used = ", ".join(f"by {use}" for use in uses)
                    lines.append(
                        f"{one.number} ({one.path}) pattern loaded from file '{one.path}' used {used}. "
                        f"curr_ver=0 next_ver=0 entry_cnt={len(one.entries)}\n"
                    )
            return "".join(lines)
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        return _listed(kind, found.entries)

    def _get(self, kind: str, words: list[str]) -> str | Iterator[str]:
        if len(words) < 2:
            return f"Missing {_WORD[kind]} identifier and/or key.\n"
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        return chain.from_iterable(_got(kind, live, found.entries, words[1]) for live in found.uses())

    def _add(self, kind: str, words: list[str]) -> str:
        if len(words) < (3 if kind == "map" else 2):
            if kind == "acl":
                return "'add acl' expects two parameters: ACL identifier and pattern.\n"
            return (
                "'add map' expects three parameters (map identifier, key and value) "
                "or one parameter (map identifier) and a payload\n"
            )
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        try:
            found.add(words[1], words[2] if kind == "map" else "")
        except RuleError as error:
            return f"{error.message}.\n"
        return ""

    def _set(self, kind: str, words: list[str]) -> str:
        if len(words) < 3:
            return "'set map' expects three parameters: map identifier, key and value.\n"
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        return "" if found.set(_meant(words[1]), words[2]) else "entry not found.\n"

    def _delete(self, kind: str, words: list[str]) -> str:
        if len(words) < 2:
            return f"This command expects two parameters: {_WORD[kind]} identifier and key.\n"
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        return "" if found.delete(_meant(words[1])) else "Key not found.\n"

    def _clear(self, kind: str, words: list[str]) -> str:
        if not words:
            return f"Missing {_WORD[kind]} identifier.\n"
        found = self._find(kind, words[0])
        if found is None:
            return _unknown(kind)
        found.replace([])
        return ""


def _listed(kind: str, entries: list[Entry]) -> Iterator[str]:
    for some in _some(entries):
        yield "".join(
            f"0x{entry.number:x} {entry.key}{f' {entry.value}' if kind == 'map' else ''}\n" for entry in some
        )


def _some(entries: list[Entry]) -> Iterator[list[Entry]]:
    """AT_ONCE of them at a time."""
    for at in range(0, len(entries), AT_ONCE):
        yield entries[at : at + AT_ONCE]


def _unknown(kind: str) -> str:
    return f"Unknown {_WORD[kind]} identifier. Please use #<id> or <file>.\n"


def _meant(word: str) -> Callable[[Entry], bool]:
    """By its key, or by its number."""
    if word.startswith("#"):
        return lambda entry: f"#0x{entry.number:x}" == word
    return lambda entry: entry.key == word


def _got(kind: str, live: Live, entries: list[Entry], sample: str) -> Iterator[str]:
    """What one rule finds for a sample; nothing after some entries of a file that have been tried."""
    case = "insensitive" if live.ignore_case else "sensitive"
    begin = f"type={live.method}, case={case}, {'found' if kind == 'map' else 'match'}="
    found: list[Entry] = []
    for some in _some(entries):
        found += [entry for entry in some if _matches(live, entry.key, sample)]
        yield ""
    if not found:
        yield f"{begin}no\n"
        return
    tree = live.method in _TREES and not (live.ignore_case and live.method != "ip")
    first = max(found, key=lambda entry: _size(live, entry)) if tree else found[0]
    index = f"yes, idx={'tree' if tree else 'list'}"
    if kind == "acl":
        yield f'{begin}{index}, pattern="{first.key}"\n'
        return
    yield f'{begin}{index}, key="{first.key}", value="{first.value}", type="str"\n'


def _size(live: Live, entry: Entry) -> int:
    """The longer beginning and the smaller network counts."""
    if live.method != "ip":
        return len(entry.key)
    _, slash, length = entry.key.partition("/")
    return int(length) if slash and length.isdecimal() else 128


def _matches(live: Live, pattern: str, sample: str) -> bool:
    words = [Word(pattern, 0)]
    try:
        if live.method == "ip":
            return address_test(words)(str(ip_address(sample)))
        if live.method == "int":
            return number_test(words)(int(sample))
        method = "reg" if live.method == "regm" else live.method
        test = text_test(method, words, ignore_case=live.ignore_case)
        return test(sample.encode("utf-8", "surrogateescape"))
    except (ValueError, RuleError):
        return False
