"""Chromium without a screen, driven over its DevTools protocol."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

FLAGS = """
--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --disable-extensions
--remote-debugging-port=0 --remote-allow-origins=*
""".split()
"""It runs as root, in a container, and calls nobody but the page."""


class Tab:
    """One page, and everything that its network did."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=20)
        self._asked = 0
        self.events: list[dict[str, Any]] = []
        self.does("Network.enable")
        self.does("Page.enable")

    def does(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command and its result; events that come meanwhile are kept."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._asked:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def evaluates(self, expression: str) -> object:
        """The value of JavaScript."""
        return self.does("Runtime.evaluate", expression=expression, awaitPromise=True)["result"].get("value")

    def until(self, expression: str, seconds: float = 15) -> None:
        """Wait until JavaScript is true."""
        until = time.monotonic() + seconds
        while self.evaluates(expression) is not True:
            assert time.monotonic() < until, f"{expression}: {self.evaluates('document.title')}"
            time.sleep(0.02)

    def of(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A browser of its own, with an empty profile, for one page."""
    profile = folder / "profile"
    with (folder / "chromium.log").open("w+") as log:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            port = _port(profile / "DevToolsActivePort", process, log.name)
            one = Tab(_page(port))
            try:
                yield one
            finally:
                one.close()
        finally:
            process.terminate()
            process.wait(20)


def _port(told: Path, process: subprocess.Popen[bytes], log: str) -> int:
    until = time.monotonic() + 30
    while not (told.exists() and told.read_text().strip()):
        assert process.poll() is None, Path(log).read_text()
        assert time.monotonic() < until, f"chromium does not start: {Path(log).read_text()}"
        time.sleep(0.02)
    return int(told.read_text().splitlines()[0])


def _page(port: int) -> str:
    until = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < until, "chromium opens no page"
        time.sleep(0.02)
