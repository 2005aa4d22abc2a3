"""Actions on what is around a message: variables, captures, addresses, queue, log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hapair.rules import variables
from hapair.rules.action_words import Words
from hapair.rules.arguments import Argument
from hapair.rules.fetch import RESPONSE
from hapair.rules.lexer import RuleError
from hapair.rules.sample import compile_sample
from hapair.rules.values import to_address, to_number, to_text
from hapair.rules.verdicts import WaitForBody

if TYPE_CHECKING:
    from hapair.rules.facts import Facts, Transaction
    from hapair.rules.fetch import Read
    from hapair.rules.verdicts import Act

LEVELS: Final = "emerg alert crit err warning notice info debug".split()


def _bracketed(words: Words, *, conditional: bool = False) -> tuple[str, frozenset[str]]:
    """Name and conditions in `set-var(txn.name,ifnotset)`."""
    text, offset = words.action.text, words.action.offset
    opened = text.find("(")
    if not text.endswith(")"):
        raise RuleError(offset, f"{text}: the bracket is never closed")
    given: list[Argument] = []
    at = offset + opened + 1
    for one in text[opened + 1 : -1].split(","):
        given.append(Argument(one, at))
        at += len(one) + 1
    try:
        name = variables.variable(given[0].text)
    except ValueError:
        raise RuleError(given[0].offset, f"{given[0].text!r} is not a variable such as txn.name") from None
    if given[1:] and not conditional:
        raise RuleError(given[1].offset, f"{text[:opened]} takes the name of a variable only")
    return name, variables.conditions(given[1:])


def _sample(words: Words) -> Read:
    word = words.take("a sample")
    setting = words.setting
    return compile_sample(word.text, word.offset, files=setting.files, until=setting.until).read


def _set_var(words: Words) -> Act:
    name, only = _bracketed(words, conditional=True)
    read = _sample(words)
    words.end()

    def act(facts: Facts) -> None:
        value = read(facts)
        if value is not None:
            variables.write(facts, name, value, only)

    return act


def _set_var_fmt(words: Words) -> Act:
    name, only = _bracketed(words, conditional=True)
    text = words.template("a text")
    words.end()

    def act(facts: Facts) -> None:
        variables.write(facts, name, text(facts), only)

    return act


def _unset_var(words: Words) -> Act:
    name, _ = _bracketed(words)
    words.end()

    def act(facts: Facts) -> None:
        variables.write(facts, name, None)

    return act


def _capture(words: Words) -> Act:
    read = _sample(words)
    words.option(["len"])
    length = words.number("a length", 1, 65535)
    words.end()
    setting = words.setting
    of_response = setting.until == RESPONSE
    slot = -1
    if not setting.foreign:
        slot = setting.captures[of_response]
        setting.captures[of_response] += 1

    def act(facts: Facts) -> None:
        value = read(facts)
        text = None if value is None else to_text(value)
        about = facts.about
        if about is not None:
            captured = about.captured_response if of_response else about.captured
            known = None if text is None else text[:length]
            if slot < 0:
                captured.append(known)
            else:
                captured[slot] = known

    return act


def _with_number(change: Callable[[Transaction, int], None]) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        read = _sample(words)
        words.end()

        def act(facts: Facts) -> None:
            value = read(facts)
            number = None if value is None else to_number(value)
            if facts.about is not None and number is not None:
                change(facts.about, number)

        return act

    return make


def _address(*, source: bool) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        read, since = _sample(words), words.setting.until
        words.end()

        def act(facts: Facts) -> None:
            value, about = read(facts), facts.about
            address = None if value is None else to_address(value)
            if about is None or address is None:
                return
            if source:
                about.set_source(str(address), about.source_port, since)
            else:
                about.set_local(str(address), about.local_port, since)

        return act

    return make


def _port(*, source: bool) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        read, since = _sample(words), words.setting.until
        words.end()

        def act(facts: Facts) -> None:
            value, about = read(facts), facts.about
            number = None if value is None else to_number(value)
            if about is None or number is None or not 0 <= number < 65536:
                return
            if source:
                about.set_source("", number, since)
            else:
                about.set_local(about.local, number, since)

        return act

    return make


def _class(about: Transaction, number: int) -> None:
    about.priority_class = max(-2047, min(2047, number))


def _offset(about: Transaction, number: int) -> None:
    about.priority_offset = max(-524287, min(524287, number)) / 1000


def _log_level(words: Words) -> Act:
    level = words.option([*LEVELS, "silent"]).text
    words.end()
    severity = -1 if level == "silent" else LEVELS.index(level)

    def act(facts: Facts) -> None:
        if facts.about is not None:
            facts.about.log_level = severity

    return act


def _wait_for_body(words: Words) -> Act:
    words.option(["time"])
    seconds = words.seconds("a time")
    at_least = 0
    if words.left:
        words.option(["at-least"])
        at_least = words.number("bytes", 1, 16384)
    words.end()
    verdict = WaitForBody(seconds, at_least)
    return lambda _facts: verdict


def _set_timeout(words: Words) -> Act:
    if not words.setting.foreign:
        raise RuleError(
            words.action.offset, "set-timeout is about servers: it belongs into http_request of a backend"
        )
    of_server = words.option(["server", "tunnel"]).text == "server"
    fixed, read = words.duration_or_sample("a time")
    words.end()

    def act(facts: Facts) -> None:
        about = facts.about
        if about is None:
            return
        seconds = fixed
        if read is not None:
            value = read(facts)
            number = None if value is None else to_number(value)
            if number is None or number <= 0:
                return
            seconds = number / 1000
        if of_server:
            about.server_timeout = seconds
        else:
            about.tunnel_timeout = seconds

    return act


def _disable_l7_retry(words: Words) -> Act:
    words.end()

    def act(facts: Facts) -> None:
        if facts.about is not None:
            facts.about.forbid_retries()

    return act


COMMON: Final[dict[str, Callable[[Words], Act]]] = {
    "set-var(": _set_var,
    "set-var-fmt(": _set_var_fmt,
    "unset-var(": _unset_var,
    "set-log-level": _log_level,
    "capture": _capture,
}
ADDRESSES: Final[dict[str, Callable[[Words], Act]]] = {
    "set-src": _address(source=True),
    "set-src-port": _port(source=True),
    "set-dst": _address(source=False),
    "set-dst-port": _port(source=False),
}
QUEUE: Final[dict[str, Callable[[Words], Act]]] = {
    "set-priority-class": _with_number(_class),
    "set-priority-offset": _with_number(_offset),
}
REQUEST: Final[dict[str, Callable[[Words], Act]]] = {
    **ADDRESSES,
    **QUEUE,
    "set-timeout": _set_timeout,
    "wait-for-body": _wait_for_body,
    "disable-l7-retry": _disable_l7_retry,
}
