"""What the operating system tells us, and what we tell the service manager."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STOP = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP


class ServiceManager:
    """systemd's notification protocol (sd_notify); says nothing when nobody listens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            # Connected now: after a chroot the path may be out of sight.
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sock.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            except OSError:
                sock.close()
            else:
                self._socket = sock
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = (
            int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() and ours else 0.0
        )

    def ready(self, status: str) -> None:
        """Start-up or a reload is over."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins (Type=notify-reload wants the monotonic time)."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We are on the way out."""
        self._tell("STOPPING=1")

    async def watchdog(self) -> None:
        """Say that we live, twice in every watchdog interval."""
        if self._watchdog:
            while True:
                self._tell("WATCHDOG=1")
                await trio.sleep(self._watchdog / 2)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def _tell(self, message: str) -> None:
        if self._socket is not None:
            try:
                self._socket.send(message.encode())
            except OSError:
                pass  # a service manager that went away must not take us with it


async def received(signals: AsyncIterator[int]) -> int:
    """The next signal."""
    async for number in signals:
        return number
    raise AssertionError("the signal receiver never ends")
