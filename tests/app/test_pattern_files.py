"""Files of patterns and maps in a running node: SIGHUP reads them, the runtime socket changes them."""

from __future__ import annotations

import http.client
import signal
import socket

import pytest
from app.node import running
from kernel.namespaces import wait_for
from ports import free_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [0, 1])
def test_a_changed_file_is_noticed_and_so_is_a_command(tmp_path, workers):
    port, admin, paths, answers = free_port(), tmp_path / "api", tmp_path / "paths", tmp_path / "answers"
    paths.write_text("/a\n")
    answers.write_text("/a 410\n")
    file = tmp_path / "node.toml"
    file.write_text(f"""
[node]
name = "files"
workers = {workers}
log = {{ target = "stdout" }}
[api]
socket = "{admin}"
[defaults]
mode = "http"
timeout = {{ client = "5s" }}
[frontend.main]
bind = "127.0.0.1:{port}"
http_request = [
  "return status 403 if {{ path -f {paths} }}",
  "redirect location /%[path,map({answers},none)] code 302",
]
""")

    def ask(path: str) -> tuple[int, str | None]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        client.request("GET", path)
        answer = client.getresponse()
        client.close()
        return answer.status, answer.getheader("location")

    def command(line: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(admin))
            sock.sendall(f"{line}\n".encode())
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        return answer.decode()

    with running(file) as node:
        assert ask("/a")[0] == 403
        assert ask("/b") == (302, "/none")
        paths.write_text("/b\n")
        answers.write_text("/a gone\n")
        node.signal(signal.SIGHUP)
        node.wait_for("reload: ")
        assert f"reload: {paths} changed; {answers} changed" in node.text()
        wait_for(lambda: ask("/b")[0] == 403, what="the worker")
        assert ask("/a") == (302, "/gone")
        assert command(f"del acl {paths} /b; add map {answers} /b by-hand").strip() == ""
        assert "by-hand" in command(f"show map {answers}")
        wait_for(lambda: ask("/b") == (302, "/by-hand"), what="the worker, who hears of it later")
        paths.unlink()
        node.signal(signal.SIGHUP)
        node.wait_for("nothing was changed")
        assert ask("/b") == (302, "/by-hand")
