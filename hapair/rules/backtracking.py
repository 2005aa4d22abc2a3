"""How many steps a backtracking matcher may take for a regular expression on a text of n bytes.

An upper estimate from the parsed expression alone.  What counts is in how many ways an element can
be left (`ways`): a matcher that fails further on comes back and tries the next one, so the steps of
what follows are multiplied by it.  `[^/]*` before a slash can be left in one way only, `.*` before a
slash in n, `(a+)+` in 2^n.  Positions only grow from one repetition to the next, so the n-th of them
that has n ways counts as n/k for the k-th: C(n, k) is n^k / k!.
"""

from __future__ import annotations

import re
from math import inf
from re import _constants as op  # type: ignore[attr-defined]  # the only way to look into one
from typing import Any, Final

import attrs

from hapair.rules.byte_sets import ANYTHING, SINGLE, ByteSets, adds, bits, members_of, walk

_REPEATS: Final = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_NOTHING: Final = 0
_RUN: Final = 16
"""Literal bytes that are looked at, of those that follow."""


@attrs.frozen
class After:
    """What may come after an element, seen from its end."""

    first: int = 0
    """Bytes with one of which it must go on, if it goes on."""
    free: bool = True
    """It can always end here: nothing after it can fail."""
    last: bool = True
    """... and then the whole search is over."""
    entry: float = 0.0
    """Steps until it is known that the next byte is a wrong one."""
    run: bytes = b""
    """The literal bytes that it must begin with."""
    alone: bool = False
    """One byte of `first` comes, and then one of `second`."""
    second: int = ANYTHING


_COMMITTED: Final = After(last=False)
"""Nobody comes back into what looks around, or is atomic."""


@attrs.frozen
class Cost:
    """Of an element, from one place in the text."""

    ways: float
    """In how many places, or by how many paths, it can be left with any hope."""
    steps: float
    depth: int
    """How many repetitions with many ways came before what follows."""


@attrs.frozen
class _Shape:
    first: int
    nullable: bool
    certain: bool
    """It is nullable without any condition."""
    entry: float
    run: bytes = b""
    whole: bool = False
    """It is `run` and nothing else."""


