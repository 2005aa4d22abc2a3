"""Programs of classic BPF, with which the kernel drops what a packet socket need not see (packet(7))."""

from __future__ import annotations

import ctypes
import socket
import struct

LOAD_WORD, LOAD_HALF, LOAD_BYTE, JUMP_IF_EQUAL, RETURN = 0x20, 0x28, 0x30, 0x15, 0x06

LINK_PROTOCOL = 0xFFFFF000
"""SKF_AD_OFF + SKF_AD_PROTOCOL: the frame's Ethernet type, whatever the header looks like."""

_SO_ATTACH_FILTER = 26
_LONGEST = 4096

Instruction = tuple[int, int, int, int]
"""Code, how many to skip if true, if false, and the operand."""


def attach(sock: socket.socket, program: tuple[Instruction, ...]) -> None:
    """Let `program` decide from now on.

    Raises:
        OSError: the kernel takes no such program.
    """
    assert len(program) <= _LONGEST
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)  # the kernel copies it during the call
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
