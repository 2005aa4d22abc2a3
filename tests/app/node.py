"""Start `hapair run` as a process of its own and talk to it; used by the tests of app and api."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Daemon:
    """One `hapair run`, its output, and its end."""

    def __init__(
        self, config: Path, environ: dict[str, str] | None = None, within: tuple[str, ...] = ()
    ) -> None:
        """`within` is a command that ends by executing its further words."""
        self.config = config
        self.output = config.with_suffix(".log")
        self._file = self.output.open("w")
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "hapair", "run", str(config)],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, *, times: int = 1, seconds: float = 30) -> None:
        """Until the daemon has said `words` so many times."""
        until = time.monotonic() + seconds
        while self.text().count(words) < times:
            assert self.process.poll() is None, f"hapair ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < until, f"hapair did not say {words!r}:\n{self.text()}"
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._file.close()


@contextlib.contextmanager
def running(config: Path, environ: dict[str, str] | None = None, within: tuple[str, ...] = ()):
    """A daemon that is ready, and ends with the block."""
    daemon = Daemon(config, environ, within)
    try:
        daemon.wait_for("is ready")
        yield daemon
    finally:
        daemon.end()
