"""Why messages were refused: the last of them with how they began, and a line in the log for each.

HAProxy's log says `PR--` and 400; the reason is only in the source.  Not hot, yet a
flood must not become a flood of lines: beyond `PER_SECOND` they are only counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import attrs

from hapair.http1.printable import escape

if TYPE_CHECKING:
    from hapair.proxy.session import Session

PER_SECOND: Final = 10
"""Log lines each second; the next one after that says how many were left out."""
KEPT: Final = 32
LONGEST: Final = 512
"""Bytes of a message that are kept."""
_SHOWN: Final = 120
"""Bytes of it in a log line."""
_NOTICE: Final = 5
_WIDTH: Final = 64


@attrs.frozen
class Fault:
    """One message that was refused."""

    number: int
    at: float
    """Monotonic time, which is one for all processes."""
    stamp: str
    frontend: str
    backend: str
    server: str
    source: str
    response: bool
    why: str
    began: bytes
    """What came, cut to `LONGEST` bytes."""


class Faults:
    """Those of the whole process."""

    def __init__(self) -> None:
        self.log: Callable[[int, bytes], None] = lambda _severity, _line: None
        """Whoever owns the process gives it."""
        self.total = 0
        self.last: deque[Fault] = deque(maxlen=KEPT)
        self.responses: dict[str, dict[str, int]] = {}
        """Backend -> reason -> how often; those of requests are counted by their frontend."""
        self._reported = 0
        self._second = -1
        self._told = 0
        self._untold = 0

    def request(self, session: Session, why: str, data: bytes, now: float) -> None:
        """A client sent what is not forwarded."""
        self._add(session, why, data, now, response=False)

    def response(self, session: Session, why: str, data: bytes, now: float, where: str = "") -> None:
        """A server did; `where` in it belongs to the reason, but is not counted by."""
        backend = session.backend.name if session.backend is not None else "-"
        reasons = self.responses.setdefault(backend, {})
        reasons[why] = reasons.get(why, 0) + 1
        self._add(session, why + where, data, now, response=True)

    def news(self) -> list[Fault]:
        """Those that were not asked for yet, as far as they are kept."""
        news = [fault for fault in self.last if fault.number > self._reported]
        self._reported = self.total
        return news

    def take(self, more: int, news: Iterable[Fault]) -> None:
        """What another process had: so many `more`, of which these are the last."""
        self.total += more
        kept = list(news)
        for number, fault in enumerate(kept, self.total - len(kept) + 1):
            self.last.append(attrs.evolve(fault, number=number))

    def _add(self, session: Session, why: str, data: bytes, now: float, *, response: bool) -> None:
        frontend = session.frontend
        self.total += 1
        fault = Fault(
            self.total,
            now,
            frontend.dates.stamp(now).decode(),
            frontend.name,
            session.backend.name if session.backend is not None else "<NONE>",
            session.server.name if session.server is not None else "<NONE>",
            f"{session.source}:{session.port}",
            response,
            why,
            data[:LONGEST],
        )
        self.last.append(fault)
        if frontend.log_format is not None and self._may_tell(now):
            self.log(_NOTICE, self._line(fault).encode("latin-1", "replace"))

    def _may_tell(self, now: float) -> bool:
        if int(now) != self._second:
            self._second = int(now)
            self._told = 0
        if self._told == PER_SECOND:
            self._untold += 1
            return False
        self._told += 1
        return True

    def _line(self, fault: Fault) -> str:
        kind = "response" if fault.response else "request"
        first = escape(fault.began.partition(b"\r\n")[0][:_SHOWN]).replace("#20", " ")
        more, self._untold = self._untold, 0
        note = f" ({more} more were not told)" if more else ""
        return (
            f"{fault.source} [{fault.stamp}] {fault.frontend} {fault.backend}/{fault.server}: "
            f'refused {kind}: {fault.why}: "{first}"{note}'
        )

    def show(self, frontend_or_backend: str = "", kind: str = "") -> str:
        """The last ones, newest first, as HAProxy's `show errors` gives them."""
        shown = [f"Total events captured: {self.total}\n"]
        for fault in sorted(self.last, key=lambda fault: (fault.at, fault.number), reverse=True):
            if kind and (kind == "response") != fault.response:
                continue
            if frontend_or_backend in ("", fault.frontend, fault.backend):
                shown.append(_description(fault))
        return "\n".join(shown)


def _description(fault: Fault) -> str:
    kind = "response" if fault.response else "request"
    place, name = ("backend", fault.backend) if fault.response else ("frontend", fault.frontend)
    head = (
        f"[{fault.stamp}] {place} {name}: invalid {kind}: {fault.why}\n"
        f"  frontend {fault.frontend}, backend {fault.backend}, server {fault.server}, "
        f"event #{fault.number}, src {fault.source}, first {len(fault.began)} bytes:\n\n"
    )
    return head + "".join(f"  {at:05}  {text}\n" for at, text in _rows(fault.began))


def _rows(data: bytes) -> list[tuple[int, str]]:
    """Offset and printable text, a new row after each line end."""
    rows = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + _WIDTH) + 1 or min(len(data), at + _WIDTH)
        rows.append((at, "".join(map(_printable, data[at:end]))))
        at = end
    return rows


def _printable(byte: int) -> str:
    if byte in (10, 13):
        return "\\n" if byte == 10 else "\\r"
    return chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02X}"
