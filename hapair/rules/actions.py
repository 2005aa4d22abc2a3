"""Actions in HAProxy's words, compiled to closures at load.

    deny deny_status 429 if { src 10.0.0.0/8 } !local
    set-header X-Src %[src]

Law: as for expressions, everything that can be wrong is found at load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hapair.rules import action_answers, action_cache, action_edits, action_state, action_table
from hapair.rules.acl import Setting, compile_condition
from hapair.rules.action_words import Words
from hapair.rules.arguments import did_you_mean
from hapair.rules.error_pages import compile_pages
from hapair.rules.fetch import CONNECTION, END, REQUEST, RESPONSE, SESSION, STREAM
from hapair.rules.lexer import RuleError, split
from hapair.rules.log_formats import format_mistake
from hapair.rules.needs import ANYTHING, NOTHING
from hapair.rules.pattern_files import Files
from hapair.rules.stick_rules import stick_mistake
from hapair.rules.verdicts import Act, Allow, Close, Reject, Rule, negated

if TYPE_CHECKING:
    from collections.abc import Collection

    from hapair.rules.facts import Facts, Test

Make = Callable[[Words], Act]
_ALLOW: Final = Allow()


def _verdict(verdict: Allow | Reject | Close) -> Make:
    def make(words: Words) -> Act:
        words.end()
        return lambda _facts: verdict

    return make


def _strict_mode(words: Words) -> Act:
    """Nothing here fails half-way: what cannot be written, as a header beyond the limit, is left out."""
    words.option(["on", "off"])
    words.end()
    return lambda _facts: None


_ENDS: Final[dict[str, Make]] = {
    "reject": _verdict(Reject()),
    "silent-drop": _verdict(Reject(silent=True)),
}
_TCP: Final[dict[str, Make]] = {
    "accept": _verdict(_ALLOW),
    **_ENDS,
    **action_state.COMMON,
    **action_table.ACTIONS,
}
ACTIONS: Final[dict[str, dict[str, Make]]] = {
    "http_request": {
        "allow": _verdict(_ALLOW),
        "strict-mode": _strict_mode,
        **_ENDS,
        **action_answers.REQUEST,
        **action_cache.REQUEST,
        **action_edits.REQUEST,
        **action_state.COMMON,
        **action_state.REQUEST,
        **action_table.ACTIONS,
    },
    "http_response": {
        "allow": _verdict(_ALLOW),
        "strict-mode": _strict_mode,
        "silent-drop": _ENDS["silent-drop"],
        **action_answers.RESPONSE,
        **action_cache.RESPONSE,
        **action_edits.RESPONSE,
        **action_state.COMMON,
        **action_table.ACTIONS,
    },
    "http_after_response": {
        "allow": _verdict(_ALLOW),
        "strict-mode": _strict_mode,
        **action_edits.RESPONSE,
        **action_state.COMMON,
    },
    "tcp_request_connection": {**_TCP, **action_state.ADDRESSES},
    "tcp_request_session": {**_TCP, **action_state.ADDRESSES},
    "tcp_request_content": {**_TCP, **action_state.ADDRESSES, **action_state.QUEUE},
    "tcp_response_content": {
        "accept": _verdict(_ALLOW),
        "close": _verdict(Close()),
        **_ENDS,
        **action_state.COMMON,
        **action_table.ACTIONS,
    },
}
"""By list of rules, then by the action's word."""

UNTIL: Final = {
    "http_request": REQUEST,
    "http_response": RESPONSE,
    "http_after_response": RESPONSE,
    "tcp_request_connection": CONNECTION,
    "tcp_request_session": SESSION,
    "tcp_request_content": STREAM,
    "tcp_response_content": RESPONSE,
}
"""By list of rules: what can be known when they are asked."""

FORMATS_UNTIL: Final = {"log_format": END, "unique_id_format": REQUEST}


def compile_rules(kind: str, texts: Sequence[str], acls: Mapping[str, Test], setting: Setting) -> list[Rule]:
    """The rules of one list, in their order.

    Raises:
        RuleError: one of them is wrong.
    """
    before, setting.until = setting.until, UNTIL[kind]
    try:
        return [_rule(kind, text, acls, setting) for text in texts]
    finally:
        setting.until = before


def rule_mistake(kind: str, text: str, names: Collection[str]) -> tuple[int, str] | None:
    """Offset and message of what is wrong with a rule that may refer to the ACLs `names`.

    What refers to none is of a kind of its own: `log_format`, `log_format tcp`; so for `unique_id_format`.
    A backend's are of the kind `http_request backend`.
    """
    format_kind, _, mode = kind.partition(" ")
    if format_kind in FORMATS_UNTIL:
        return format_mistake(text, Setting(Files(), FORMATS_UNTIL[format_kind]), http=not mode)
    if kind == "http_error":
        try:
            compile_pages({}, [text], Setting(Files(), RESPONSE))
        except RuleError as error:
            return error.offset, error.message
        return None
    if kind == "stick":
        return stick_mistake(text, list(names), Setting(Files(), REQUEST))
    kind, _, side = kind.partition(" ")
    try:
        compile_rules(kind, [text], dict.fromkeys(names, _never), Setting(Files(), foreign=side == "backend"))
    except RuleError as error:
        return error.offset, error.message
    return None


def _rule(kind: str, text: str, acls: Mapping[str, Test], setting: Setting) -> Rule:
    words = split(text)
    if not words:
        raise RuleError(0, f"an action is missing: {', '.join(ACTIONS[kind])}")
    at = next((i for i, word in enumerate(words) if i and word.text in ("if", "unless")), len(words))
    action, parameters = words[0], words[:at]
    name, bracket, _ = action.text.partition("(")
    name = name + bracket
    make = ACTIONS[kind].get(name)
    if make is None:
        hint = did_you_mean(action.text, ACTIONS[kind]) or f"; there are {', '.join(ACTIONS[kind])}"
        raise RuleError(action.offset, f"unknown action {action.text!r}{hint}")
    setting.asks = True
    setting.needs = NOTHING
    act = make(Words(parameters, setting))
    edit_needs = setting.needs if name in action_edits.OF_LINES else ANYTHING
    if at == len(words):
        return Rule(None, act, test_needs=NOTHING, edit_needs=edit_needs)
    condition = words[at + 1 :]
    if not condition:
        raise RuleError(words[at].offset, f"a condition must follow {words[at].text!r}")
    setting.needs = NOTHING
    test = compile_condition(condition, acls, setting)
    if words[at].text == "unless":
        test = negated(test)
    return Rule(test, act, test_needs=setting.needs, edit_needs=edit_needs)


def _never(_: Facts) -> bool:
    return False
