"""Where the event log is written: a file that may be rotated, or standard output.

Writing may block, as files do on a disk that hangs: it is for a thread.
"""

from __future__ import annotations

import os

from hapair.kernel.append_file import AppendFile


class EventFile(AppendFile):
    """A file of lines; its directory stays open, so that it can be reopened by name after a chroot."""

    def __init__(self, path: str, user: str | None) -> None:
        """Open the file, made as the property of `user`, whom we shall become.

        Raises:
            StartError: it cannot be opened.
        """
        super().__init__(path, user, "node.event_log")

    def write(self, data: bytes) -> None:
        """Append everything.

        Raises:
            OSError: the disk is full, or worse.
        """
        while data:
            data = data[self.append(data) :]


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
