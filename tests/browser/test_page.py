"""A real browser loads a page of fifty parts through the node, twice, and talks over a WebSocket."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from browser.chromium import tab
from clients.conftest import Site

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CONNECTIONS = 6
"""That Chromium opens to one host."""
SCRIPTS, STYLES, IMAGES, DATA = 15, 10, 20, 5


def png(number: int) -> bytes:
    """One pixel, and ballast that makes each file another size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    header = struct.pack("!IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    ballast = chunk(b"teSt", bytes(i * number % 251 for i in range(number * 5000)))
    pixel = zlib.compress(b"\0" + bytes([number, 0, 0]))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ballast + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    )


def write_page(www: Path) -> None:
    folder = www / "page"
    folder.mkdir()
    for i in range(SCRIPTS):
        (folder / f"{i}.js").write_text(f"window.ran = (window.ran || 0) + 1; /* {'x' * i * 3000} */")
    for i in range(STYLES):
        (folder / f"{i}.css").write_text(f".c{i} {{ width: {i + 100}px; }} /* {'y' * i * 2000} */")
    for i in range(IMAGES):
        (folder / f"{i}.png").write_bytes(png(i))
    for i in range(DATA):
        (folder / f"{i}.json").write_text(f'{{"n": {i}}}')
    parts = [f'<link rel="stylesheet" href="{i}.css">' for i in range(STYLES)]
    parts += [f'<script src="{i}.js"></script>' for i in range(SCRIPTS)]
    parts += [f'<img src="{i}.png"><div class="c{i % STYLES}"></div>' for i in range(IMAGES)]
    fetches = f"Promise.all([...Array({DATA}).keys()].map(i => fetch(i + '.json').then(r => r.json())))"
    (folder / "index.html").write_text(
        '<!doctype html><html><head><link rel="icon" href="data:,"></head><body>'
        + "\n".join(parts)
        + f"<script>{fetches}.then(all => window.fetched = all.reduce((sum, one) => sum + one.n, 0))</script>"
    )


EVERYTHING = f"""
window.ran === {SCRIPTS} && window.fetched === {sum(range(DATA))}
&& [...document.images].filter(one => one.complete && one.naturalWidth === 1).length === {IMAGES}
&& [...document.querySelectorAll('div')].every((one, i) => one.offsetWidth === i % {STYLES} + 100)
"""
TALK = """
new Promise((done, failed) => {
  const socket = new WebSocket(`ws://${location.host}/chat`), sent = 'ü'.repeat(70000);
  socket.onopen = () => socket.send(sent);
  socket.onmessage = message => { socket.close(); done(message.data === sent); };
  socket.onerror = () => failed('error');
})
"""


def test_a_page_with_fifty_parts_loads_over_few_connections_and_again_from_the_cache(
    site: Site, tmp_path: Path
) -> None:
    write_page(site.www)
    with tab(tmp_path) as page:
        page.does("Page.navigate", url=site.url("/page/index.html"))
        page.until(EVERYTHING)
        answers = [event["response"] for event in page.of("Network.responseReceived")]
        assert [one["status"] for one in answers] == [200] * 51
        assert {one["protocol"] for one in answers} == {"http/1.1"}
        assert page.of("Network.loadingFailed") == []
        connections = [one["connectionId"] for one in answers]
        assert len(set(connections)) <= CONNECTIONS
        assert sum(one["connectionReused"] for one in answers) >= len(answers) - CONNECTIONS

        page.events.clear()
        page.evaluates("window.before = true")
        page.does("Page.reload")
        page.until(f"window.before === undefined && {EVERYTHING}")
        assert page.of("Network.loadingFailed") == []
        validated = [event["statusCode"] for event in page.of("Network.responseReceivedExtraInfo")]
        assert 304 in validated
        assert set(validated) <= {200, 304}

        assert page.evaluates(TALK) is True
