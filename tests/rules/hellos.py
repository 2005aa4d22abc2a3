"""ClientHellos of real clients."""

from __future__ import annotations

import ssl

import pytest


def hello(name: str | None = "www.example.org", version: ssl.TLSVersion | None = None) -> bytes:
    """What Python's (OpenSSL's) client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    context.verify_mode = ssl.CERT_NONE if name is None else ssl.CERT_REQUIRED
    if version is not None:
        context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()
