"""hapair (compiled, and plain), HAProxy and nginx on the same work, interleaved: CPU of each for a request.

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
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

SERVER, HAPAIR, HAPROXY, NGINX, SYSLOG, PLAIN = 18500, 18501, 18502, 18503, 18504, 18505
ROOT = Path(__file__).parents[1]
TCP = 20
"""Ports of the TCP frontends are so much higher; nginx has none."""
TICK = os.sysconf("SC_CLK_TCK")

SERVER_CONF = """
daemon off; worker_processes 1; pid {dir}/server.pid; error_log {dir}/server.log;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{server} backlog=4096;
    location / {{ return 200 "hello from the server behind the proxy\\n"; }}
    location /big {{ alias {dir}/big; }}
    location /huge {{ alias {dir}/huge; }} }} }}
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
  maxconn {maxconn}
  log 127.0.0.1:{syslog} local2
defaults
  mode http
  log global
  option httplog
  option forwardfor except 127.0.0.0/8
  option redispatch
  timeout connect 10s
  timeout client 10m
  timeout server 1m
  timeout http-request {patience}
  timeout http-keep-alive {patience}
frontend main
  bind 127.0.0.1:{haproxy}
  acl url_static path_beg -i /static /images /javascript /stylesheets
  acl url_static path_end -i .jpg .gif .png .css .js
  use_backend static if url_static
  default_backend web
listen stream
  mode tcp
  option tcplog
  bind 127.0.0.1:{haproxy_tcp}
  server s 127.0.0.1:{server}
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
maxconn = {maxconn}
[defaults]
mode = "http"
log_format = "httplog"
redispatch = true
maxconn = {maxconn}
forwardfor = {{ except = ["127.0.0.0/8"] }}
timeout = {{ connect = "10s", client = "10m", server = "1m", http_request = "{patience}" }}
[frontend.main]
bind = ["127.0.0.1:{hapair}"]
acl.url_static = [
  "path_beg -i /static /images /javascript /stylesheets",
  "path_end -i .jpg .gif .png .css .js",
]
use_backend = [{{ backend = "static", if = "url_static" }}]
default_backend = "web"
[frontend.stream]
mode = "tcp"
log_format = "tcplog"
bind = ["127.0.0.1:{hapair_tcp}"]
default_backend = "stream"
[backend.stream]
mode = "tcp"
server.s = {{ address = "127.0.0.1:{server}" }}
[backend.static]
server.s = {{ address = "127.0.0.1:{server}" }}
[backend.web]
cookie = {{ name = "SERVERID", mode = "insert", indirect = true, nocache = true }}
server.web1 = {{ address = "127.0.0.1:{server}", cookie = "server1", weight = 6 }}
server.web2 = {{ address = "127.0.0.1:{server}", cookie = "server2", weight = 6 }}
"""

VARYING = """
local n = 0
function request()
  n = n + 1
  wrk.headers["Cookie"] = "session=" .. n
  wrk.headers["X-Request-Id"] = string.format("%08x-%04x", n * 2654435761 % 4294967296, n % 65536)
  return wrk.format("GET", "/index.php?n=" .. n)
