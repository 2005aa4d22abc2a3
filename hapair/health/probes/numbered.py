"""SMTP and FTP: replies with a number of three digits (RFC 5321 section 4.2, RFC 959 section 4.2).

A reply of several lines has a hyphen behind the number of its first line and a
blank behind that of its last.  After a good answer to STARTTLS (RFC 3207) or
AUTH TLS (RFC 4217) TLS begins.
"""

from __future__ import annotations

from hapair.health.probes.dialogue import Conversation, Malformed, Parting, StartTls, Step
from hapair.health.probes.outcome import Finding, printable

Exchange = tuple[bytes, bytes]
"""What we say (nothing at first: such servers greet), and how the number of the reply must begin."""

QUIT = b"QUIT\r\n"


class NumberedProbe(Conversation):
    """Exchanges, one after the other."""

    def __init__(self, exchanges: tuple[Exchange, ...], tls_from: int | None = None) -> None:
        """Exchanges from number `tls_from` on are held over TLS."""
        super().__init__(_wanted(exchanges[0]))
        self._exchanges = exchanges
        self._tls_from = tls_from
        self._at = 0
        self._number = b""
        """Of a reply whose last line has not come."""

    def listen(self) -> Step:
        out = b""
        while (end := self.heard.find(b"\n")) >= 0:
            line, self.heard = self.heard[:end].removesuffix(b"\r"), self.heard[end + 1 :]
            if self._number:
                if line[:3] != self._number or line[3:4] == b"-":
                    continue
            elif not line[:3].isdigit() or line[3:4] not in (b"", b" ", b"-"):
                raise Malformed(f"not a reply: {printable(line[:40])}")
            if line[3:4] == b"-":
                self._number = line[:3]
                continue
            self._number = b""
            step = self._reply(line)
            if not isinstance(step, bytes):
                return step
            out += step
        if len(self.heard) >= 2048:
            raise Malformed("a line of the reply is too long")
        return out

    def _reply(self, line: bytes) -> Step:
        _, wanted = self._exchanges[self._at]
        code = int(line[:3])
        if not line.startswith(wanted):
            return self.refused(printable(line[4:]), code)
        self._at += 1
        if self._at == len(self._exchanges):
            return Parting(QUIT, Finding("L7OK", code=code))
        self.waiting_for = _wanted(self._exchanges[self._at])
        if self._at == self._tls_from:
            if self.heard:
                raise Malformed("it says more in clear text than that TLS may begin")
            return StartTls(then=self._exchanges[self._at][0])
        return self._exchanges[self._at][0]


def _wanted(exchange: Exchange) -> str:
    said, number = exchange
    after = f" to {printable(said.strip())}" if said else ""
    return f"a reply {number.decode():x<3}{after}"


def smtp(hello: str, domain: str, *, starttls: bool = False) -> NumberedProbe:
    """A greeting, and a good answer to ours; over TLS that was asked for, once more."""
    if not starttls:
        return NumberedProbe(((b"", b"2"), (f"{hello} {domain}\r\n".encode(), b"2")))
    ehlo = f"EHLO {domain}\r\n".encode(), b"2"  # who says HELO knows no STARTTLS
    return NumberedProbe(((b"", b"2"), ehlo, (b"STARTTLS\r\n", b"220"), ehlo), tls_from=3)


def ftp(*, starttls: bool = False) -> NumberedProbe:
    """Ready for a new user; over TLS that was asked for, it says good-bye."""
    if not starttls:
        return NumberedProbe(((b"", b"220"),))
    return NumberedProbe(((b"", b"220"), (b"AUTH TLS\r\n", b"234"), (QUIT, b"2")), tls_from=2)
