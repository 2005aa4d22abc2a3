"""Converters of numbers and truths (configuration manual, section 7.3.1).

Operands are numbers or variables.  Results that do not fit 64 bits stay at the
limit, as HAProxy has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hapair.rules import arguments, variables
from hapair.rules.converter import Converter, plain
from hapair.rules.values import saturated, to_number

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.converter import Convert
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Value

_MOST: Final = (1 << 63) - 1


def _quotient(number: int, by: int) -> int:
    if by == 0:
        return _MOST
    return abs(number) // abs(by) * (1 if (number < 0) == (by < 0) else -1)


def _remainder(number: int, by: int) -> int:
    return 0 if by == 0 else abs(number) % abs(by) * (-1 if number < 0 else 1)


def _operand(call: Call) -> Callable[[Facts], int | None]:
    text = call.given(0)
    if text is None:
        raise call.mistake("needs a number or a variable")
    try:
        fixed = saturated(arguments.number(text))
    except ValueError:
        name = call.take(0, variables.variable, "a number or a variable such as txn.count")

        def number(facts: Facts) -> int | None:
            value = variables.read(facts, name)
            return None if value is None else to_number(value)

        return number
    return lambda _facts: fixed


def _arithmetic(function: Callable[[int, int], int], meaning: str) -> Converter:
    def make(call: Call, _files: Files) -> Convert:
        operand = _operand(call)

        def convert(value: int, facts: Facts) -> Value | None:
            other = operand(facts)
            return None if other is None else saturated(function(value, other))

        return convert

    return Converter("int", "int", make, meaning, most=1)


def _iif(call: Call, _files: Files) -> Convert:
    if len(call.arguments or ()) != 2:
        raise call.mistake("needs two texts, for true and for false")
    yes, no = (call.given(0) or "").encode(), (call.given(1) or "").encode()
    return lambda value, _facts: yes if value else no


CONVERTERS: Final[dict[str, Converter]] = {
    "add": _arithmetic(lambda a, b: a + b, "the sum with a number or a variable"),
    "sub": _arithmetic(lambda a, b: a - b, "less a number or a variable"),
    "mul": _arithmetic(lambda a, b: a * b, "the product with a number or a variable"),
    "div": _arithmetic(_quotient, "the quotient, towards 0; by 0 the greatest number"),
    "mod": _arithmetic(_remainder, "the remainder, with the sign of the number; by 0 it is 0"),
    "and": _arithmetic(lambda a, b: a & b, "bitwise and"),
    "or": _arithmetic(lambda a, b: a | b, "bitwise or"),
    "xor": _arithmetic(lambda a, b: a ^ b, "bitwise exclusive or"),
    "cpl": plain("int", "int", lambda value: ~value, "all bits turned over"),
    "neg": plain("int", "int", lambda value: saturated(-value), "with the other sign"),
    "bool": plain("int", "bool", bool, "false for 0"),
    "not": plain("int", "bool", lambda value: not value, "true for 0"),
    "even": plain("int", "bool", lambda value: not value & 1, "is it even?"),
    "odd": plain("int", "bool", lambda value: bool(value & 1), "is it odd?"),
    "iif": Converter("bool", "str", _iif, "the first text if true, else the second", most=2),
}
