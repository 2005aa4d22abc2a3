"""The non-cryptographic hashes of HAProxy: sdbm, djb2, wt6, crc32c, xxHash, and its avalanche.

zlib has CRC-32.  xxHash is forty lines and needs no package of its own for keys that
are a few dozen bytes (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
"""

from __future__ import annotations

from typing import Final

_32: Final = 0xFFFFFFFF
_64: Final = 0xFFFFFFFFFFFFFFFF


def sdbm(data: bytes) -> int:
    """HAProxy's `hash-type ... sdbm`, also of its balancing."""
    found = 0
    for byte in data:
        found = (byte + (found << 6) + (found << 16) - found) & _32
    return found


def djb2(data: bytes) -> int:
    """Bernstein's."""
    found = 5381
    for byte in data:
        found = (found * 33 + byte) & _32
    return found


def wt6(data: bytes) -> int:
    """Willy Tarreau's, as HAProxy has it since 1.5."""
    one, other = 0xA53C965A, 0x5CA6953A
    step_one, step_other = 6, 18
    for byte in data:
        one = ~(one ^ byte) & _32
        other = ~(other + byte) & _32
        one, other = _rotated(other, step_one, 32), _rotated(one, step_other, 32)
        mixed = ((one >> 16) ^ other) & 0xFFFF
        step_one, step_other = mixed & 0x1F, mixed >> 11
    return one ^ other


def avalanche(number: int) -> int:
    """Spreads each bit over all 32: HAProxy's `full_hash`."""
    number = (number + 0x7ED55D16 + (number << 12)) & _32
    number = number ^ 0xC761C23C ^ (number >> 19)
    number = (number + 0x165667B1 + (number << 5)) & _32
    number = ((number + 0xD3A2646C) ^ (number << 9)) & _32
    number = (number + 0xFD7046C5 + (number << 3)) & _32
    number = number ^ 0xB55A4F09 ^ (number >> 16)
    return number * 3221225473 & _32


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC32C: Final = _crc32c_table()


def crc32c(data: bytes) -> int:
    """Castagnoli's (RFC 9260 appendix A)."""
    found = _32
    for byte in data:
        found = _CRC32C[(found ^ byte) & 0xFF] ^ (found >> 8)
    return found ^ _32


def _rotated(number: int, by: int, bits: int) -> int:
    return ((number << by) | (number >> (bits - by))) & ((1 << bits) - 1)


_A: Final = (2654435761, 2246822519, 3266489917, 668265263, 374761393)
_B: Final = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)


def xxh32(data: bytes, seed: int = 0) -> int:
    """XXH32."""
    one, two, three, four, five = _A
    at = 0
    if len(data) >= 16:
        lanes = [seed + one + two, seed + two, seed, seed - one]
        while at + 16 <= len(data):
            for i in range(4):
                word = int.from_bytes(data[at : at + 4], "little")
                lanes[i] = _rotated((lanes[i] + word * two) & _32, 13, 32) * one & _32
                at += 4
        found = sum(_rotated(lane, by, 32) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
    else:
        found = seed + five
    found = (found + len(data)) & _32
    while at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        found = _rotated((found + word * three) & _32, 17, 32) * four & _32
        at += 4
    for byte in data[at:]:
        found = _rotated((found + byte * five) & _32, 11, 32) * one & _32
    found = (found ^ (found >> 15)) * two & _32
    found = (found ^ (found >> 13)) * three & _32
    return found ^ (found >> 16)


def _round64(lane: int, word: int) -> int:
    return _rotated((lane + word * _B[1]) & _64, 31, 64) * _B[0] & _64


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64."""
    one, two, three, four, five = _B
    at = 0
    if len(data) >= 32:
        lanes = [(seed + one + two) & _64, (seed + two) & _64, seed, (seed - one) & _64]
        while at + 32 <= len(data):
            for i in range(4):
                lanes[i] = _round64(lanes[i], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        found = sum(_rotated(lane, by, 64) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _64
        for lane in lanes:
            found = ((found ^ _round64(0, lane)) * one + four) & _64
    else:
        found = seed + five
    found = (found + len(data)) & _64
    while at + 8 <= len(data):
        word = int.from_bytes(data[at : at + 8], "little")
        found = (_rotated(found ^ _round64(0, word), 27, 64) * one + four) & _64
        at += 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        found = (_rotated(found ^ (word * one & _64), 23, 64) * two + three) & _64
        at += 4
    for byte in data[at:]:
        found = _rotated(found ^ (byte * five & _64), 11, 64) * one & _64
    found = (found ^ (found >> 33)) * two & _64
    found = (found ^ (found >> 29)) * three & _64
    return found ^ (found >> 32)
