"""TLS around a dialogue, in memory: the sockets stay `flight`'s, the words the dialogue's."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from hapair.config.asks import Tls
from hapair.health.probes.dialogue import Dialogue, Parting, Reconnect, StartTls, Step
from hapair.health.probes.outcome import EXCERPT, Finding, printable

HANDSHAKE = 65536
"""Bytes that certificates may take, beyond what the dialogue itself may hear."""


def context_for(tls: Tls) -> ssl.SSLContext:
    """What all checks with these terms share.  Reads files.

    Raises:
        OSError: `ca_file` cannot be read, or holds no certificates (ssl.SSLError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify and tls.sni is not None
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.verify and tls.ca_file is not None:
        context.load_verify_locations(tls.ca_file)
    elif tls.verify:
        context.load_default_certs()
    return context


def secured(open_inner: Callable[[], Dialogue], tls: Tls | None, *, at_once: bool) -> Callable[[], Dialogue]:
    """Dialogues as `open_inner` makes them, over TLS: `at_once`, or where a later connection asks for it."""
    terms = tls or Tls()
    try:
        context = context_for(terms)
    except OSError as error:
        why = f"ca_file {terms.ca_file}: {error.strerror or error}"
        return lambda: _Unable(open_inner(), why)
    return lambda: Secured(open_inner(), context, terms.sni, on=at_once)


class Secured:
    """A dialogue over TLS."""

    silent = False

    def __init__(self, inner: Dialogue, context: ssl.SSLContext, sni: str | None, *, on: bool) -> None:
        self._inner = inner
        self._context = context
        self._sni = sni
        self._on = on
        self.limit = inner.limit + HANDSHAKE
        self._sent = b""
        self._heard = b""
        self._first: bytes | None = None
        """What is said first over TLS that was asked for; None: what is said on any new connection."""
        self._begin()

    def _begin(self) -> None:
        self._established = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._sni)

    def connected(self) -> Step:
        if not self._on:
            return self._said(self._inner.connected())
        return self._guarded(self._handshake)

    def received(self, data: bytes) -> Step:
        if not self._on:
            return self._said(self._inner.received(data))
        self._incoming.write(data)
        return self._guarded(self._listen if self._established else self._handshake)

    def ended(self) -> Step:
        if self._on and not self._established:
            return Finding("L6RSP", "Connection closed during SSL handshake")
        return self._said(self._inner.ended())

    def late(self) -> Finding:
        if self._on and not self._established:
            return Finding("L6TOUT")
        return self._inner.late()

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        """In plain text."""
        return (
            self._inner.excerpt(self._sent, self._heard) if self._on else self._inner.excerpt(sent, received)
        )

    def _guarded(self, step: Callable[[], Step]) -> Step:
        try:
            return step()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        except ssl.SSLCertVerificationError as error:
            return Finding("L6RSP", f"SSL handshake failure: {printable(error.verify_message.encode())}")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            return Finding("L6RSP", f"SSL handshake failure: {printable(reason.encode())}")

    def _handshake(self) -> Step:
        self._tls.do_handshake()
        self._established = True
        if self._first is not None:
            step = self._said(self._first)
        elif self._inner.silent:
            return Finding("L6OK")
        else:
            step = self._said(self._inner.connected())
        if not isinstance(step, bytes):
            return step
        # A server that speaks first may have spoken already.
        more = self._guarded(self._listen)
        return step + more if isinstance(more, bytes) else more

    def _listen(self) -> Step:
        """Hear what is there to the end, which WantRead is."""
        out = b""
        while True:
            try:
                data = self._tls.read(self._inner.limit)
            except ssl.SSLWantReadError:
                return out + self._outgoing.read()
            except ssl.SSLZeroReturnError:
                data = b""
            if len(self._heard) < EXCERPT:
                self._heard = (self._heard + data)[:EXCERPT]
            step = self._said(self._inner.received(data) if data else self._inner.ended())
            if not isinstance(step, bytes):
                return step
            out += step

    def _said(self, step: Step) -> Step:
        """What the dialogue says, as the wire has it."""
        if isinstance(step, StartTls):
            return self._upgrade(step)
        if isinstance(step, Finding) or not self._on:
            if isinstance(step, Reconnect):
                self._on = step.tls
                self._begin()
            return step
        data = step if isinstance(step, bytes) else step.data
        if len(self._sent) < EXCERPT:
            self._sent = (self._sent + data)[:EXCERPT]
        if data:
            self._tls.write(data)
        out = self._outgoing.read()
        if isinstance(step, bytes):
            return out
        if isinstance(step, Parting):
            return Parting(out, step.finding)
        self._on = step.tls
        self._sent = self._heard = b""
        self._begin()
        return Reconnect(out, step.port, step.tls, step.send_proxy)

    def _upgrade(self, step: StartTls) -> Step:
        self._on, self._first = True, step.then
        self._begin()
        hello = self._guarded(self._handshake)
        return step.data + hello if isinstance(hello, bytes) else hello


class _Unable:
    """What should make TLS possible cannot be read: every check fails, and says why."""

    silent = False

    def __init__(self, inner: Dialogue, why: str) -> None:
        self.limit = inner.limit
        self._finding = Finding("SOCKERR", why)

    def connected(self) -> Finding:
        return self._finding

    def received(self, _data: bytes) -> Finding:
        return self._finding

    def ended(self) -> Finding:
        return self._finding

    def late(self) -> Finding:
        return self._finding

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        return sent, received
