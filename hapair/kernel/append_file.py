"""A file of lines that others may rotate: appended to, and opened again by name, also after a chroot.

Writing may block, as files do on a disk that hangs.
"""

from __future__ import annotations

import os
import pwd
from pathlib import PurePath

from hapair.errors import StartError

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class AppendFile:
    """Its directory stays open, so that it can be reopened by name after a chroot."""

    def __init__(self, path: str, user: str | None, key: str) -> None:
        """Open the file, made as the property of `user`, whom we shall become; `key` asks for it.

        Raises:
            StartError: it cannot be opened.
        """
        place = PurePath(path)
        self._name = place.name
        try:
            self._directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StartError(f"{key}: cannot open {place.parent}: {error.strerror}") from None
        try:
            self._fd = self._open()
            if user is not None and os.geteuid() == 0:
                os.fchown(self._fd, pwd.getpwnam(user).pw_uid, -1)
        except (OSError, KeyError) as error:
            os.close(self._directory)
            why = f"there is no user {user!r}" if isinstance(error, KeyError) else error.strerror
            raise StartError(f"{key}: cannot open {path}: {why}") from None

    def _open(self) -> int:
        return os.open(self._name, _FLAGS, 0o640, dir_fd=self._directory)

    @property
    def moved(self) -> bool:
        """Does another file, or none, have the name by now?"""
        try:
            named = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return True
        return not os.path.samestat(named, os.fstat(self._fd))

    def reopen(self) -> None:
        """Go on in the file that has the name now: the old one was moved away.

        Raises:
            OSError: it cannot be opened; we go on in the old one.
        """
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def append(self, data: bytes) -> int:
        """Write once; returns how much was taken.

        Raises:
            OSError: the disk is full, or worse.
        """
        return os.write(self._fd, data)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._fd)
        os.close(self._directory)
