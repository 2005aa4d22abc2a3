"""Random requests and rules that often meet: few words, spelled in many ways."""

from __future__ import annotations

import random

import attrs
from rules.transaction import Transaction

SEGMENTS = ("static", "Static", "img", "a.b", "x", "STATIC.PNG", "jpg", "a")
NAMES = ("host", "x-a", "x-b", "user-agent")
VALUES = ("www.example.org", "WWW.Example.org", "example.org:80", "a", "b", "A b", "a.b", "")
SOURCES = ("10.1.2.3", "10.1.2.4", "192.168.0.1", "127.0.0.1", "::1", "2001:db8::1", "::ffff:10.1.2.3")
NETWORKS = (
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.0/255.255.255.252",
    "128.0.0.0/1",
    "::/0",
    "::1",
    "2001:db8::/32",
    "::ffff:10.1.2.0/120",
    "127.0.0.0/8",
)
METHODS = ("GET", "HEAD", "POST", "get", "BREW", "OPTIONS")
REGULARS = ("^/static", r"\.png$", "^/(img|x)/", "a.b", r"a\.b", "^$", "[A-Z]+")
TEXT_METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg")


@attrs.frozen
class Request:
    """What rules may ask about (`hapair.rules.facts.Facts`), and the same as bytes."""

    method: bytes
    path: bytes
    query: bytes
    source: str
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def host(self) -> bytes | None:
        return next((value for name, value in self.headers if name == b"host"), None)

    def header(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.headers if known == name]

    @property
    def target(self) -> bytes:
        return (self.path or b"*") + (b"?" + self.query if self.query else b"")

    @property
    def lines(self) -> list[bytes]:
        return [
            b"%b %b HTTP/1.1" % (self.method, self.target),
            *(b"%b: %b" % header for header in self.headers),
        ]

    @property
    def about(self) -> Transaction:
        return Transaction(self.lines, self.target)

    def wire(self) -> bytes:
        return b"\r\n".join(self.lines) + b"\r\n\r\n"


def request(chance: random.Random) -> Request:
    path = "/" + "/".join(chance.choices(SEGMENTS, k=chance.randint(0, 3))) + chance.choice(["", "", "/"])
    headers = [("host", chance.choice(VALUES[:3]))]
    for _ in range(chance.randint(0, 3)):
        values = chance.choices([*VALUES, '"a,b"', r'"a\",b"'], k=chance.randint(1, 3))
        headers.append((chance.choice(NAMES[1:]), chance.choice([",", ", ", " , "]).join(values).strip()))
    return Request(
        method=chance.choice(METHODS).encode(),
        path=path.encode(),
        query=chance.choice(["", "a=1", "x/static?y"]).encode(),
        source=chance.choice(SOURCES),
        headers=tuple((name.encode(), value.encode()) for name, value in headers),
    )


def expression(chance: random.Random) -> str:
    kind = chance.choice(
        ["path", "path", "hdr", "hdr", "req.fhdr", "query", "src", "method", "count", "found"]
    )
    if kind == "src":
        return "src " + " ".join(chance.choices(NETWORKS, k=chance.randint(1, 3)))
    if kind == "method":
        return "method " + " ".join(chance.choices(METHODS, k=chance.randint(1, 2)))
    if kind == "count":
        numbers = chance.choice(
            ["0", "1", "2", "1:2", ":1", "2:", "gt 1", "ge 2", "lt 2", "le 1", "eq 3", "1 3"]
        )
        return f"{chance.choice(['hdr_cnt', 'req.hdr_cnt', 'req.fhdr_cnt'])}({_name(chance)}) {numbers}"
    if kind == "found":
        return chance.choice(["path", "query", "src", f"hdr({_name(chance)})"]) + " -m found"
    return _text(kind, chance)


def _text(kind: str, chance: random.Random) -> str:
    method = chance.choice(TEXT_METHODS)
    fetch = kind if kind in ("path", "query") else f"{kind}({_name(chance)})"
    flags = chance.choice(["", "", "-i"])
    if kind in ("path", "hdr") and chance.random() < 0.7:
        fetch = kind + ("" if method == "str" else f"_{method}") + fetch[len(kind) :]
    else:
        flags += f" -m {method}"
    patterns = [_pattern(kind, method, chance) for _ in range(chance.randint(1, 3))]
    return " ".join([fetch, *flags.split(), *chance.choice([[], ["--"]]), *patterns])


def _name(chance: random.Random) -> str:
    return chance.choice([str.lower, str.title])(chance.choice(NAMES))


def _pattern(kind: str, method: str, chance: random.Random) -> str:
    if method == "reg":
        return chance.choice(REGULARS)
    if kind in ("path", "query"):
        whole = "/" + "/".join(chance.choices(SEGMENTS, k=chance.randint(1, 2)))
    else:
        whole = chance.choice(VALUES[:-1])
    begin = chance.choice([0, 0, 1, chance.randrange(len(whole))])
    end = chance.choice([len(whole), len(whole), chance.randint(begin + 1, max(begin + 1, len(whole)))])
    return _quoted(whole[begin:end] or whole, chance)


def _quoted(text: str, chance: random.Random) -> str:
    match chance.randrange(4):
        case 0:
            return f'"{text}"'
        case 1:
            return f"'{text}'"
        case _:
            return text.replace(" ", r"\ ")


def condition(chance: random.Random, names: list[str]) -> str:
    words: list[str] = []
    for number in range(chance.randint(1, 4)):
        if number and chance.random() < 0.35:
            words.append(chance.choice(["or", "||"]))
        negation = chance.choice(["", "", "!", "! "])
        term = chance.choice(names) if chance.random() < 0.6 else f"{{ {expression(chance)} }}"
        words.append(negation + term)
    return " ".join(words)


def without_target(chance: random.Random) -> Request:
    """`OPTIONS *`: a request that has no path."""
    return attrs.evolve(request(chance), method=b"OPTIONS", path=b"", query=b"")
