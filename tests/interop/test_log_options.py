"""What is logged, when, how severe and under which header: the real HAProxy and hapair, side by side.

Times, ports, dates, process numbers and bytes are their own; that a number has a `+` before it is not.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from app.node import running
from interop.haproxy import running as haproxy_running
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

OPTIONS = {
    "plain": "",
    "logasap": "logasap",
    "errors": "log-separate-errors",
    "abnormal": "dontlog-normal",
    "both": "log-separate-errors dontlog-normal",
    "notnull": "dontlognull",
}
FORMAT = "%ci [%f] %b/%s %ST %ts %B %Ta %Tt %Td %U %rc"
FORMAT_TCP = "%ci [%f] %b/%s %ts %B %Tt %U %rc"
KEYS = {
    "logasap": "logasap",
    "log-separate-errors": "log_separate_errors",
    "dontlog-normal": "dontlog_normal",
    "dontlognull": "dontlognull",
}


class Server(Listener):
    """In HTTP by the path, and in TCP by the first letter."""

    def serve(self, client: socket.socket) -> None:
        data = b""
        while not self.over.is_set():
            more = client.recv(4096)
            if not more:
                return
            data += more
            if data.startswith(b"echo"):
                client.sendall(data)
                data = b""
            elif data.startswith(b"cut"):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            elif b"\r\n\r\n" in data:
                path = data.split(b" ")[1]
                if path == b"/gone":
                    return
                if path == b"/half":
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                    return
                status = path[1:].partition(b"/")[0] if path[1:2].isdigit() else b"200"
                client.sendall(b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\nhello" % status)
                data = b""


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()


HTTP = {
    "ordinary": get("/"),
    "not found": get("/404"),
    "a server's error": get("/503"),
    "denied": get("/denied"),
    "redirected": get("/moved"),
    "no server": get("/closed"),
    "an unhappy end": get("/half"),
    "no answer": get("/gone"),
    "nonsense": b"GET\r\n\r\n",
    "half a request": b"GET /",
    "a blank line": b"\r\n",
    "nothing": b"",
}
TCP = {
    "ordinary": b"echo",
    "cut": b"cut",
    "nothing": b"",
}


def haproxy_config(ports: dict[str, int], places: dict[str, int], log: int) -> str:
    text = ""
    for name, port in ports.items():
        kind, _, option = name.partition("-")
        options = "".join(f" option {one}\n" for one in OPTIONS[option].split())
        text += (
            f"frontend {name}\n bind 127.0.0.1:{port}\n log 127.0.0.1:{log} format short local0\n{options}"
        )
        if kind == "http":
            text += (
                f" log-format '{FORMAT}'\n timeout http-request 300ms\n"
                " http-request deny if { path /denied }\n"
                " http-request redirect location / if { path /moved }\n"
                " use_backend closed if { path /closed }\n default_backend app\n"
            )
        else:
            text += f" mode tcp\n log-format '{FORMAT_TCP}'\n timeout client 300ms\n default_backend stream\n"
    return text + (
        f"backend app\n server s 127.0.0.1:{places['server']}\n"
        f"backend stream\n mode tcp\n server s 127.0.0.1:{places['server']}\n"
        f"backend closed\n retries 0\n server s 127.0.0.1:{places['closed']}\n"
    )


def hapair_config(ports: dict[str, int], places: dict[str, int], log: int, folder) -> str:
    text = f"""
[node]
name = "test"
log = [{{ target = "127.0.0.1:{log}", format = "short" }}, {{ target = "stdout" }}]
[api]
socket = "{folder}/api.sock"
[defaults]
mode = "http"
timeout = {{ connect = "2s", client = "10s", server = "10s", http_request = "300ms" }}
"""
    for name, port in ports.items():
        kind, _, option = name.partition("-")
        options = "".join(f"{KEYS[one]} = true\n" for one in OPTIONS[option].split())
        text += f'[frontend.{name}]\nbind = "127.0.0.1:{port}"\n{options}'
        if kind == "http":
            text += f"""log_format = '{FORMAT}'
http_request = ["deny if {{ path /denied }}", "redirect location / if {{ path /moved }}"]
use_backend = [{{ backend = "closed", if = "{{ path /closed }}" }}]
default_backend = "app"
"""
        else:
            text += f"""log_format = '{FORMAT_TCP}'
mode = "tcp"
timeout.client = "300ms"
default_backend = "stream"
"""
    return (
        text
        + f"""
