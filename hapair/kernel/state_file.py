"""A small file that outlives us, written whole or not at all, believed only if nobody else could write it.

Its directory is opened once, at the start: after a chroot, and as another user,
the same file is meant.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection
from pathlib import Path

MAX_SIZE = 16 << 20
"""Bytes; ten thousand servers take two million."""

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class StateFile:
    """One file of ours."""

    def __init__(self, path: Path, owners: Collection[int]) -> None:
        """Open its directory; `owners` are the users whose file is believed.

        Raises:
            OSError: there is none.
        """
        self.path = path
        self._owners = owners
        self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def read(self) -> bytes | None:
        """What is in it; None when there is no such file.

        Raises:
            OSError: it cannot be read, or it is not ours.
        """
        try:
            fd = os.open(self.path.name, os.O_RDONLY | _FLAGS, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise PermissionError(f"{self.path} is no plain file")
            if status.st_uid not in self._owners:
                raise PermissionError(f"{self.path} belongs to somebody else")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"others can write to {self.path}")
            content = b""
            while len(content) < MAX_SIZE and (data := os.read(fd, 1 << 20)):
                content += data
            return content
        finally:
            os.close(fd)

    def write(self, content: bytes) -> None:
        """Replace it at once, readable by us only.

        Raises:
            OSError: it cannot be written.
        """
        # A name that nobody can guess and put something in the way of.
        temporary = f".{self.path.name}.{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=self._directory)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            os.replace(temporary, self.path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except BaseException:
            os.unlink(temporary, dir_fd=self._directory)
            raise

    def close(self) -> None:
        """Give the directory back."""
        os.close(self._directory)
