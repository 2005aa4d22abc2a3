"""Redis: PING, after AUTH where a password is given, and ROLE where one is wanted (RESP2)."""

from __future__ import annotations

from hapair.config.asks import RedisCheck
from hapair.health.probes.dialogue import Conversation, Malformed, Parting, Step
from hapair.health.probes.outcome import Finding, printable

_PING, _ROLE, _QUIT = b"PING", b"ROLE", b"QUIT"


def command(*words: bytes) -> bytes:
    """An array of bulk strings, as clients send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class RedisProbe(Conversation):
    """Commands, one after the other."""

    def __init__(self, check: RedisCheck) -> None:
        super().__init__("+PONG")
        self._role = check.role
        self._secret = check.password is not None
        self._commands = [(_PING,)]
        if check.password is not None:
            user = () if check.user is None else (check.user.encode(),)
            self._commands.insert(0, (b"AUTH", *user, check.password.encode()))
        if check.role is not None:
            self._commands.append((_ROLE,))

    def connected(self) -> bytes:
        return self._next()

    def _next(self) -> bytes:
        verb = self._commands[0][0]
        self.waiting_for = {_PING: "+PONG", _ROLE: f"role {self._role}"}.get(verb, "+OK to AUTH")
        return command(*self._commands[0])

    def listen(self) -> Step:
        out = b""
        while self.heard:
            if self.heard[:1] not in (b"+", b"-", b"*"):
                raise Malformed(f"not an answer: {printable(self.heard[:40])}")
            line, end, rest = self.heard.partition(b"\r\n")
            if len(line) > 1024:
                raise Malformed("the answer is too long")
            if not end:
                break
            if line[:1] == b"-":
                return self.refused(printable(line[1:]))
            verb = self._commands[0][0]
            if verb == _ROLE:
                step = self._judge_role(line, rest)
                return step or out
            if line != (b"+PONG" if verb == _PING else b"+OK"):
                raise Malformed(f"unexpected answer: {printable(line)}")
            self.heard = rest
            del self._commands[0]
            if not self._commands:
                return _PASSED
            out += self._next()
        return out

    def _judge_role(self, line: bytes, rest: bytes) -> Step:
        if line[:1] != b"*":
            raise Malformed(f"unexpected answer: {printable(line)}")
        size, end, rest = rest.partition(b"\r\n")
        role, end2, _ = rest.partition(b"\r\n")
        if len(size) > 16 or len(role) > 64:
            raise Malformed("the role is too long")
        if not end or not end2:
            return b""
        if role.decode("ascii", "replace") != self._role:
            return self.refused(f"the role is {printable(role)}")
        return _PASSED

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        """Without the password."""
        return (
            b"AUTH ..., " + b", ".join(one[0] for one in self._commands[1:])
        ) if self._secret else sent, received


_PASSED = Parting(command(_QUIT), Finding("L7OK"))
