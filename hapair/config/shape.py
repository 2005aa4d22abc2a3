"""Tables and arrays of node.toml -> values, with the key path of every mistake.

A parser is a function from what TOML gave to a value.  `table`, `array` and
`named` build parsers from parsers; underneath, cattrs collects every mistake of
a table instead of stopping at the first, and refuses keys that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import attrs
import cattrs
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from hapair.config import fields
from hapair.config.fields import FieldError, wrong
from hapair.config.locate import Path
from hapair.config.problems import quoted

T = TypeVar("T")
K = TypeVar("K", str, int)
R = TypeVar("R")
FOREIGN = {"nopreempt": "preempt = false"}
"""Words of keepalived's that are written otherwise."""

Parser = Callable[[object], T]

_CONVERTER = cattrs.Converter(detailed_validation=True)
_KEYS: dict[type, dict[str, str]] = {}
"""Class -> its fields and the keys in which they are written."""
_NAME_KEY = "\0name"
"""Carries the name of a table (`frontend.NAME`) to the field `name`; no file can contain it."""


@attrs.frozen
class Mistake:
    path: Path
    message: str
    at_key: bool = False
    offset: int | None = None


def table(cls: type[T], *, rename: Mapping[str, str] | None = None, **parsers: Parser[Any]) -> Parser[T]:
    """A table whose keys are the fields of an attrs class, each read by its own parser.

    `rename` is for fields whose key is not a Python name.  A field `name` with the
    parser `named` takes the key of the table itself.
    """
    keys = {field: (rename or {}).get(field, field) for field in parsers}
    _KEYS[cls] = {field: key for field, key in keys.items() if key != _NAME_KEY}
    knows_name = _NAME_KEY in keys.values()
    overrides: dict[str, Any] = {
        field: override(rename=keys[field], struct_hook=_hook(parser)) for field, parser in parsers.items()
    }
    missing = {field.name for field in attrs.fields(cast("Any", cls))} ^ parsers.keys()
    assert not missing, f"{cls.__name__}: {missing} must be both a field and a parser"
    structure = make_dict_structure_fn(
        cls, _CONVERTER, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **overrides
    )

    def parse(value: object) -> T:
        if not isinstance(value, dict):
            raise wrong(value, "a table")
        if not knows_name:
            value = {key: content for key, content in value.items() if key != _NAME_KEY}
        return structure(value, cls)

    return parse


def keys(cls: type) -> tuple[str, ...]:
    """The keys that a table of this class may have."""
    return tuple(_KEYS[cls].values())


def _hook(parser: Parser[T]) -> Callable[[object, object], T]:
    """A parser as cattrs calls it, with the type that it already knows."""
    return lambda value, _: parser(value)


OWN_NAME = {"name": _NAME_KEY}
"""`rename` of a class whose `name` is the key of its table."""


class NameFieldError(FieldError):
    """The mistake is in the key, not in the value."""


def named(parser: Parser[T], name: Parser[str] = fields.name) -> Parser[dict[str, T]]:
    """A table whose keys are names that the operator chose; see OWN_NAME."""

    def parse(value: object) -> dict[str, T]:
        if not isinstance(value, dict):
            raise wrong(value, "a table")
        return dict(_all(value.items(), one))

    def one(key: str, content: object) -> tuple[str, T]:
        try:
            name(key)
        except FieldError as error:
            raise NameFieldError(error.message) from None
        return key, parser({**content, _NAME_KEY: key} if isinstance(content, dict) else content)

    return parse


def array(parser: Parser[T], *, at_least: int = 0) -> Parser[tuple[T, ...]]:
    """An array of values of one kind."""

    def parse(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise wrong(value, "an array")
        if len(value) < at_least:
            raise FieldError("expected at least one element")
        return tuple(_all(enumerate(value), lambda _, element: parser(element)))

    return parse


def one_or_more(parser: Parser[T], *, at_least: int = 0) -> Parser[tuple[T, ...]]:
    """An array, or a single value for an array of one."""
    several = array(parser, at_least=at_least)
    return lambda value: several(value) if isinstance(value, list) else (parser(value),)


def switch(parser: Parser[T], on: Callable[[], T] | None = None) -> Parser[T | bool]:
    """Something that `false` turns off, also where [defaults] turn it on; `true` is `on`."""

    def parse(value: object) -> T | bool:
        if value is False:
            return False
        if value is True and on is not None:
            return on()
        return parser(value)

    return parse


def _all(items: Iterable[tuple[K, object]], one: Callable[[K, object], R]) -> list[R]:
    """Read every item; raises the mistakes of all of them together."""
    done: list[R] = []
    failures: list[Exception] = []
    for index, content in items:
        try:
            done.append(one(index, content))
        except (FieldError, ClassValidationError, IterableValidationError) as error:
            error.add_note(IterableValidationNote(f"at {index!r}", index, object))
            failures.append(error)
    if failures:
        raise IterableValidationError("several mistakes", failures, list)
    return done


def mistakes(error: BaseException, path: Path = ()) -> Iterator[Mistake]:
    """Every single mistake in what a parser raised."""
    match error:
        case FieldError():
            yield Mistake(path, error.message, isinstance(error, NameFieldError), error.offset)
        case ClassValidationError():
            unknown = _unknown_keys(error)
            meant = {hint for hint in unknown.values() if hint}
            for inner, note in error.group_exceptions()[0]:
                key = _KEYS[error.cl][note.name]
                if not isinstance(inner, KeyError):
                    yield from mistakes(inner, (*path, key))
                elif key not in meant:  # else the misspelt key is told instead
                    yield Mistake((*path, key), "this key is required", at_key=True)
            for key, hint in unknown.items():
                known = (
                    f"did you mean {quoted(hint)}?" if hint else f"known here: {', '.join(keys(error.cl))}"
                )
                if key in FOREIGN and FOREIGN[key].partition(" ")[0] in keys(error.cl):
                    known = f"that is written {FOREIGN[key]} here"
                yield Mistake((*path, key), f"unknown key; {known}", at_key=True)
        case IterableValidationError():
            for inner, place in error.group_exceptions()[0]:
                yield from mistakes(inner, (*path, place.index))
        case _:
            raise error


def _unknown_keys(error: ClassValidationError) -> dict[str, str]:
    """Keys that the class does not have, and what was probably meant."""
    known = keys(error.cl)
    extra = {
        key
        for inner in error.exceptions
        if isinstance(inner, ForbiddenExtraKeysError)
        for key in inner.extra_fields
    }
    return {
        key: fields.closest(key, known) or fields.closest(key.replace("-", "_"), known)
        for key in sorted(extra)
    }
