"""The real HAProxy as an oracle: run a configuration, talk to its stats socket."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path


class Haproxy:
    """One running `haproxy -f`, stopped by `end`."""

    def __init__(self, folder: Path, sections: str) -> None:
        self.folder = folder
        self.admin = folder / "admin.sock"
        config = folder / "haproxy.cfg"
        config.write_text(
            f"global\n  nbthread 1\n  maxconn 500\n  stats socket {self.admin} level admin\n"
            f"defaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n"
            + sections
        )
        self._errors = (folder / "haproxy.err").open("w+")
        self.process = subprocess.Popen(
            ["haproxy", "-f", str(config), "-db"], stdout=subprocess.DEVNULL, stderr=self._errors
        )
        try:
            until = time.monotonic() + 10
            while not self._answers():
                assert self.process.poll() is None, self.errors()
                assert time.monotonic() < until, "haproxy does not answer on its stats socket"
                time.sleep(0.01)
        except BaseException:
            self.end()
            raise

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return "Name: HAProxy" in self.command("show info")
        return False

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def command(self, line: str) -> str:
        """One command for the stats socket and its answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self.admin))
            sock.sendall(line.encode() + b"\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer.decode()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()


@contextlib.contextmanager
def running(folder: Path, sections: str):
    """A HAProxy that ends with the block."""
    haproxy = Haproxy(folder, sections)
    try:
        yield haproxy
    finally:
        haproxy.end()
