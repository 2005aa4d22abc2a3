"""[userlist.NAME]: users, groups and passwords."""

from __future__ import annotations

import re

import attrs

from hapair.config import fields
from hapair.config.fields import FieldError
from hapair.config.model import User, UserList
from hapair.config.shape import named, one_or_more, table

_HASH = re.compile(
    r"[./0-9A-Za-z]{13}"  # DES
    r"|\$1\$[^$:\s]{1,8}\$[./0-9A-Za-z]{22}"
    r"|\$5\$(?:rounds=([0-9]{4,9})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=([0-9]{4,9})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{86}"
)
_SLOW = re.compile(r"\$(?:2[abxy]|y|gy|7)\$")
MOST_ROUNDS = 20_000


@attrs.frozen
class UserTable:
    password: str | None = None
    insecure_password: str | None = None
    groups: tuple[str, ...] = ()


def hashed(value: object) -> str:
    """A hash that is computed within some milliseconds.  What was written is never repeated."""
    found = _HASH.fullmatch(value) if isinstance(value, str) else None
    if found is None and isinstance(value, str) and _SLOW.match(value):
        raise FieldError(
            "bcrypt, yescrypt and scrypt take too long to be computed beside the traffic: "
            "use SHA-512 (openssl passwd -6)"
        )
    if found is None:
        raise FieldError(
            "expected a hash such as openssl passwd -6 makes, $6$salt$... (what is written here is not shown)"
        )
    if int(found[1] or found[2] or 0) > MOST_ROUNDS:
        raise FieldError(f"more than {MOST_ROUNDS} rounds take too long to be computed beside the traffic")
    assert isinstance(value, str)
    return value


def insecure(value: object) -> str:
    """The password itself.  It is never repeated."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise FieldError("expected a password (what is written here is not shown)")
    return value


_user_table = table(
    UserTable,
    password=hashed,
    insecure_password=insecure,
    groups=one_or_more(fields.name),
)


def _user(value: object) -> User:
    written = _user_table(value)
    if (written.password is None) == (written.insecure_password is None):
        raise FieldError("a user has either a password, which is a hash, or an insecure_password")
    if written.password is not None:
        return User(written.password, groups=written.groups)
    return User(written.insecure_password or "", insecure=True, groups=written.groups)


userlist = table(
    UserList,
    rename={"users": "user", "groups": "group"},
    users=named(_user),
    groups=named(one_or_more(fields.name)),
)
