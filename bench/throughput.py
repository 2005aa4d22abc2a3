"""hapair, HAProxy and nginx on the same work, interleaved: CPU of the proxy's processes for each request.

    python bench/throughput.py [--rounds 5] [--seconds 3]

Everything runs on loopback: one nginx as the server, wrk as the client, the seed's options (httplog to
a syslog socket that we read, forwardfor, cookie, ACLs).  Ratios are what counts; absolute times are this
machine's.
The table goes to standard output and to bench/last.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SERVER, HAPAIR, HAPROXY, NGINX, SYSLOG = 18500, 18501, 18502, 18503, 18504
TICK = os.sysconf("SC_CLK_TCK")

SERVER_CONF = """
daemon off; worker_processes 1; pid {dir}/server.pid; error_log {dir}/server.log;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{server} backlog=4096;
    location / {{ return 200 "hello from the server behind the proxy\\n"; }}
    location /big {{ alias {dir}/big; }} }} }}
"""

NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 8192; }}
http {{ keepalive_requests 1000000000;
  log_format h '$remote_addr:$remote_port $request $status $body_bytes_sent';
  access_log syslog:server=127.0.0.1:{syslog} h;
  upstream web {{ server 127.0.0.1:{server}; keepalive 64; }}
  server {{ listen 127.0.0.1:{nginx} backlog=4096;
    location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}
"""

HAPROXY_CONF = """
global
  nbthread 1
  maxconn 8000
  log 127.0.0.1:{syslog} local2
defaults
  mode http
  log global
  option httplog
  option forwardfor except 127.0.0.0/8
  option redispatch
  timeout connect 10s
  timeout client 1m
  timeout server 1m
  timeout http-request 10s
  timeout http-keep-alive 10s
frontend main
  bind 127.0.0.1:{haproxy}
  acl url_static path_beg -i /static /images /javascript /stylesheets
  acl url_static path_end -i .jpg .gif .png .css .js
  use_backend static if url_static
  default_backend web
backend static
  server s 127.0.0.1:{server}
backend web
  balance roundrobin
  cookie SERVERID insert indirect nocache
  server web1 127.0.0.1:{server} cookie server1 weight 6
  server web2 127.0.0.1:{server} cookie server2 weight 6
"""

HAPAIR_CONF = """
[node]
name = "bench"
log = {{ target = "127.0.0.1:{syslog}", facility = "local2" }}
maxconn = 8000
[defaults]
mode = "http"
log_format = "httplog"
redispatch = true
maxconn = 8000
forwardfor = {{ except = ["127.0.0.0/8"] }}
timeout = {{ connect = "10s", client = "1m", server = "1m", http_request = "10s" }}
[frontend.main]
bind = ["127.0.0.1:{hapair}"]
acl.url_static = [
  "path_beg -i /static /images /javascript /stylesheets",
  "path_end -i .jpg .gif .png .css .js",
]
use_backend = [{{ backend = "static", if = "url_static" }}]
default_backend = "web"
[backend.static]
server.s = {{ address = "127.0.0.1:{server}" }}
[backend.web]
cookie = {{ name = "SERVERID", mode = "insert", indirect = true, nocache = true }}
server.web1 = {{ address = "127.0.0.1:{server}", cookie = "server1", weight = 6 }}
server.web2 = {{ address = "127.0.0.1:{server}", cookie = "server2", weight = 6 }}
"""

WORK = {
    "keep-alive": (["-c", "50"], "/index.php"),
    "new connection": (["-c", "50", "-H", "Connection: close"], "/index.php"),
    "1 MiB response": (["-c", "10"], "/big"),
}


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[int]:
    """A process that listens on `port`; its pid."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                assert process.stderr is not None
                sys.exit(f"{command[0]} did not start: {process.stderr.read().decode()}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def syslog() -> Iterator[None]:
    """Something that reads the log lines, so that sending them costs what it costs in production."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", SYSLOG))
        sock.settimeout(0.2)
        over = threading.Event()

        def drain() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    sock.recv(65536)

        thread = threading.Thread(target=drain)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def cpu(pid: int) -> float:
    """CPU seconds of a process and its descendants."""
    total, family = 0.0, {pid}
    entries = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    for entry in entries:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            if entry in family or int(fields[1]) in family:
                family.add(entry)
                total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def measure(pid: int, port: int, arguments: list[str], path: str, seconds: int) -> tuple[float, float]:
    """(requests per second, CPU microseconds for each request)."""
    before = cpu(pid)
    command = ["wrk", "-t", "1", "-d", f"{seconds}s", *arguments, f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 20).stdout
    used = cpu(pid) - before
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if bad:
        sys.exit(f"port {port}: {bad[0]}")
    found = re.search(r"(\d+) requests in", said)
    assert found is not None
    requests = int(found[1])
    return requests / seconds, used / max(1, requests) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        Path(directory).chmod(0o755)
        Path(directory, "big").write_bytes(os.urandom(1 << 20))
        names = {
            "dir": directory,
            "server": SERVER,
            "hapair": HAPAIR,
            "haproxy": HAPROXY,
            "nginx": NGINX,
            "syslog": SYSLOG,
        }
        for name, text in (
            ("server.conf", SERVER_CONF),
            ("nginx.conf", NGINX_CONF),
            ("haproxy.cfg", HAPROXY_CONF),
            ("node.toml", HAPAIR_CONF),
        ):
            Path(directory, name).write_text(text.format(**names))
        stack.enter_context(syslog())
        stack.enter_context(started(["nginx", "-c", f"{directory}/server.conf"], SERVER))
        command = [sys.executable, "-m", "hapair", "run", f"{directory}/node.toml"]
        contenders = {
            "hapair": (stack.enter_context(started(command, HAPAIR)), HAPAIR),
            "haproxy": (
                stack.enter_context(started(["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"], HAPROXY)),
                HAPROXY,
            ),
            "nginx": (stack.enter_context(started(["nginx", "-c", f"{directory}/nginx.conf"], NGINX)), NGINX),
        }
        report(run(contenders, options.rounds, options.seconds), options)


def run(
    contenders: dict[str, tuple[int, int]], rounds: int, seconds: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Medians of (requests per second, CPU µs per request) by work and contender."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for work, (arguments, path) in WORK.items():
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (pid, port) in contenders.items():
                samples[name].append(measure(pid, port, arguments, path, seconds))
        found[work] = {
            name: (statistics.median(s[0] for s in taken), statistics.median(s[1] for s in taken))
            for name, taken in samples.items()
        }
    return found


def report(found: dict[str, dict[str, tuple[float, float]]], options: argparse.Namespace) -> None:
    lines = [
        "| work | proxy | requests/s | CPU µs/request | requests per CPU second, HAProxy = 1 |",
        "|---|---|---|---|---|",
    ]
    for work, by_name in found.items():
        reference = by_name["haproxy"][1]
        for name, (rate, used) in by_name.items():
            lines.append(f"| {work} | {name} | {rate:,.0f} | {used:.1f} | {reference / used:.2f} |")
    lines.append("")
    lines.append(
        f"Medians of {options.rounds} interleaved rounds of {options.seconds} s, "
        f"{os.cpu_count()} cores shared by client, proxy and server, Python {sys.version.split()[0]}."
    )
    text = "\n".join(lines) + "\n"
    print(text)
    Path(__file__).with_name("last.md").write_text(text)


if __name__ == "__main__":
    main()
