"""Records of `logging` arrive at the log targets as lines."""

from __future__ import annotations

import logging
import os

import pytest

from hapair.app.logging_bridge import SinkHandler, logging_to
from hapair.config.model import Log


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.flushed = 0

    def write(self, severity: int, line: bytes) -> None:
        self.lines.append((severity, line.decode()))

    def flush(self) -> None:
        self.flushed += 1


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def logger(sink):
    logger = logging.getLogger("test of the bridge")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = SinkHandler(sink)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("level", "severity"),
    [("critical", 2), ("error", 3), ("warning", 4), ("info", 6), ("debug", 7)],
)
def test_levels_become_syslogs_and_the_line_is_sent_at_once(sink, logger, level, severity):
    getattr(logger, level)("Server %s is %s.", "app/s1", "DOWN")
    assert sink.lines == [(severity, "Server app/s1 is DOWN.")]
    assert sink.flushed == 1


def test_a_message_is_one_line_whatever_it_contains(sink, logger):
    logger.warning("from %s", "a\nServer app/s1 is DOWN.\x0b\u2028\x85b")
    assert len(sink.lines) == 1


def test_a_traceback_follows_in_lines_that_are_marked(sink, logger):
    try:
        raise ValueError("first\nServer app/s1 is DOWN.")  # noqa: TRY301
    except ValueError:
        logger.exception("bug")
    (first, *rest) = [line for _, line in sink.lines]
    assert first == "bug"
    assert "| ValueError: first" in rest
    assert all(line.startswith("| ") for line in rest)


def test_text_that_is_no_unicode_is_logged_all_the_same(sink, logger):
    logger.info("file %s", os.fsdecode(b"\xff"))
    assert sink.lines == [(6, "file \\udcff")]


def test_a_record_that_cannot_be_formatted_does_not_stop_who_logged_it(sink, logger, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("%d", "no number")
    logger.info("next")
    assert sink.lines == [(6, "next")]


def test_everything_under_hapair_goes_to_the_targets_until_the_end(tmp_path):
    read, write = os.pipe()
    saved = os.dup(1)
    os.dup2(write, 1)
    os.close(write)
    root = logging.getLogger("hapair")
    before = list(root.handlers), root.level, root.propagate
    try:
        with logging_to([Log("stdout", level="warning")]) as sink:
            logging.getLogger("hapair.vrrp").warning("MASTER")
            logging.getLogger("hapair.vrrp").info("not so important")
            sink.write(3, b"access")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        root.setLevel(before[1])
        root.propagate = before[2]
    assert os.read(read, 1000) == b"MASTER\naccess\n"
    os.close(read)
    assert root.handlers == before[0]
