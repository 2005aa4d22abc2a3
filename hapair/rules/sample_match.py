"""Any matching method put to any sample (configuration manual, section 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from hapair.rules.fetch_internal import truth
from hapair.rules.lexer import RuleError
from hapair.rules.matching import TEXT_METHODS, number_test, text_test
from hapair.rules.networks import address_test
from hapair.rules.values import CASTS, castable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapair.rules.facts import Facts, Test
    from hapair.rules.lexer import Word
    from hapair.rules.sample import Sample
    from hapair.rules.values import Address, Kind

METHODS: Final = ("found", *TEXT_METHODS, "bool", "int", "ip", "bin")
DEFAULT_METHOD: Final[dict[str, str]] = {
    "bool": "bool",
    "int": "int",
    "ip": "ip",
    "str": "str",
    "meth": "str",
}
_TAKES: Final[dict[str, Kind]] = {"bool": "bool", "int": "int", "ip": "ip", "bin": "bin"}


def compile_match(
    sample: Sample, method: str, patterns: Sequence[Word], word: Word, *, ignore_case: bool
) -> Test:
    """The test whether an occurrence of a sample matches one of the patterns.

    Raises:
        RuleError: the method does not fit the sample, or a pattern the method.
    """
    method = method or DEFAULT_METHOD.get(sample.kind, "")
    if not method:
        raise RuleError(word.offset, f"{word.text}: say how to match: -m {', '.join(METHODS)}")
    if method == "found":
        if patterns:
            raise RuleError(patterns[0].offset, f"{word.text}: no pattern fits here")
        return _found(sample)
    wanted: Kind = _TAKES.get(method, "str")
    if not castable(sample.kind, wanted):
        raise RuleError(word.offset, f"{word.text}: it is {sample.kind}, and -m {method} takes {wanted}")
    test = _test(method, patterns, word, ignore_case=ignore_case)
    cast: Callable[[Any], Any] | None = CASTS[wanted]
    if sample.kind == wanted or (sample.kind == "meth" and wanted == "str"):
        cast = None
    return _put(sample, cast, test)


def _found(sample: Sample) -> Test:
    if not sample.several:
        return lambda facts: sample.read(facts) is not None
    return lambda facts: any(True for _ in sample.each(facts))


def _put(sample: Sample, cast: Callable[[Any], Any] | None, test: Callable[[Any], bool]) -> Test:
    read, each = sample.read, sample.each
    if sample.several:
        if cast is None:
            return lambda facts: any(map(test, each(facts)))
        return lambda facts: any((v := cast(value)) is not None and test(v) for value in each(facts))
    if cast is None:
        return lambda facts: (value := read(facts)) is not None and test(value)

    def cast_and_tested(facts: Facts) -> bool:
        value = read(facts)
        taken = None if value is None else cast(value)
        return taken is not None and test(taken)

    return cast_and_tested


def _test(method: str, patterns: Sequence[Word], word: Word, *, ignore_case: bool) -> Callable[[Any], bool]:
    if method == "bool":
        return _truths(patterns)
    if not patterns:
        raise RuleError(word.offset + len(word.text), f"{word.text}: at least one pattern must follow")
    for pattern in patterns:
        if not pattern.text:
            raise RuleError(pattern.offset, "an empty pattern matches nothing")
    if method == "int":
        return number_test(patterns)
    if method == "ip":
        in_one = address_test(patterns)

        def address_matches(value: Address) -> bool:
            return in_one(str(value))

        return address_matches
    if method == "bin":
        return _bytes(patterns)
    return text_test(method, patterns, ignore_case=ignore_case)


def _truths(patterns: Sequence[Word]) -> Callable[[Any], bool]:
    accepted = set() if patterns else {True}
    for pattern in patterns:
        try:
            accepted.add(truth(pattern.text))
        except ValueError:
            raise RuleError(pattern.offset, f"{pattern.text!r} is neither true nor false") from None
    return accepted.__contains__


def _bytes(patterns: Sequence[Word]) -> Callable[[Any], bool]:
    accepted = set()
    for pattern in patterns:
        try:
            accepted.add(bytes.fromhex(pattern.text))
        except ValueError:
            raise RuleError(pattern.offset, f"{pattern.text!r} is not a row of hexadecimal digits") from None
    return accepted.__contains__