[backend.app]
server.s = {{ address = "127.0.0.1:{places["server"]}" }}
[backend.stream]
mode = "tcp"
server.s = {{ address = "127.0.0.1:{places["server"]}" }}
[backend.closed]
retries = 0
server.s = {{ address = "127.0.0.1:{places["closed"]}" }}
"""
    )


def comparable(line: str) -> str:
    """Of numbers only the status counts, and whether there is a `+`."""
    head, status, rest = re.fullmatch(r"(<.>\S+ \S+ \S+)( \d\d\d)?(.*)", line).groups()
    return head + (status or "") + re.sub(r"\b\d+\b", "N", rest)


def lines_of(sink: socket.socket) -> list[str]:
    lines = []
    with contextlib.suppress(TimeoutError):
        while True:
            line = sink.recv(65536).decode().rstrip("\n")
            if re.match(r"<.>127\.0\.0\.1 \[", line):
                lines.append(comparable(line))
    return lines


def observed(ports: dict[str, int], sink: socket.socket) -> dict[str, list[str]]:
    found = {}
    for name, port in ports.items():
        for what, message in (HTTP if name.startswith("http") else TCP).items():
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(message)
                if name.startswith("http") and what in ("nothing", "half a request", "a blank line"):
                    client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while client.recv(65536):
                        pass
            found[f"{name}: {what}"] = lines_of(sink)
    return found


@contextlib.contextmanager
def sinks(count: int, patience: float):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for one in opened:
            one.bind(("127.0.0.1", 0))
            one.settimeout(patience)
        yield opened


def test_each_option_hides_raises_or_hastens_the_same_lines(tmp_path):
    names = [f"{kind}-{option}" for kind in ("http", "tcp") for option in OPTIONS]
    theirs, ours = {name: free_port() for name in names}, {name: free_port() for name in names}
    config = tmp_path / "node.toml"
    with Server() as server, sinks(2, 0.15) as (sink, other):
        places = {"server": server.port, "closed": free_port()}
        config.write_text(hapair_config(ours, places, other.getsockname()[1], tmp_path))
        text = haproxy_config(theirs, places, sink.getsockname()[1])
        with haproxy_running(tmp_path, text), running(config), ThreadPoolExecutor(2) as both:
            expected, got = both.map(observed, (theirs, ours), (sink, other))
    assert sum(map(len, expected.values())) > len(HTTP)
    assert got == expected


FORMS = "local rfc3164 rfc5424 priority short timed iso raw".split()
SIGNS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d"), "ISO"),
    (re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"), "DATE"),
    (re.compile(r"(?<=\[)\d+(?=\])|(?<=tag )\d+|(?<=other )\d+"), "PID"),
]


def shape(line: bytes) -> str:
    text = line.decode().rstrip("\n")
    for pattern, sign in SIGNS:
        text = pattern.sub(sign, text)
    return text


@pytest.mark.parametrize("host", [None, "lb-a"])
def test_each_format_of_headers_is_haproxys(tmp_path, host):
    theirs, ours = free_port(), free_port()
    config = tmp_path / "node.toml"
    with sinks(2 * len(FORMS) + 2, 5) as opened:
        half = len(FORMS) + 1
        ports = [one.getsockname()[1] for one in opened]
        text = "global\n log-tag tag\n" + (f" log-send-hostname {host}\n" if host else "")
        text += "frontend main\n" + (" log-tag other\n" if host else "")
        text += f" bind 127.0.0.1:{theirs}\n log-format 'said %HM'\n log-format-sd '[a@1 b=\"%ST\"]'\n"
        text += "".join(map(" log 127.0.0.1:{} format {} local3 info notice\n".format, ports, FORMS))
        text += f" log 127.0.0.1:{ports[half - 1]} len 80 local3\n"
        text += " http-request set-log-level crit if { method POST }\n http-request deny\n"
        targets = ", ".join(
            f'{{ target = "127.0.0.1:{port}", format = "{form}", facility = "local3", minlevel = "notice" }}'
            for port, form in zip(ports[half:], FORMS, strict=False)
        )
        config.write_text(f"""
[node]
name = "test"
log_tag = "tag"
log_send_hostname = {f'"{host}"' if host else "false"}
log = [
  {targets},
  {{ target = "127.0.0.1:{ports[-1]}", len = 80, facility = "local3" }},
  {{ target = "stdout" }},
]
[api]
socket = "{tmp_path}/api.sock"
[frontend.main]
mode = "http"
bind = "127.0.0.1:{ours}"
log_format = "said %HM"
log_format_sd = '[a@1 b="%ST"]'
{'log_tag = "other"' if host else ""}
http_request = ["set-log-level crit if METH_POST", "deny"]
default_backend = "none"
[backend.none]
mode = "http"
""")
        with haproxy_running(tmp_path, text), running(config):
            for port in (theirs, ours):
                for method in (b"PUT", b"POST", b"L" * 90):
                    with socket.create_connection(("127.0.0.1", port), 5) as client:
                        client.sendall(method + b" / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                        client.recv(4096)
            lines = [said(one) for one in opened]
    assert lines[half:] == lines[:half]
    assert all(map(len, lines))


def said(sink: socket.socket) -> list[str]:
    """The three lines about requests, among whatever else is told."""
    lines = []
    while len(lines) < 3:
        line = sink.recv(65536)
        if b"said" in line:
            lines.append(shape(line))
    return lines
