"""A data plane in front of a real web server (nginx) and a WebSocket echo, for foreign clients."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from app.node import running
from ports import free_port

CONFIG = """
[node]
name = "clients"

[defaults]
mode = "http"
timeout = {{ http_request = "10s", connect = "5s", client = "30s", server = "30s", http_keep_alive = "10s" }}
forwardfor = {{}}

[frontend.main]
bind = ["127.0.0.1:{port}"]
acl.chat = ["path_beg /chat"]
use_backend = [{{ backend = "chat", if = "chat" }}]
default_backend = "web"

[frontend.packed]
bind = ["127.0.0.1:{packed}"]
compression = {{ algo = ["gzip", "deflate", "br", "zstd"], offload = true }}
default_backend = "web"

[backend.web]
cookie = {{ name = "SERVERID", mode = "insert", indirect = true, nocache = true }}
server.web1 = {{ address = "127.0.0.1:{nginx}", cookie = "w1" }}

[backend.chat]
server.chat1 = {{ address = "127.0.0.1:{chat}" }}
"""

NGINX = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 100m; default_type application/octet-stream;
  types {{ text/html html; text/css css; text/javascript js; image/png png; application/json json; }}
  server {{
    listen 127.0.0.1:{port}; root {folder}/www; gzip on; gzip_min_length 1; gzip_http_version 1.0;
  absolute_redirect off;
    location = /forwarded {{ return 200 "$http_x_forwarded_for|$http_cookie"; }}
    location = /moved {{ return 302 /hello.html; }}
    location = /upload {{ client_body_in_single_buffer on; dav_methods PUT; alias {folder}/up/file; }}
  }}
}}
"""


@attrs.frozen
class Site:
    port: int
    packed: int
    """Where we compress, and nginx does not."""
    www: Path
    uploaded: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def echo_websocket(listener: socket.socket) -> None:
    """RFC 6455, just enough: every message comes back unmasked, a close is answered."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_converse, args=(sock,), daemon=True).start()


def _converse(sock: socket.socket) -> None:
    with sock, contextlib.suppress(ConnectionError, EOFError), sock.makefile("rb") as incoming:
        key = b""
        while (line := incoming.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        while True:
            first, second = _exactly(incoming, 2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(_exactly(incoming, 2 if size == 126 else 8), "big")
            mask = _exactly(incoming, 4)
            masked = _exactly(incoming, size)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(masked))
            if size < 126:
                length = bytes([size])
            elif size < 65536:
                length = b"\x7e" + size.to_bytes(2, "big")
            else:
                length = b"\x7f" + size.to_bytes(8, "big")
            opcode = first & 15
            sock.sendall(bytes([first if opcode != 9 else 0x8A]) + length + data)
            if opcode == 8:
                return


def _exactly(incoming: object, count: int) -> bytes:
    data = incoming.read(count)  # type: ignore[attr-defined]
    if len(data) < count:
        raise EOFError
    return data


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while True:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "nginx does not start"
        assert time.monotonic() < until, "nginx does not answer"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    for name in ("www", "up"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    folder.chmod(0o755)
    for parent in folder.parents:  # nginx's workers are another user
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    (folder / "www" / "hello.html").write_text("<p>hello</p>\n" * 100)
    (folder / "www" / "large.bin").write_bytes(bytes(i * i % 251 for i in range(1 << 20)) * 8)
    nginx_port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=nginx_port))
    node = folder / "node.toml"
    port, packed = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as chat, contextlib.ExitStack() as stack:
        thread = threading.Thread(target=echo_websocket, args=(chat,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(chat.shutdown, socket.SHUT_RDWR)
        nginx = subprocess.Popen(["nginx", "-c", str(config), "-e", "stderr"])
        stack.callback(nginx.wait)
        stack.callback(nginx.terminate)
        wait_for(nginx_port, nginx)
        node.write_text(CONFIG.format(port=port, packed=packed, nginx=nginx_port, chat=chat.getsockname()[1]))
        stack.enter_context(running(node))
        yield Site(port, packed, folder / "www", folder / "up" / "file")