class Estimate:
    """Steps for one expression; `flags` are those that it was compiled with.

    `every` for what is sought again behind each place where it is found.
    """

    def __init__(self, tree: Any, flags: int, *, every: bool = False) -> None:
        self._every = every
        self._tree = tree
        self._lines = bool(flags & re.MULTILINE) or adds(tree, re.MULTILINE)
        self._folds = bool(flags & re.IGNORECASE) or adds(tree, re.IGNORECASE)
        self._sets = ByteSets(
            blind=bool(flags & re.LOCALE) or adds(tree, re.LOCALE),
            dots=bool(flags & re.DOTALL) or adds(tree, re.DOTALL),
            folds=self._folds,
        )
        self._shapes: dict[int, _Shape] = {}
        self._n = 0.0
        self._tail = 0.0
        """Steps that can only lead to success, over bytes that then belong to what is found."""
        self._vain = 0.0
        """Others that can only lead to success: once for all that is found."""

    def steps(self, n: int) -> float:
        """For a search in `n` bytes, or for all searches if every place is wanted."""
        self._n, self._tail, self._vain = float(n), 0.0, 0.0
        elements = list(self._tree)
        if self._anchored(self._tree):
            return n + self._sequence(elements, After(), 1).steps + self._tail + self._vain
        shape = self._sequence_shape(elements)
        places = n / _period(shape.run) + 1
        starts = 1 if shape.certain and not self._every else places
        once = self._sequence(elements, After(), 2).steps
        vain = self._vain * (places if self._every else 1)
        return n * (shape.entry + len(shape.run)) + starts * once + self._tail + vain

    def longest(self, most: float, limit: int) -> int:
        """The longest text, up to `limit`, that takes no more than `most` steps."""
        if self.steps(limit) <= most:
            return limit
        low, high = 0, limit
        while high - low > 1 + low // 32:
            middle = (low + high) // 2
            low, high = (middle, high) if self.steps(middle) <= most else (low, middle)
        return low

    def _anchored(self, tree: Any) -> bool:
        """Does it match at the beginning only?"""
        if not len(tree):
            return False
        operation, argument = tree[0]
        if operation is op.AT:
            return argument is op.AT_BEGINNING_STRING or (argument is op.AT_BEGINNING and not self._lines)
        if operation is op.SUBPATTERN:
            return self._anchored(argument[-1])
        if operation is op.BRANCH:
            return all(self._anchored(branch) for branch in argument[1])
        return False

    # -- costs -----------------------------------------------------------------------------------

    def _sequence(self, elements: list[Any], after: After, depth: int) -> Cost:
        afters = []
        for element in reversed(elements):
            afters.append(after)
            after = self._before(element, after)
        ways, steps = 1.0, 0.0
        for element, follows in zip(elements, reversed(afters), strict=True):
            cost = self._element(element, follows, depth)
            steps += ways * cost.steps
            ways *= cost.ways
            depth = cost.depth
        return Cost(ways, steps, depth)

    def _before(self, element: Any, after: After) -> After:
        shape = self._shape(element)
        if not shape.nullable:
            run = (shape.run + after.run if shape.whole else shape.run)[:_RUN]
            alone = element[0] in SINGLE
            second = _NOTHING if after.free else after.first
            return After(shape.first, False, False, shape.entry, run, alone, second if alone else ANYTHING)
        return After(
            shape.first | after.first,
            shape.certain and after.free,
            shape.certain and after.last,
            shape.entry + after.entry,
        )

    def _element(self, element: Any, after: After, depth: int) -> Cost:
        operation, argument = element
        if operation in _REPEATS:
            return self._repeat(operation, argument, after, depth)
        if operation is op.SUBPATTERN:
            return self._sequence(list(argument[-1]), after, depth)
        if operation is op.BRANCH:
            return self._branch(argument[1], after, depth)
        if operation is op.ATOMIC_GROUP:
            return Cost(1.0, self._sequence(list(argument), _COMMITTED, depth).steps + 1, depth)
        if operation in (op.ASSERT, op.ASSERT_NOT):
            return Cost(1.0, self._sequence(list(argument[1]), _COMMITTED, depth).steps + 1, depth)
        if operation is op.GROUPREF:
            return Cost(1.0, self._n + 1, depth)
        if operation is op.GROUPREF_EXISTS:
            _, yes, no = argument
            return self._branch([yes, no if no is not None else []], after, depth)
        return Cost(1.0, 1.0, depth)

    def _branch(self, branches: Any, after: After, depth: int) -> Cost:
        """The alternatives that begin with the same byte, at worst."""
        ways, steps, always_ways, always_steps = [0.0] * 256, [0.0] * 256, 0.0, 0.0
        entry, deepest = 0.0, []
        for branch in branches:
            elements = list(branch)
            cost, shape = self._sequence(elements, after, depth), self._sequence_shape(elements)
            entry += shape.entry + 1
            deepest.append(cost.depth)
            if shape.nullable or shape.first in (_NOTHING, ANYTHING):
                always_ways += cost.ways
                always_steps += cost.steps
                continue
            for byte in members_of(shape.first):
                ways[byte] += cost.ways
                steps[byte] += cost.steps
        return Cost(
            max(1.0, always_ways + max(ways)), entry + always_steps + max(steps), min(deepest, default=depth)
        )

    def _repeat(self, operation: Any, argument: Any, after: After, depth: int) -> Cost:
        least, most, body = argument
        if operation is op.POSSESSIVE_REPEAT:
            cost = self._repeat(op.MAX_REPEAT, argument, _COMMITTED, depth)
            return Cost(1.0, cost.steps, depth)
        elements = list(body)
        if len(elements) == 1 and elements[0][0] in SINGLE:
            return self._run_of(self._sets.of(elements[0]), least, most, after, depth)
        shape = self._sequence_shape(elements)
        width = body.getwidth()[0]
        copies = min(float(most), max(float(least), self._n) if not width else self._n // width)
        inner = after
        if most > 1:
            free = after.free and least <= 1
            inner = After(shape.first | after.first, free, free and after.last, shape.entry + after.entry)
        once = self._sequence(elements, inner, depth)
        exits = _powers(once.ways, copies)
        if after.last:  # with the least that it needs it has won, and goes on only once
            if once.ways == 1 and once.depth == depth and not _looks(body):
                self._tail += (copies + 1) * (self._shortest(elements, inner, depth) + 1)
                self._vain += 2 * once.steps
            else:
                self._vain += (copies + 1) * (once.steps + 1)
            return Cost(1.0, _powers(once.ways, least - 1) * (once.steps + 1) if least else 1.0, depth)
        if once.ways > 1:
            return Cost(exits, exits * (once.steps + 1 + after.entry), depth)
        if once.depth == depth and not _looks(body):
            # Each copy goes on where the last one ended: together they read the text once.
            steps = 2 * once.steps + exits * (self._shortest(elements, inner, depth) + 1 + after.entry)
        else:
            steps = exits * (once.steps + 1 + after.entry)
        if not shape.nullable and (after.free or not shape.first & after.first):
            return Cost(1.0, steps, depth)
        if most < self._n:
            return Cost(max(1.0, exits - least), steps, depth)
        return Cost(exits / depth + 1, steps, depth + 1)

    def _shortest(self, elements: list[Any], after: After, depth: int) -> float:
        """Steps of a sequence where it finds nothing to repeat."""
        n, self._n = self._n, 1.0
        steps = self._sequence(elements, after, depth).steps
        self._n = n
        return steps

    def _run_of(self, members: int, least: int, most: int, after: After, depth: int) -> Cost:
        """Bytes of one set, again and again."""
        longest = min(float(most), self._n)
        steps = longest + 1
        exits = longest - least + 1
        if after.last:
            self._tail += steps
            return Cost(1.0, least + 1.0, depth)
        if exits <= 1 or after.free:
            return Cost(1.0, steps, depth)
        if not members & after.first:
            return Cost(1.0, steps + exits * after.entry, depth)
        if after.alone and not members & after.second and not after.first & ~members:
            return Cost(1.0, steps + 2 * exits, depth)  # such as `[a-z-]*[a-z]:`
        if most < self._n:
            return Cost(exits, steps, depth)
        exits = exits / depth + 1
        return Cost(max(1.0, exits / _period(after.run) + 1), steps + exits * (1 + len(after.run)), depth + 1)

    # -- shapes ----------------------------------------------------------------------------------

    def _sequence_shape(self, elements: list[Any]) -> _Shape:
        first, nullable, certain, entry, run, whole = 0, True, True, 0.0, b"", True
        for element in elements:
            shape = self._shape(element)
            if nullable:
                first |= shape.first
                entry += shape.entry
                certain = certain and shape.certain
                nullable = shape.nullable
            if whole:
                run += shape.run
                whole = shape.whole
            if not nullable and not whole:
                break
        return _Shape(
            first, nullable, nullable and certain, entry, run[:_RUN], whole and 0 < len(run) <= _RUN
        )

    def _shape(self, element: Any) -> _Shape:
        found = self._shapes.get(id(element))
        if found is None:
            found = self._shapes[id(element)] = self._make_shape(element)
        return found

    def _make_shape(self, element: Any) -> _Shape:
        operation, argument = element
        if operation in SINGLE:
            if operation is op.LITERAL and argument < 256:
                run = bytes([argument])
                return _Shape(
                    self._sets.of(element), False, False, 1.0, run.lower() if self._folds else run, True
                )
            return _Shape(self._sets.of(element), False, False, 1.0)
        if operation is op.AT:
            if argument in (op.AT_END, op.AT_END_STRING):
                lines = self._lines and argument is op.AT_END
                return _Shape(bits(b"\n") if lines else 0, False, False, 1.0)
            return _Shape(0, True, False, 1.0)
        if operation is op.SUBPATTERN:
            return self._sequence_shape(list(argument[-1]))
        if operation is op.ATOMIC_GROUP:
            return self._sequence_shape(list(argument))
        if operation is op.BRANCH:
            shapes = [self._sequence_shape(list(branch)) for branch in argument[1]]
            first = 0
            for shape in shapes:
                first |= shape.first
            empty = [shape for shape in shapes if shape.nullable]
            if len(empty) > 1:
                return _Shape(ANYTHING, True, False, float(len(shapes)))
            entry = sum(shape.entry + 1 for shape in shapes)
            return _Shape(first, bool(empty), any(shape.certain for shape in empty), entry)
        if operation in _REPEATS:
            least, _, body = argument
            shape = self._sequence_shape(list(body))
            if shape.nullable:
                return _Shape(ANYTHING, True, False, shape.entry + 1)
            return _Shape(shape.first, not least, not least, shape.entry + 1)
        if operation is op.FAILURE:
            return _Shape(0, False, False, 1.0)
        return _Shape(ANYTHING, True, False, 1.0)  # look-around and back-references: anything may follow


_LOOKING: Final = (op.ASSERT, op.ASSERT_NOT, op.GROUPREF)


def _period(run: bytes) -> int:
    """The least distance between two places where `run` is found; 1 for none."""
    return next((p for p in range(1, len(run)) if run[p:] == run[:-p]), max(1, len(run)))


def _powers(base: float, most: float) -> float:
    """1 + base + base^2 ... base^most."""
    if base == 1.0:
        return most + 1
    try:
        return float((base ** (most + 1) - 1) / (base - 1))
    except OverflowError:
        return inf


def _looks(tree: Any) -> bool:
    """Does it read what it does not consume?"""
    return any(operation in _LOOKING for operation, _ in walk(tree))