end
"""

WORK = {
    "keep-alive": (["-c", "50"], "/index.php", 0),
    "keep-alive, every head different": (["-c", "50", "-s", "{dir}/varying.lua"], "/index.php", 0),
    "new connection": (["-c", "50", "-H", "Connection: close"], "/index.php", 0),
    "1 MiB response": (["-c", "10"], "/big", 0),
    "64 MiB response": (["-c", "4", "--timeout", "20"], "/huge", 0),
    "TCP mode, requests": (["-c", "50"], "/index.php", TCP),
    "TCP mode, new connection": (["-c", "50", "-H", "Connection: close"], "/index.php", TCP),
    "TCP mode, 1 MiB": (["-c", "10"], "/big", TCP),
}
"""wrk's arguments, the path, and what is added to a contender's port."""


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
        prepare(Path(directory))
        Path(directory, "big").write_bytes(os.urandom(1 << 20))
        Path(directory, "huge").write_bytes(os.urandom(1 << 20) * 64)
        stack.enter_context(syslog())
        stack.enter_context(started(["nginx", "-c", f"{directory}/server.conf"], SERVER))
        running = {
            name: (stack.enter_context(started(command, port)), port)
            for name, command, port in contenders(Path(directory))
        }
        Path(directory, "varying.lua").write_text(VARYING)
        for arguments, _, _ in WORK.values():
            arguments[:] = [word.format(dir=directory) for word in arguments]
        found = run(running, options.rounds, options.seconds)
        load = found["keep-alive"]["haproxy"][0] / 2
        report(found, load, latencies(running, load, options.rounds, options.seconds), options)


def prepare(directory: Path, patience: str = "10s", maxconn: int = 8000) -> None:
    """Write every configuration; `patience` is for a request to come and for the next one."""
    directory.chmod(0o755)
    names = {
        "dir": directory,
        "server": SERVER,
        "haproxy": HAPROXY,
        "haproxy_tcp": HAPROXY + TCP,
        "nginx": NGINX,
        "syslog": SYSLOG,
        "patience": patience,
        "maxconn": maxconn,
    }
    for name, text, port in (
        ("server.conf", SERVER_CONF, 0),
        ("nginx.conf", NGINX_CONF, 0),
        ("haproxy.cfg", HAPROXY_CONF, 0),
        ("node.toml", HAPAIR_CONF, HAPAIR),
        ("plain.toml", HAPAIR_CONF, PLAIN),
    ):
        (directory / name).write_text(text.format(**names, hapair=port, hapair_tcp=port + TCP))


def contenders(directory: Path) -> list[tuple[str, list[str], int]]:
    """Name, command and port of everyone."""
    return [
        *hapairs(directory),
        ("haproxy", ["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"], HAPROXY),
        ("nginx", ["nginx", "-c", f"{directory}/nginx.conf"], NGINX),
    ]


def compiled(directory: Path) -> Path:
    """Where hapair is as `pip install .` compiles it."""
    source = directory / "source"
    shutil.copytree(ROOT / "hapair", source / "hapair", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, source]
    subprocess.run(build, check=True)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(directory / "site")
    if not list((directory / "site").rglob("*.so")):
        sys.exit("there is no C compiler: hapair would be compared with itself")
    return directory / "site"


def hapairs(directory: Path) -> list[tuple[str, list[str], int]]:
    """Name, command and port of hapair compiled, and as it is here."""
    run = [sys.executable, "-P", "-m", "hapair", "run"]
    fast = ["env", f"PYTHONPATH={compiled(directory)}", *run, f"{directory}/node.toml"]
    plain = ["env", f"PYTHONPATH={ROOT}", *run, f"{directory}/plain.toml"]
    return [("hapair", fast, HAPAIR), ("hapair, plain Python", plain, PLAIN)]


def run(
    running: dict[str, tuple[int, int]], rounds: int, seconds: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Medians of (requests per second, CPU µs per request) by work and contender."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for work, (arguments, path, shift) in WORK.items():
        able = [name for name in running if not shift or name != "nginx"]
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in able}
        for _ in range(rounds):
            for name in able:
                pid, port = running[name]
                samples[name].append(measure(pid, port + shift, arguments, path, seconds))
        found[work] = {
            name: (statistics.median(s[0] for s in taken), statistics.median(s[1] for s in taken))
            for name, taken in samples.items()
        }
    return found


def latencies(
    running: dict[str, tuple[int, int]], load: float, rounds: int, seconds: int
) -> dict[str, tuple[float, float]]:
    """Medians of (median, 99th percentile) in microseconds at a constant rate, by contender."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (_, port) in running.items():
            samples[name].append(latency(port, load, seconds))
    return {
        name: (statistics.median(s[0] for s in taken), statistics.median(s[1] for s in taken))
        for name, taken in samples.items()
    }


def latency(port: int, load: float, seconds: float) -> tuple[float, float]:
    """(median, 99th percentile) of one run of bench/open_loop.py, in microseconds."""
    client = [sys.executable, str(ROOT / "bench" / "open_loop.py"), str(port), str(load), str(seconds)]
    ended = subprocess.run(client, capture_output=True, text=True, check=False, timeout=seconds + 30)
    if ended.returncode:
        sys.exit(ended.stderr)
    median, late, _ = ended.stdout.split()
    return float(median), float(late)


def report(
    found: dict[str, dict[str, tuple[float, float]]],
    load: float,
    late: dict[str, tuple[float, float]],
    options: argparse.Namespace,
) -> None:
    lines = [
        "| work | proxy | requests/s | CPU µs/request | requests per CPU second, HAProxy = 1 |",
        "|---|---|---|---|---|",
    ]
    for work, by_name in found.items():
        reference = by_name["haproxy"][1]
        for name, (rate, used) in by_name.items():
            lines.append(f"| {work} | {name} | {rate:,.0f} | {used:.1f} | {reference / used:.2f} |")
    lines += [
        "",
        f"| latency at {load:,.0f} requests/s (half of HAProxy's) | median µs | p99 µs | p99, HAProxy = 1 |",
        "|---|---|---|---|",
    ]
    for name, (median, tail) in late.items():
        lines.append(f"| {name} | {median:.0f} | {tail:.0f} | {tail / late['haproxy'][1]:.2f} |")
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
