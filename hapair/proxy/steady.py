"""Rules whose outcome repeats: what a request line or header lines came to is not found out again.

Hot.  Clients repeat their header lines byte for byte and ask for the same targets, and most rules of a
request ask for nothing else (`rules.needs`).  Two sorts of neighbours are taken as one:

* conditions: for the request line, for the header lines and for the connection it is kept which is the
  first that holds; what stands before the first of the three need not be asked;
* edits of header lines: what they append is kept with the connection, for the next request with the
  same header lines.

Law: what is kept never decides anything that the rules would decide otherwise.  A head that was edited
before, or is not remembered (`http1.memo`), is asked rule by rule.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from hapair.http1.head import Request
from hapair.proxy.about import About
from hapair.rules.needs import ANYTHING, CONNECTION, FIELDS, LINE, NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapair.rules.facts import Test
    from hapair.rules.verdicts import Rule

_numbers: Final = count()
"""Runs are told apart for ever: heads are remembered longer than a configuration lasts."""
_INDEX: Final = 4
"""To index a head takes as long as to search it so often; so does it to learn what headers edits may meet."""
_MOST_KEPT: Final = 64
"""Runs for which one head keeps something; after many reloads the oldest are forgotten with the rest."""


class Run:
    """Neighbours that are taken as one."""

    __slots__ = ("begin", "end", "number")

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.number: int = next(_numbers)

    def pass_over(self, request: Request, about: About) -> int:
        """Do what can be done at once; returns which rule is to be asked next."""
        raise NotImplementedError


class Conditions(Run):
    """Rules that are asked, each for one thing only."""

    __slots__ = ("_connection", "_fields", "_line", "_tests")

    def __init__(self, rules: Sequence[Rule], begin: int, end: int) -> None:
        super().__init__(begin, end)
        self._line: list[tuple[int, Test]] = []
        self._fields: list[tuple[int, Test]] = []
        self._connection: list[tuple[int, Test]] = []
        self._tests: list[Test] = []
        for i in range(begin, end):
            test = rules[i].test
            assert test is not None
            needs = rules[i].test_needs
            of = self._line if needs == LINE else self._fields if needs == FIELDS else self._connection
            of.append((i, test))
            self._tests.append(test)

    def pass_over(self, request: Request, about: About) -> int:
        line, fields = request.line_seen, request.fields_seen
        if line is None or fields is None or not request.as_it_came:
            return self._first(request)
        first = self._least(self.end, self._line, line.first, request)
        first = self._least(first, self._fields, fields.first, request)
        return self._least(first, self._connection, about.first, request)

    def _least(
        self, first: int, tests: list[tuple[int, Test]], kept: dict[int, int], request: Request
    ) -> int:
        """`first`, or one of `tests` that holds and stands before it."""
        if not tests:
            return first
        at = kept.get(self.number)
        if at is None:
            at = self._ask(tests, request, kept)
        if at < first:
            first = at
        return first

    def _first(self, request: Request) -> int:
        """The first that holds, of a head that is not remembered."""
        at = self.begin
        for test in self._tests:
            if test(request):
                return at
            at += 1
        return at

    def _ask(self, tests: list[tuple[int, Test]], request: Request, kept: dict[int, int]) -> int:
        """The first that holds, which is kept."""
        first = self.end
        for i, test in tests:
            if test(request):
                first = i
                break
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[self.number] = first
        return first


class Edits(Run):
    """Rules that edit header lines, whatever the request line is."""

    __slots__ = ("_edits",)

    def __init__(self, rules: Sequence[Rule], begin: int, end: int) -> None:
        super().__init__(begin, end)
        self._edits = [(rule.test, rule.act) for rule in rules[begin:end]]

    def pass_over(self, request: Request, about: About) -> int:
        seen = request.fields_seen
        wire = request.wire
        as_it_came = request.as_it_came
        if as_it_came and about.appended_by == self.number and about.appended_to is seen:
            about.append_again()
            return self.end
        self._edit(request)
        if as_it_came and request.wire:
            about.keep_appended(self.number, seen, request.wire[len(wire) :])
        return self.end

    def _edit(self, request: Request) -> None:
        for test, act in self._edits:
            if test is None or test(request):
                act(request)


class RuleList:
    """The rules for requests of a frontend or a backend."""

    __slots__ = ("looks", "rules", "runs")

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        searches = sum(bool(rule.test_needs & FIELDS) for rule in rules)
        edits = any(not rule.edit_needs & ANYTHING for rule in rules)
        self.looks = searches + _INDEX * edits > _INDEX
        """Do enough of them look for headers by their names?"""
        self.runs: list[Run | None] = [None] * len(rules)
        """By the index of their first rule."""
        at = 0
        while at < len(rules):
            asked, edited = _asked_until(rules, at), _edited_until(rules, at)
            if max(asked, edited) < at + 2:
                at += 1
            elif asked > edited:
                self.runs[at] = Conditions(rules, at, asked)
                at = asked
            else:
                self.runs[at] = Edits(rules, at, edited)
                at = edited


def _asked_until(rules: Sequence[Rule], at: int) -> int:
    while (
        at < len(rules)
        and rules[at].test is not None
        and rules[at].test_needs in (NOTHING, LINE, FIELDS, CONNECTION)
    ):
        at += 1
    return at


def _edited_until(rules: Sequence[Rule], at: int) -> int:
    while at < len(rules) and not (rules[at].test_needs | rules[at].edit_needs) & (LINE | ANYTHING):
        at += 1
    return at


NO_RULES: Final = RuleList([])
