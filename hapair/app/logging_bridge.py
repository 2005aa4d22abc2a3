"""The control plane logs with `logging`; this brings its records to the node's log targets."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hapair.config.model import Log
from hapair.dataplane.access_log import LogSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SEVERITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


class SinkHandler(logging.Handler):
    """Writes each record to the sink, a traceback as lines of their own."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        severity = next((number for level, number in _SEVERITIES if record.levelno >= level), 7)
        for line in self.format(record).splitlines():
            self._sink.write(severity, line.encode("utf-8", "replace"))
        self._sink.flush()


@contextmanager
def logging_to(logs: Sequence[Log]) -> Iterator[LogSink]:
    """Open the log targets, and send everything under `hapair` there; without any, to standard error."""
    sink = LogSink(logs or (Log(target="stderr"),))
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
