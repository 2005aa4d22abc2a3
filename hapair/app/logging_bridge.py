"""The control plane logs with `logging`; this brings its records to the node's log targets.

Law: one record is one line, whatever its message contains; only a traceback has
lines of its own, and each is marked as such.
"""

from __future__ import annotations

import logging
import socket
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hapair.config.model import Log
from hapair.dataplane.access_log import LogSink
from hapair.dataplane.syslog_header import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SEVERITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)
"""Python's levels as syslog's: crit, err, warning, info, debug."""


class SinkHandler(logging.Handler):
    """Writes each record to the sink, and at once: it may be our last."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        try:
            severity = next((number for level, number in _SEVERITIES if record.levelno >= level), 7)
            self._write(severity, record.getMessage())
            if record.exc_info is not None and record.exc_info[1] is not None:
                for part in traceback.format_exception(record.exc_info[1]):
                    for line in part.splitlines():
                        self._write(severity, f"| {line}")
            self._sink.flush()
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not stop what logged it
            self.handleError(record)

    def _write(self, severity: int, line: str) -> None:
        self._sink.write(severity, line.encode("utf-8", "backslashreplace"))


@contextmanager
def logging_to(
    logs: Sequence[Log], user: str | None = None, tag: str = TAG, host: str | bool = False
) -> Iterator[LogSink]:
    """Open the log targets and send everything under `hapair` there; without any, to standard error.

    Files become the property of `user`, whom we shall become.  Headers call us `tag`, and this host `host`
    (true: by its own name).

    Raises:
        StartError: the host of a log target is unknown, or its file cannot be opened.
    """
    called = socket.gethostname() if host is True else host or None
    sink = LogSink(logs or (Log(target="stderr"),), user=user, tag=tag, host=called)
    handler = SinkHandler(sink)
    logger = logging.getLogger("hapair")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield sink
    finally:
        logger.removeHandler(handler)
        sink.close()
