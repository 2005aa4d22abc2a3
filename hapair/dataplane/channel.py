"""Frames, and descriptors with them, between the control process and a worker.

One frame: length and number of descriptors (struct "=IH"), then the bytes; the
descriptors travel with its beginning.  Neither side ever waits: what the other does
not take now is kept, in order.
"""

from __future__ import annotations

import array
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs
import trio

HEADER: Final = struct.Struct("=IH")
MOST_DESCRIPTORS: Final = 200
"""In one frame; the kernel takes 253 (SCM_MAX_FD)."""
_CHUNK: Final = 1 << 18
_ANCILLARY: Final = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)


@attrs.frozen
class Frame:
    payload: bytes
    descriptors: tuple[int, ...] = ()
    """Ours from now on."""


class Unframing:
    """Bytes and descriptors as they come -> whole frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> list[Frame]:
        """What is complete now."""
        self._data += data
        self._descriptors += descriptors
        found = []
        while len(self._data) >= HEADER.size:
            length, count = HEADER.unpack_from(self._data)
            end = HEADER.size + length
            if len(self._data) < end:
                break
            payload = bytes(self._data[HEADER.size : end])
            del self._data[:end]
            found.append(Frame(payload, tuple(self._descriptors.popleft() for _ in range(count))))
        return found


class Channel:
    """One end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.ended = False
        """The other side is gone, and its last words were received."""
        self._deaf = False
        """The other side takes nothing more."""
        self._unframing = Unframing()
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._something = trio.Event()

    def send(self, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send, or keep until `pump` can; the descriptors must stay open until then."""
        assert len(descriptors) <= MOST_DESCRIPTORS
        if self._deaf:
            return
        data = HEADER.pack(len(payload), len(descriptors)) + payload
        self._unsent.append((memoryview(data), tuple(descriptors)))
        self._flush()
        if self._unsent:
            self._something.set()

    def _flush(self) -> None:
        while self._unsent:
            data, descriptors = self._unsent[0]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] * bool(
                descriptors
            )
            try:
                sent = self.sock.sendmsg([data[:_CHUNK]], ancillary)
            except BlockingIOError:
                return
            except OSError:
                # It may have said why: `receive` finds that, and then the end.
                self._deafen()
                return
            if sent == len(data):
                self._unsent.popleft()
            else:
                self._unsent[0] = data[sent:], ()

    def _deafen(self) -> None:
        self._deaf = True
        self._unsent.clear()

    def _end(self) -> None:
        self.ended = True
        self._deafen()

    def receive(self) -> list[Frame]:
        """What is here now; `ended` when that was all there will ever be."""
        found: list[Frame] = []
        while not self.ended:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(_CHUNK, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except OSError:
                self._end()
                break
            if not data:
                self._end()
                break
            descriptors = array.array("i")
            for level, kind, carried in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(carried[: len(carried) - len(carried) % descriptors.itemsize])
            found += self._unframing.feed(data, descriptors)
        return found

    async def readable(self) -> None:
        """Wait until `receive` has something, or the end."""
        await trio.lowlevel.wait_readable(self.sock)

    async def pump(self) -> None:
        """Send what was kept, until the other side is gone."""
        while not self.ended:
            await self._something.wait()
            self._something = trio.Event()
            while self._unsent:
                await trio.lowlevel.wait_writable(self.sock)
                self._flush()

    @property
    def all_sent(self) -> bool:
        """Nothing is kept."""
        return not self._unsent

    def close(self) -> None:
        """Close; the other side sees the end."""
        self._end()
        self.sock.close()
