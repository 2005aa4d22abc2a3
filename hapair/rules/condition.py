"""Conditions over ACLs.

    url_static !blocked || { src 10.0.0.0/8 }

Side by side means and, which binds tighter than `||` or `or`; `!` negates what
follows; an expression may stand in braces instead of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.rules.lexer import RuleError, Word, split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hapair.rules.facts import Facts, Test

_OR = ("||", "or")


class Condition:
    """Recursive descent over the words of one condition."""

    def __init__(
        self,
        text: str | Sequence[Word],
        named: Callable[[Word], Test],
        expression: Callable[[Sequence[Word], int], Test],
    ) -> None:
        self._words = split(text) if isinstance(text, str) else text
        self._end = len(text) if isinstance(text, str) else _end(text)
        self._named = named
        """Finds an ACL, or raises RuleError."""
        self._expression = expression
        """Compiles what stands in braces; the offset is for an empty one."""
        self._at = 0

    def compile(self) -> Test:
        """The whole condition.

        Raises:
            RuleError: it is wrong.
        """
        alternatives = [self._conjunction()]
        while self._at < len(self._words):
            self._at += 1  # `||`: nothing else ends a conjunction
            alternatives.append(self._conjunction())
        return any_of(alternatives)

    def _conjunction(self) -> Test:
        terms: list[Test] = []
        while self._at < len(self._words) and self._words[self._at].text not in _OR:
            terms.append(self._term())
        if not terms:
            raise RuleError(self._offset(), "a condition is missing here")
        return all_of(terms)

    def _term(self) -> Test:
        word = self._words[self._at]
        negated = False
        while word.text.startswith("!"):
            negated = not negated
            word = Word(word.text[1:], word.offset + 1)
            if not word.text:
                self._at += 1
                if self._at == len(self._words) or self._words[self._at].text in _OR:
                    raise RuleError(word.offset, "nothing follows the '!'")
                word = self._words[self._at]
        self._at += 1
        test = self._inline(word.offset) if word.text == "{" else self._named(word)
        return (lambda facts: not test(facts)) if negated else test

    def _inline(self, offset: int) -> Test:
        begin = self._at
        for end in range(begin, len(self._words)):
            if self._words[end].text == "}":
                self._at = end + 1
                return self._expression(self._words[begin:end], offset)
        raise RuleError(offset, "this '{' is never closed; braces need blanks around them")

    def _offset(self) -> int:
        return self._words[self._at].offset if self._at < len(self._words) else self._end


def _end(words: Sequence[Word]) -> int:
    return words[-1].offset + len(words[-1].text) if words else 0


def all_of(tests: Sequence[Test]) -> Test:
    """Holds when every test does; asks no further than the first that does not."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        one, other = tests
        return lambda facts: one(facts) and other(facts)

    def every(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110  # a generator costs as much as three tests
            if not test(facts):
                return False
        return True

    return every


def any_of(tests: Sequence[Test]) -> Test:
    """Holds when one test does; asks no further than that."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        one, other = tests
        return lambda facts: one(facts) or other(facts)

    def some(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110  # as above
            if test(facts):
                return True
        return False

    return some
