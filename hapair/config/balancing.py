"""`balance` and `hash_type` in HAProxy's words: `uri depth 3`, `hdr(Host)`, `consistent wt6 avalanche`."""

from __future__ import annotations

import re

import attrs

from hapair.config.fields import FieldError, shown, string, suggestion
from hapair.config.model import Balance, HashType

ALGORITHMS = (
    "roundrobin",
    "static-rr",
    "leastconn",
    "first",
    "source",
    "uri",
    "url_param",
    "hdr",
    "random",
    "hash",
)
"""Those of `hapair.balance`, which configuration may not import; a test compares them."""
FUNCTIONS = ("sdbm", "djb2", "wt6", "crc32")
_METHODS = ("map-based", "consistent")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HASH = re.compile(r"hash\s+(\S.*)")
_WORD = re.compile(r"(?P<name>[^\s()]+)(?:\((?P<argument>[^()]*)\))?")
_MOST_DRAWS = 100


def balance(value: object) -> Balance:
    """An algorithm and what it takes."""
    text = string(value, f"an algorithm, one of {', '.join(ALGORITHMS)}")
    found = _HASH.fullmatch(text)
    if found is not None:
        return Balance("hash", expression=found[1].strip())
    words = [(one.start(), one[0]) for one in re.finditer(r"\S+", text)]
    first = _WORD.fullmatch(words[0][1]) if words else None
    name = first["name"] if first is not None else text
    if first is None or name not in ALGORITHMS:
        hint = suggestion(name, ALGORITHMS) or f"; expected one of {', '.join(ALGORITHMS)}"
        raise FieldError(f"{shown(name)} is not known here{hint}")
    argument, rest = first["argument"], words[1:]
    if argument is not None and name not in ("hdr", "random"):
        raise FieldError(f"{name} takes nothing in parentheses", len(name))
    if name == "uri":
        return _uri(rest)
    if name == "hdr":
        return _header(argument, rest)
    if name == "url_param":
        return _parameter(rest)
    if name == "hash":
        raise FieldError('hash needs a sample expression, such as "hash req.cookie(clientid)"')
    if rest:
        raise FieldError(f"{shown(rest[0][1])}: {name} takes no more words", rest[0][0])
    if name == "random" and argument is not None:
        if re.fullmatch(r"[0-9]{1,3}", argument) is None or not 1 <= int(argument) <= _MOST_DRAWS:
            raise FieldError(f"random(draws) takes a whole number, 1..{_MOST_DRAWS}", len("random("))
        return Balance(name, draws=int(argument))
    return Balance(name)


def _uri(words: list[tuple[int, str]]) -> Balance:
    found = Balance("uri")
    at = 0
    while at < len(words):
        where, word = words[at]
        at += 1
        if word in ("len", "depth"):
            number = words[at][1] if at < len(words) else ""
            if re.fullmatch(r"[1-9][0-9]{0,5}", number) is None:
                raise FieldError(f"{word} takes a whole number, 1 or more", where)
            at += 1
            if word == "len":
                found = attrs.evolve(found, length=int(number))
            else:
                found = attrs.evolve(found, depth=int(number))
        elif word == "whole":
            found = attrs.evolve(found, whole=True)
        elif word == "path-only":
            found = attrs.evolve(found, path_only=True)
        else:
            known = ("len", "depth", "whole", "path-only")
            hint = suggestion(word, known) or f"; uri takes {', '.join(known)}"
            raise FieldError(f"{shown(word)} is not known here{hint}", where)
    return found


def _header(argument: str | None, words: list[tuple[int, str]]) -> Balance:
    if argument is None or _TOKEN.fullmatch(argument) is None:
        raise FieldError("name a header: hdr(host)")
    domain_only = [word for _, word in words] == ["use_domain_only"]
    if words and not domain_only:
        raise FieldError(f"{shown(words[0][1])}: hdr takes only use_domain_only", words[0][0])
    return Balance("hdr", name=argument.lower(), domain_only=domain_only)


def _parameter(words: list[tuple[int, str]]) -> Balance:
    if not words:
        raise FieldError('name a parameter: "url_param userid"')
    if len(words) > 1:
        raise FieldError(f"{shown(words[1][1])}: url_param takes no more words", words[1][0])
    return Balance("url_param", name=words[0][1])


def spell_balance(one: Balance) -> str:
    """What `balance` reads as this."""
    text = one.algorithm
    if one.algorithm == "hdr":
        text += f"({one.name})" + (" use_domain_only" if one.domain_only else "")
    elif one.algorithm == "random":
        text += f"({one.draws})"
    elif one.algorithm == "url_param":
        text += f" {one.name}"
    elif one.algorithm == "hash":
        text += f" {one.expression}"
    elif one.algorithm == "uri":
        text += f" len {one.length}" if one.length else ""
        text += f" depth {one.depth}" if one.depth else ""
        text += " whole" if one.whole else ""
        text += " path-only" if one.path_only else ""
    return text


def hash_type(value: object) -> HashType:
    """A method, then a function, then `avalanche`; consistent alone has it, as HAProxy's law is."""
    words = string(value, "a method, map-based or consistent").split()
    if not words or words[0] not in _METHODS:
        hint = suggestion(words[0] if words else "", _METHODS) or "; expected map-based or consistent"
        raise FieldError(f"{shown(value)} is not known here{hint}")
    consistent = words[0] == "consistent"
    if len(words) == 1:
        return HashType(consistent, "sdbm", consistent)
    if words[1] not in FUNCTIONS:
        hint = suggestion(words[1], FUNCTIONS) or f"; the functions are {', '.join(FUNCTIONS)}"
        raise FieldError(f"{shown(words[1])} is not known here{hint}")
    if words[2:] not in ([], ["avalanche"]):
        raise FieldError(f"{shown(words[2])} is not known here; only avalanche may follow")
    return HashType(consistent, words[1], avalanche=bool(words[2:]))


def spell_hash_type(one: HashType) -> str:
    """What `hash_type` reads as this."""
    method = _METHODS[one.consistent]
    if one == HashType(one.consistent, "sdbm", one.consistent):
        return method
    return f"{method} {one.function}" + (" avalanche" if one.avalanche else "")


def balance_factor(value: object) -> int:
    """Percent of the average load, above 100; 0 for no bound."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError("expected a whole number of percent, 0 or above 100")
    if value and not 100 < value <= 100_000:
        raise FieldError(f"{value} is outside 101..100000; 0 bounds nothing")
    return value
