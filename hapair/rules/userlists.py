"""Users and their passwords, for `http_auth` and `http_auth_group`.

A hash takes milliseconds, and the thread that computes it is the data plane's: so hashes that take long
are refused in node.toml, what was found out is remembered (under a keyed digest, not the password), and
only so many unknown passwords are tried each second.  What is beyond that is told to log in again.
"""

from __future__ import annotations

import ctypes
import hmac
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from hapair.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapair.config import model

REMEMBERED: Final = 1024
"""Right answers that are remembered, and as many wrong ones."""
EACH_SECOND: Final = 20
"""Hashes that are computed at most."""
_LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")


def _libcrypt() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt.restype = ctypes.c_char_p
        return library
    raise StartError(f"userlist: hashed passwords need {' or '.join(_LIBRARIES)}, which is not here")


class UserList:
    """One list."""

    def __init__(self, config: model.UserList) -> None:
        """Raises StartError: hashes cannot be computed here."""
        self.config = config
        hashed = any(not user.insecure for user in config.users.values())
        self._library = _libcrypt() if hashed else None
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._wrong: dict[bytes, None] = {}
        self._second = -1
        self._left = EACH_SECOND
        members: dict[str, set[str]] = {name: set(user.groups) for name, user in config.users.items()}
        for group, users in config.groups.items():
            for user in users:
                members.get(user, set()).add(group)
        self._groups = {
            name: tuple(group.encode() for group in config.groups if group in found)
            for name, found in members.items()
        }

    def knows(self, name: str, password: str, tick: int) -> bool:
        """Is it the password of a user?  `tick`: milliseconds, for the budget."""
        user = self.config.users.get(name)
        if user is None:
            return False
        given = password.encode("utf-8", "surrogateescape")
        if user.insecure:
            return hmac.compare_digest(given, user.password.encode())
        digest = blake2b(name.encode() + b"\0" + given, key=self._secret).digest()
        if digest in self._right:
            return True
        if digest in self._wrong or not self._may_compute(tick):
            return False
        right = self._is(given, user.password.encode())
        known = self._right if right else self._wrong
        if len(known) >= REMEMBERED:
            del known[next(iter(known))]
        known[digest] = None
        return right

    def groups(self, name: str) -> tuple[bytes, ...]:
        """Those of a user, in the order in which they are written."""
        return self._groups.get(name, ())

    def _may_compute(self, tick: int) -> bool:
        if tick // 1000 != self._second:
            self._second = tick // 1000
            self._left = EACH_SECOND
        self._left -= 1
        return self._left >= 0

    def _is(self, password: bytes, hashed: bytes) -> bool:
        assert self._library is not None
        if b"\0" in password:
            return False
        found: bytes | None = self._library.crypt(password, hashed)
        return found is not None and not found.startswith(b"*") and hmac.compare_digest(found, hashed)


def make_userlists(config: Mapping[str, model.UserList]) -> dict[str, UserList]:
    """Those of a configuration.

    Raises:
        StartError: hashes cannot be computed here.
    """
    return {name: UserList(one) for name, one in config.items()}
