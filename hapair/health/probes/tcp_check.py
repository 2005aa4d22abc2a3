"""A script of connections, sendings and expectations: HAProxy's tcp-check.

Its laws: what was received is forgotten when something is sent; expectations that
follow one another judge the same bytes; an unwanted match fails at once, and
nothing unwanted is certain only at the end, or when `min-recv` bytes are there.
"""

from __future__ import annotations

import re

from hapair.config.asks import Connect, Expect, Send, TcpCheck
from hapair.health.probes.dialogue import MAX_ANSWER, Conversation, Parting, Reconnect, Step
from hapair.health.probes.outcome import STATUSES, Finding, Status, printable


def matches(expect: Expect, data: bytes) -> bool:
    """Whether a pattern is in it, whatever the sign."""
    if expect.match == "rbinary":  # as HAProxy: against upper-case hexadecimal text
        return re.search(expect.pattern, data.hex().upper().encode()) is not None
    if expect.match == "rstring":
        return re.search(expect.pattern, data, re.DOTALL) is not None
    return expect.pattern in data


class TcpCheckProbe(Conversation):
    """One run of a script."""

    def __init__(self, check: TcpCheck) -> None:
        super().__init__("the connection")
        self._rules = check.rules
        self._at = 1 if isinstance(check.rules[0], Connect) else 0
        """The rule whose turn it is; the first connection is there when we are asked first."""
        self._ended = False
        self._message = ""

    def connected(self) -> Step:
        self.heard = b""
        self._ended = False
        return self._go_on()

    def listen(self) -> Step:
        return self._go_on()

    def ended(self) -> Step:
        self._ended = True
        return self._go_on()

    def _go_on(self) -> Step:
        out = b""
        while self._at < len(self._rules):
            rule = self._rules[self._at]
            if isinstance(rule, Connect):
                self._at += 1
                return Reconnect(out, rule.port, rule.ssl, rule.send_proxy)
            if isinstance(rule, Send):
                if self._ended:
                    return Finding("L7RSP", f"the connection ended before step {self._at + 1}")
                out += rule.data
                self.heard = b""
                self._at += 1
                continue
            self.waiting_for = rule.text
            if out:
                return out
            verdict = self._judge(rule)
            if isinstance(verdict, Finding):
                return verdict
            if not verdict:
                return b""
            self._at += 1
        return self._passed(out)

    def _judge(self, rule: Expect) -> Finding | bool:
        """A failure; or whether the rule holds, as against: more must come."""
        if not self.heard:
            return self._failed(rule, "got an empty response") if self._ended else False
        last = self._ended or len(self.heard) >= MAX_ANSWER
        if len(self.heard) < rule.min_recv and not last:
            return False
        found = matches(rule, self.heard)
        if found and rule.negated:
            return self._failed(rule, f"matched unwanted content '{printable(rule.pattern)}'")
        if not found and not last and not rule.min_recv:
            return False
        if not found and not rule.negated:
            return self._failed(rule, f"did not match content '{printable(rule.pattern)}'")
        self._message = rule.on_success
        return True

    def _failed(self, rule: Expect, what: str) -> Finding:
        comment = f" comment: '{rule.comment}'" if rule.comment else ""
        info = rule.on_error or f"TCPCHK {what} at step {self._at + 1}{comment}"
        return Finding(STATUSES[rule.error_status], printable(info.encode()), expected=rule.text)

    def _passed(self, out: bytes) -> Step:
        only_connects = all(isinstance(rule, Connect) for rule in self._rules)
        status: Status = "L4OK" if only_connects else "L7OK"
        last = self._rules[-1]
        if isinstance(last, Expect):
            status = STATUSES[last.ok_status]
        finding = Finding(status, printable(self._message.encode()))
        return Parting(out, finding) if out else finding

    def late(self) -> Finding:
        rule = self._rules[min(self._at, len(self._rules) - 1)]
        comment = f" comment: '{rule.comment}'" if rule.comment else ""
        info = f"at step {self._at + 1} of tcp-check ({printable(rule.text.encode())}){comment}"
        return Finding("L7TOUT", info, expected=self.waiting_for)
