"""What rules cost each request: hapair beside HAProxy, both with the seed's rules alone and with more.

python bench/rules.py [--rounds 7] [--seconds 3]

CPU microseconds of the proxy's process for each keep-alive request, measured with wrk over loopback
against nginx, once with the same request again and again, once with a target, a cookie and a header of its
own for each; "extra" is the difference that ten more ACLs and five header actions make.  The target:
hapair's extra is at most three times HAProxy's.
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
import time
from pathlib import Path

from throughput import ROOT, compiled, cpu, started

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SEED_ACLS = [
    ("url_static", "path_beg -i /static /images /javascript /stylesheets"),
    ("url_static", "path_end -i .jpg .gif .png .css .js"),
]
MORE_ACLS = [
    ("bad_agent", "req.hdr(user-agent) -m sub sqlmap nikto"),
    ("from_lab", "src 198.51.100.0/24 203.0.113.0/24"),
    ("writes", "method POST PUT DELETE"),
    ("admin", "path_beg /admin"),
    ("long", "url_len gt 2000"),
    ("other_host", "hdr(host) -i other.example.org"),
    ("many", "req.hdr_cnt(x-forwarded-for) gt 5"),
    ("debug", "urlp(debug) -m found"),
    ("robot", "req.cook(robot) yes"),
    ("secret", "path_sub .git .env"),
]
DENIALS = [f"deny if {name}" for name, _ in MORE_ACLS]
VARYING = """
local requests, n = {}, 0
function init()
  for i = 1, 20000 do
    wrk.headers["Cookie"] = "session=" .. i
    wrk.headers["X-Request-Id"] = string.format("%08x-%04x", i * 2654435761 % 4294967296, i % 65536)
    requests[i] = wrk.format("GET", "/index.php?n=" .. i)
  end
end
function request()
  n = n % #requests + 1
  return requests[n]
end
"""
"""More heads than anybody keeps, made beforehand: the client must not be slower than the proxies."""

ACTIONS = [
    "set-header X-Src %[src]",
    "set-header X-Port %[src_port]",
    "set-header X-Host %[req.hdr(host),lower]",
    "add-header X-Via lb-a",
    "del-header X-Secret",
]


def haproxy(front: int, back: int, *, more: bool) -> str:
    lines = [f"  acl {name} {text}" for name, text in SEED_ACLS + (MORE_ACLS if more else [])]
    lines += [f"  http-request {rule}" for rule in (DENIALS + ACTIONS if more else [])]
    rules = "\n".join(lines)
    return f"""global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend main
  bind 127.0.0.1:{front}
{rules}
  use_backend static if url_static
  default_backend web
backend static
  server s 127.0.0.1:{back}
backend web
  server w 127.0.0.1:{back}
"""


def hapair(front: int, back: int, *, more: bool) -> str:
    acls: dict[str, list[str]] = {}
    for name, text in SEED_ACLS + (MORE_ACLS if more else []):
        acls.setdefault(name, []).append(text)
    written = "\n".join(f"acl.{name} = {texts!r}" for name, texts in acls.items())
    rules = f"http_request = {DENIALS + ACTIONS!r}" if more else ""
    return f"""[node]
name = "bench"
[defaults]
mode = "http"
timeout = {{ connect = "5s", client = "30s", server = "30s" }}
[frontend.main]
bind = "127.0.0.1:{front}"
{written}
{rules}
use_backend = [{{ backend = "static", if = "url_static" }}]
default_backend = "web"
[backend.static]
server.s = {{ address = "127.0.0.1:{back}" }}
[backend.web]
server.w = {{ address = "127.0.0.1:{back}" }}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"nobody listens on port {port}")


def measure(pid: int, front: int, seconds: int, more: list[str]) -> float:
    """CPU microseconds of a process for each request."""
    before = cpu(pid)
    url = f"http://127.0.0.1:{front}/index.php?id=7"
    done = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", "User-Agent: bench", "-H", "Cookie: a=1", *more, url],
        capture_output=True,
        text=True,
        check=True,
    )
    spent = cpu(pid) - before
    if "Non-2xx" in done.stdout:
        sys.exit(f"port {front}: not every answer was 200\n{done.stdout}")
    return spent * 1e6 / int(re.search(r"(\d+) requests in", done.stdout)[1])


def backend(folder: Path) -> tuple[subprocess.Popen, int]:
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_processes 1;\n"
        f"events {{}} http {{ access_log off; keepalive_requests 1000000;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }} }}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)], env={**os.environ, "PATH": PATH}
    )
    wait_for(port)
    return process, port


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("wrk", path=PATH) is None:
        sys.exit("wrk is needed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        nginx, back = backend(folder)
        stack.callback(nginx.wait)
        stack.callback(nginx.terminate)
        running = {}
        site = compiled(folder)
        for more in (False, True):
            front = free_port()
            config = folder / f"haproxy-{more}.cfg"
            config.write_text(haproxy(front, back, more=more))
            command = ["haproxy", "-db", "-f", str(config)]
            running["HAProxy", more] = stack.enter_context(started(command, front)), front
            for who, place in (("hapair", site), ("hapair, plain Python", ROOT)):
                front = free_port()
                config = folder / f"{front}.toml"
                config.write_text(hapair(front, back, more=more))
                command = [sys.executable, "-P", "-m", "hapair", "run", str(config)]
                command = ["env", f"PYTHONPATH={place}", *command]
                running[who, more] = stack.enter_context(started(command, front)), front
        script = folder / "varying.lua"
        script.write_text(VARYING)
        works: dict[str, list[str]] = {"the same request": [], "every head different": ["-s", str(script)]}
        figures: dict[tuple[str, str, bool], list[float]] = {
            (work, *key): [] for work in works for key in running
        }
        for _ in range(options.rounds):
            for work, arguments in works.items():
                for key, (pid, front) in running.items():
                    figures[work, *key].append(measure(pid, front, options.seconds, arguments))
    costs = {key: statistics.median(found) for key, found in figures.items()}
    print(
        "| work | proxy | CPU µs/request | with the rules | extra | HAProxy = 1 |\n|---|---|---|---|---|---|"
    )
    for work, who in dict.fromkeys((work, who) for work, who, _ in costs):
        reference = costs[work, "HAProxy", True] - costs[work, "HAProxy", False]
        plain, ruled = costs[work, who, False], costs[work, who, True]
        extra = ruled - plain
        print(f"| {work} | {who} | {plain:.1f} | {ruled:.1f} | {extra:.1f} | {extra / reference:.1f} |")


if __name__ == "__main__":
    main()
