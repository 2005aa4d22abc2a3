"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): a password is proved, never told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from functools import lru_cache

from hapair.health.probes.dialogue import Malformed

MAX_ITERATIONS = 20_000
"""Some 10 ms of work, once for each password and salt; what a server asks beyond it is an attack on us."""

_CHALLENGE = re.compile(rb"r=([!-+\--~]{1,200}),s=([A-Za-z0-9+/=]{1,200}),i=([0-9]{1,9})(?:,.*)?", re.DOTALL)


@lru_cache(maxsize=256)
def _salted(password: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


class Scram:
    """One login."""

    def __init__(self, password: str, nonce: bytes) -> None:
        """`nonce` is printable, without a comma."""
        self._password = password.encode()
        self._nonce = nonce
        self._signature = b""

    def first(self) -> bytes:
        """What we say first."""
        return b"n,,n=,r=" + self._nonce

    def proof(self, challenge: bytes) -> bytes:
        """The answer to the server's challenge.

        Raises:
            Malformed: it is none, or would keep us busy.
        """
        found = _CHALLENGE.fullmatch(challenge)
        if found is None or not found[1].startswith(self._nonce) or found[1] == self._nonce:
            raise Malformed("not a SCRAM challenge")
        iterations = int(found[3])
        if not 1 <= iterations <= MAX_ITERATIONS:
            raise Malformed(f"{iterations} SCRAM iterations, more than {MAX_ITERATIONS}")
        try:
            salt = base64.b64decode(found[2], validate=True)
        except ValueError:
            raise Malformed("not a SCRAM salt") from None
        salted = _salted(self._password, salt, iterations)
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=biws,r=" + found[1]
        said = b"n=,r=" + self._nonce + b"," + challenge + b"," + final
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
        return final + b",p=" + base64.b64encode(proof)

    def server_is_right(self, final: bytes) -> bool:
        """Does the server know the password, too?"""
        signature = base64.b64encode(self._signature)
        return bool(self._signature) and hmac.compare_digest(final.partition(b",")[0], b"v=" + signature)
