"""Positions: every path that tomllib knows, and spans that read as the very value."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.locate import Lines, Path, locate

BARE = st.text("abcXYZ019_-", min_size=1, max_size=5)
KEYS = BARE | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\#[]{},.=\n\t "), max_size=12)
SCALARS = st.one_of(
    TEXT,
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    st.dates(),
    st.times().map(lambda moment: moment.replace(microsecond=0)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=5)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from walk(inner, (*path, key))


def assert_located(text: str) -> None:
    """The law: same paths as tomllib, and each span by itself reads as its value."""
    places = locate(text)
    found = dict(walk(tomllib.loads(text)))
    assert set(places) == set(found)
    for path, place in places.items():
        key, written = text[place.key.start : place.key.end], text[place.value.start : place.value.end]
        if isinstance(path[-1], str):
            assert tomllib.loads(f"{key} = 1") == {path[-1]: 1}
        if place.key != place.value or not isinstance(found[path], dict | list):
            assert tomllib.loads(f"x = {written}") == {"x": found[path]}


class Writer:
    """The same tree in another spelling each time: quoting, dotted keys, headers, blanks, comments."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def blank(self) -> str:
        return self.pick("", " ", "\t ")

    def gap(self) -> str:
        """Between the elements of an array."""
        return self.pick("", " ", "\n", " # ], } = \"'\n", "\n\n\t")

    def key(self, key: str) -> str:
        if (
            key
            and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
            and self.pick("bare", "quoted") == "bare"
        ):
            return key
        return self.string(key, lines=False)

    def string(self, text: str, *, lines: bool = True) -> str:
        plain = text.replace("\t", "").isprintable()
        escaped = "".join(
            c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" if c not in '"\\' else f"\\{c}"
            for c in text
        )
        spellings = [f'"{escaped}"']
        if plain and "'" not in text:
            spellings.append(f"'{text}'")
        if lines:
            spellings.append(f'"""\n{escaped}"""')
            spellings.append(f'"""{escaped}\\\n   """' if not text[-1:].isspace() else f'"""{escaped}"""')
            if (
                all(c.isprintable() or c in "\n\t" for c in text)
                and "'''" not in text
                and not text.endswith("'")
            ):
                spellings.append(f"'''\n{text}'''")
            if plain and text.endswith('"') and '""' not in text and "\\" not in text:
                spellings.append(f'"""{text}"""')
        return self.pick(*spellings)

    def value(self, value: Any) -> str:
        match value:
            case str():
                return self.string(value)
            case list():
                inner = "".join(f"{self.gap()}{self.value(one)}{self.gap()}," for one in value)
                return f"[{inner if self.pick('', 'comma') else inner.removesuffix(',')}{self.gap()}]"
            case dict():
                return (
                    "{"
                    + ",".join(f"{self.blank()}{line}" for line in self.assignments(value))
                    + self.blank()
                    + "}"
                )
            case _:
                return self.scalar(value)

    def scalar(self, value: Any) -> str:
        written = tomli_w.dumps({"x": value})[4:].strip()
        return (
            written.replace("T", self.pick("T", " ", "t"))
            if len(written) > 10 and "T" in written
            else written
        )

    def assignments(self, table: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, value in table.items():
            dotted = prefix + self.key(key)
            if isinstance(value, dict) and value and self.pick("dotted", "inline") == "dotted":
                yield from self.assignments(value, f"{dotted}{self.blank()}.{self.blank()}")
            else:
                yield f"{dotted}{self.blank()}={self.blank()}{self.value(value)}"

    def document(self, table: dict[str, Any], header: tuple[str, ...] = ()) -> str:
        """Headers for some of the tables, in the order that TOML asks for: after the plain keys."""
        later: dict[str, Any] = {}
        text = ""
        for key, value in table.items():
            tables = isinstance(value, dict) or (
                isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
            )
            if tables and self.pick("header", "here") == "header":
                later[key] = value
            else:
                for line in self.assignments({key: value}):
                    comment, after = self.pick("", " # [x] = 1"), self.pick("", "# comment", " ")
                    text += f"{self.blank()}{line}{comment}\n{after}\n"
        for key, value in later.items():
            path = (*header, key)
            name = f"{self.blank()}.{self.blank()}".join(self.key(part) for part in path)
            for one in value if isinstance(value, list) else [value]:
                brackets = ("[[", "]]") if isinstance(value, list) else ("[", "]")
                text += f"{brackets[0]}{self.blank()}{name}{self.blank()}{brackets[1]}\n" + self.document(
                    one, path
                )
        return text


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    tree = draw(TREES)
    return tree, Writer(draw).document(tree)


@given(documents())
def test_every_spelling_is_located_as_tomllib_reads_it(document):
    tree, text = document
    assert tomllib.loads(text) == tree
    assert_located(text)


@given(TREES, st.booleans())
def test_what_a_writer_library_writes_is_located(tree, multiline):
    assert_located(tomli_w.dumps(tree, multiline_strings=multiline))


@pytest.mark.parametrize(
    "text",
    [
        "[a.b]\nx = 1\n[a]\ny = 2\n",
        "[[a]]\n[[a.b]]\nx = 1\n[[a.b]]\n[[a]]\n[a.c]\n[[a.b]]\ny = [1, [2, {z = 3}]]\n",
        "a.b.c = 1\na.b.d = 2\n[a.e]\n",
        "x = {}\ny = []\nz = [ # nothing\n]\n",
        'x = """"a""""\ny = """\\""""\nz = \'\'\'\'a\'\'\'\'\n',
        "x = 1979-05-27 07:32:00Z # a blank in a date\ny = 07:32:00.5\nz = 1979-05-27 # then a comment\n",
        '[ a . "b.c" . \'d\' ]\n"" = 1\n',
        "",
        "# only a comment",
    ],
)
def test_the_corners_of_toml(text):
    assert_located(text)


def test_a_table_written_in_parts_is_where_it_is_first_named():
    places = locate("[a.b]\n[a]\n[a.c]\n")
    assert (places["a",].key.start, places["a", "b"].key.start, places["a", "c"].key.start) == (1, 3, 13)


@given(st.text("ab\n", max_size=20), st.data())
def test_offsets_become_lines_and_columns(text, data):
    offset = data.draw(st.integers(0, len(text)))
    line, column = Lines(text).position(offset)
    lines = text.split("\n")
    assert sum(len(one) + 1 for one in lines[: line - 1]) + column - 1 == offset
    assert 1 <= column <= len(lines[line - 1]) + 1
