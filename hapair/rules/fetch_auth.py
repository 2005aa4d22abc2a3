"""Fetches that ask a user list: `http_auth(staff)`, `http_auth_group(staff)` (section 7.3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.rules.arguments import did_you_mean
from hapair.rules.fetch import REQUEST, Fetch
from hapair.rules.fetch_request import basic_credentials
from hapair.rules.lexer import RuleError

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts
    from hapair.rules.fetch import Read, ReadEach
    from hapair.rules.userlists import UserList


def _list_of(call: Call) -> UserList | None:
    """The list that is named; None while names do not count."""
    name = call.given(0)
    if name is None:
        raise call.mistake("needs the name of a userlist")
    if call.tables is None:
        return None
    found: UserList | None = call.tables.userlists.get(name)
    if found is None:
        hint = did_you_mean(name, call.tables.userlists)
        raise RuleError(call.where(0), f"{call.name}: there is no userlist {name!r}{hint}")
    return found


def _user(users: UserList, facts: Facts) -> str | None:
    """Who asks, if the password is right."""
    credentials = basic_credentials(facts)
    about = facts.about
    if credentials is None or about is None:
        return None
    name, password = credentials
    return name if users.knows(name, password, about.tick) else None


def _http_auth(call: Call) -> Read:
    users = _list_of(call)
    if users is None:
        return lambda _facts: False
    known = users
    return lambda facts: _user(known, facts) is not None


def _http_auth_user(call: Call) -> Read:
    users = _list_of(call)
    if users is None:
        return lambda _facts: None
    known = users

    def read(facts: Facts) -> bytes | None:
        name = _user(known, facts)
        return None if name is None else name.encode("utf-8", "surrogateescape")

    return read


def _http_auth_groups(call: Call) -> ReadEach:
    users = _list_of(call)
    if users is None:
        return lambda _facts: ()
    known = users

    def each(facts: Facts) -> tuple[bytes, ...]:
        name = _user(known, facts)
        return () if name is None else known.groups(name)

    return each


FETCHES: Final[dict[str, Fetch]] = {
    "http_auth": Fetch(
        "bool", REQUEST, _http_auth, "are they a user and the password of a userlist?", most=1
    ),
    "http_auth_group": Fetch(
        "str",
        REQUEST,
        _http_auth_user,
        "the user, if the password is that of a userlist; an ACL tries the user's groups",
        most=1,
        each=_http_auth_groups,
    ),
}
