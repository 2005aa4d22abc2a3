"""Where the event log is written: a file that may be rotated, or standard output.

Writing may block, as files do on a disk that hangs: it is for a thread.
"""

from __future__ import annotations

import os
import pwd
from pathlib import PurePath

from hapair.errors import StartError

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class EventFile:
    """A file of lines; its directory stays open, so that it can be reopened by name after a chroot."""

    def __init__(self, path: str, user: str | None) -> None:
        """Open the file, made as the property of `user`, whom we shall become.

        Raises:
            StartError: it cannot be opened.
        """
        place = PurePath(path)
        self._name = place.name
        try:
            self._directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StartError(f"node.event_log: cannot open {place.parent}: {error.strerror}") from None
        try:
            self._fd = self._open()
            if user is not None and os.geteuid() == 0:
                os.fchown(self._fd, pwd.getpwnam(user).pw_uid, -1)
        except (OSError, KeyError) as error:
            os.close(self._directory)
            why = f"there is no user {user!r}" if isinstance(error, KeyError) else error.strerror
            raise StartError(f"node.event_log: cannot open {path}: {why}") from None

    def _open(self) -> int:
        return os.open(self._name, _FLAGS, 0o640, dir_fd=self._directory)

    def reopen(self) -> None:
        """Go on in the file that has the name now: the old one was moved away.

        Raises:
            OSError: it cannot be opened; we go on in the old one.  Writing calls this again.
        """
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def write(self, data: bytes) -> None:
        """Append everything.

        Raises:
            OSError: the disk is full, or worse.
        """
        write_all(self._fd, data)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._fd)
        os.close(self._directory)


class StandardOutput:
    """Our standard output, as an event file."""

    def reopen(self) -> None:
        """There is nothing to reopen."""

    def write(self, data: bytes) -> None:
        """Append everything.

        Raises:
            OSError: nobody reads any more.
        """
        write_all(1, data)

    def close(self) -> None:
        """It is not ours to close."""


def write_all(fd: int, data: bytes) -> None:
    """Write until nothing is left."""
    while data:
        data = data[os.write(fd, data) :]
