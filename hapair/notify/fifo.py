"""The notify FIFO: keepalived's vrrp_notify_fifo, for readers that follow states without being started.

Law: writing never blocks.  The FIFO is opened for reading as well, so that a
reader may come late and go; 64 KiB of lines wait for it in the kernel, what does
not fit is lost and counted.
"""

from __future__ import annotations

import logging
import os
import stat

from hapair.errors import StartError

logger = logging.getLogger("hapair.notify")


class NotifyFifo:
    """The open FIFO."""

    def __init__(self, path: str) -> None:
        """Open it; made, for its owner only, when it is missing.

        It stays when we end: a reader keeps it open over our restarts.

        Raises:
            StartError: there is something else at `path`, or we may not.
        """
        try:
            if not os.path.lexists(path):
                os.mkfifo(path, 0o600)
            # Never waits: a FIFO that is open for both has a reader.
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StartError(f"node.notify_fifo: cannot open {path}: {error.strerror}") from None
        mode = os.fstat(self._fd).st_mode
        if not stat.S_ISFIFO(mode):
            os.close(self._fd)
            raise StartError(f"node.notify_fifo: {path} is there and is not a FIFO")
        if mode & stat.S_IWOTH:
            os.close(self._fd)
            raise StartError(f"node.notify_fifo: anybody may write to {path}; make it private (chmod o-w)")
        self.lost = 0
        """Lines that the reader was too slow for."""

    def write(self, line: bytes) -> None:
        """Write a line, which is atomic up to PIPE_BUF, or lose it."""
        try:
            os.write(self._fd, line)
        except BlockingIOError:
            if not self.lost:
                logger.warning("the notify FIFO is full: its reader is too slow or gone, lines are lost")
            self.lost += 1

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
