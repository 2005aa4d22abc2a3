"""One daemon for each configuration: a locked pid file."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hapair.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def pidfile(path: str | None) -> Iterator[None]:
    """Hold the pid file while we run; a second instance does not start.

    Raises:
        StartError: another process holds it, or it cannot be written.
    """
    if path is None:
        yield
        return
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartError(f"node.pidfile: cannot write {path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f"node.pidfile: {path} is held by a hapair that runs already") from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        yield
        with suppress(OSError):  # after a chroot or without rights it stays, unlocked
            Path(path).unlink()
    finally:
        os.close(fd)
