"""What checking costs: CPU of one core for 2 000 servers every 2 s, some of them hanging if asked.

python bench/health.py [--servers 2000] [--inter 2] [--seconds 20] [--hung 0]

The servers are addresses of 127.0.0.0/8 where one nginx listens, which is not counted; the hung ones are a
listener that never accepts, so that the kernel answers and nobody else does.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import trio

from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server, Timeouts
from hapair.health.plan import plan_for
from hapair.health.service import HealthService, ServerKey

CONFIG = """daemon off; master_process off; pid {folder}/pid; error_log stderr;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 0.0.0.0:{port} backlog=4096; location / {{ return 200 "ok"; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def measure(kind: CheckKind, count: int, inter: float, seconds: float, port: int, hung: int) -> None:
    """One line: CPU, verdicts, how evenly the checks fell."""
    found: Counter[str] = Counter()
    moments: Counter[int] = Counter()

    def report(_key: ServerKey, verdict: object) -> None:
        found[verdict.outcome.status] += 1  # type: ignore[attr-defined]
        moments[int(trio.current_time() * 10)] += 1

    http = HttpCheck("GET", "/health") if kind is CheckKind.HTTP else None
    check = Check(kind, http=http, inter=inter)
    with socket.create_server(("0.0.0.0", 0), backlog=4096) as deaf:
        deaf_port = deaf.getsockname()[1]
        service = HealthService(report)
        servers = tuple(
            Server(
                f"s{i}",
                i + 1,
                f"127.{i // 62500 + 1}.{i // 250 % 250}.{i % 250 + 1}",
                deaf_port if i < hung else port,
                check=check,
            )
            for i in range(count)
        )
        backend = Backend("app", servers, timeout=Timeouts(connect=1.0))
        service.replace({ServerKey("app", one.name): plan_for(backend, one) for one in servers})
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            await trio.sleep(2 * inter)  # the start is over
            herd = max(moments.values(), default=0)
            found.clear()
            moments.clear()
            began, used = time.monotonic(), time.process_time()
            await trio.sleep(seconds)
            share = (time.process_time() - used) / (time.monotonic() - began)
            nursery.cancel_scope.cancel()
    checks = sum(found.values())
    per_check = share * seconds / checks * 1e6 if checks else 0.0
    busiest = max(moments.values(), default=0)
    print(
        f"{kind.value:5} {count} servers every {inter:g} s, {hung} hung: {share:6.1%} of a core, "
        f"{checks / seconds:.0f} checks/s, {per_check:.0f} us each, "
        f"{busiest} in the busiest 100 ms, {herd} of the start, {dict(found)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=2000)
    parser.add_argument("--inter", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hung", type=int, default=0)
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder, port = Path(tempfile.mkdtemp(prefix="hapair-bench-")), free_port()
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port))
    with (folder / "log").open("wb") as log:
        nginx = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
        for kind in (CheckKind.TCP, CheckKind.HTTP):
            trio.run(measure, kind, asked.servers, asked.inter, asked.seconds, port, asked.hung)
    finally:
        nginx.kill()
        nginx.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    main()
