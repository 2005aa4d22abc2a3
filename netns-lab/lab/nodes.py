"""A load balancer node: hapair, or keepalived with HAProxy, doing the same job.

`start` returns when the node's programs are ready, not when it is MASTER.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import attrs
import trio

from lab.processes import Machine, Process, descendants
from lab.topology import INTERFACE, LINK_LOCAL_VIP, IPAddress, IPInterface

Kind = Literal["hapair", "hapair-1", "hapair-2", "keepalived"]
"""The number is that of the workers."""
_ROOT = Path(__file__).resolve().parents[2]


@attrs.frozen
class Settings:
    """What one node is told."""

    name: str
    priority: int
    advert_interval: float
    """Seconds."""
    vip: IPInterface
    servers: Mapping[str, IPAddress]
    """Name -> address; port 80."""
    virtual_router_id: int = 51

    @property
    def addresses(self) -> tuple[IPInterface, ...]:
        """What the virtual router has."""
        return (self.vip,) if self.vip.version == 4 else (LINK_LOCAL_VIP, self.vip)


class Node(Protocol):
    kind: Kind
    settings: Settings
    machine: Machine
    environ: Mapping[str, str]
    """What the programs of the next start find in their environment besides."""

    @property
    def speaks(self) -> bool:
        """Whether the process that speaks VRRP exists."""

    async def start(self) -> None:
        """Start every program of the node that does not run; ends what is left of a VRRP speaker first."""

    async def stop(self) -> None:
        """Stop as an operator does: SIGTERM, then wait for the end."""

    def router(self) -> Process:
        """The process that speaks VRRP."""

    def proxy(self) -> Process:
        """The process that serves; with hapair it is the one that speaks VRRP."""

    def kill_router(self) -> None:
        """SIGKILL the VRRP speaker and its process group; what guards it survives."""

    def kill_proxy(self) -> None:
        """SIGKILL what serves clients."""

    def log(self) -> str:
        """The last lines of everything that ran here."""

    def said(self, text: str, since: float = 0.0) -> bool:
        """Whether `text` is in a line that came after `since` (monotonic seconds)."""


class _Programs:
    """What both kinds share: the processes started last."""

    def __init__(self, machine: Machine, settings: Settings, scratch: Path) -> None:
        self.machine = machine
        self.settings = settings
        self.environ: Mapping[str, str] = {}
        self._scratch = scratch
        self._started: list[Process] = []
        self._turn = trio.Lock()
        """Held while starting or stopping: a graceful stop may still be under way when we start again."""

    @property
    def speaks(self) -> bool:
        return bool(self._started) and self.router().status is None

    async def start(self) -> None:
        async with self._turn:
            if self._started:
                await self.router().stop()
            await self._start()

    async def stop(self) -> None:
        async with self._turn:
            for process in self._started:
                await process.stop()

    async def _start(self) -> None:
        raise NotImplementedError

    def router(self) -> Process:
        return self._started[0]

    def proxy(self) -> Process:
        return self._started[-1]

    def kill_router(self) -> None:
        self.router().signal_group(signal.SIGKILL)

    def kill_proxy(self) -> None:
        self.proxy().signal_group(signal.SIGKILL)

    def log(self) -> str:
        return "\n".join(f"{process.name}:\n{process.tail()}" for process in self._started)

    def said(self, text: str, since: float = 0.0) -> bool:
        return any(text in line for process in self._started for when, line in process.lines if when >= since)

    def _write(self, name: str, text: str) -> Path:
        path = self._scratch / name
        path.write_text(text)
        return path


class HapairNode(_Programs):
    """One `hapair run`."""

    kind: Kind = "hapair"
    workers = 0
    more = ""
    """Lines of [node] that the next start is told besides."""

    @property
    def socket(self) -> Path:
        """Where it is asked how it is."""
        return self._scratch / f"{self.settings.name}.sock"

    def worker_pids(self) -> list[int]:
        """Its processes that serve, also when its control process is dead; pids as we see them."""
        found = []
        for pid, _ in descendants(self.machine):
            try:
                name = Path(f"/proc/{pid}/comm").read_text()
            except OSError:
                continue  # it has just ended
            if name.startswith("hapair-"):
                found.append(pid)
        return found

    def kill_proxy(self) -> None:
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)
        if not self.workers:
            super().kill_proxy()

    async def _start(self) -> None:
        path = self._write(
            f"{self.settings.name}.toml", hapair_toml(self.settings, self.workers, self.more, self.socket)
        )
        process = await self.machine.spawn(
            [sys.executable, "-m", "hapair", "run", path],
            name="hapair",
            env={"PYTHONUNBUFFERED": "1", **self.environ},
            cwd=_ROOT,
        )
        self._started = [process]
        await process.wait_line("is ready", within=15)


class OneWorkerNode(HapairNode):
    kind = "hapair-1"
    workers = 1


class TwoWorkersNode(HapairNode):
    kind = "hapair-2"
    workers = 2


class KeepalivedNode(_Programs):
    """Debian's keepalived and haproxy."""

    kind: Kind = "keepalived"

    async def _start(self) -> None:
        _, proxy = self._started or (None, None)
        if proxy is None or proxy.status is not None:
            proxy_cfg = self._write(f"{self.settings.name}.haproxy.cfg", haproxy_cfg(self.settings))
            proxy = await self.machine.spawn(["haproxy", "-db", "-V", "-f", proxy_cfg], env=self.environ)
            await proxy.wait_line("Available polling", within=15)
        conf = self._write(f"{self.settings.name}.keepalived.conf", keepalived_conf(self.settings))
        words: list[str | Path] = ["keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", conf]
        for option in ("-p", "-r"):
            pid_file = self._scratch / f"{self.settings.name}.pid{option}"
            pid_file.unlink(
                missing_ok=True
            )  # a killed keepalived leaves them, and PIDs come round quickly here
            words += [option, pid_file]
        router = await self.machine.spawn(words, env=self.environ)
        self._started = [router, proxy]
        await router.wait_line("Entering BACKUP STATE", within=15)


def make_node(kind: Kind, machine: Machine, settings: Settings, scratch: Path) -> Node:
    made: dict[Kind, type[HapairNode | KeepalivedNode]] = {
        "hapair": HapairNode,
        "hapair-1": OneWorkerNode,
        "hapair-2": TwoWorkersNode,
        "keepalived": KeepalivedNode,
    }
    return made[kind](machine, settings, scratch)


def port_80(address: IPAddress) -> str:
    """As it is written in URLs and in all these files."""
    return f"{address}:80" if address.version == 4 else f"[{address}]:80"


def hapair_toml(settings: Settings, workers: int = 0, more: str = "", api: Path | None = None) -> str:
    servers = "\n".join(
        f'server.{name} = {{ address = "{port_80(address)}", '
        'check = { inter = "500ms", rise = 2, fall = 2 } }'
        for name, address in settings.servers.items()
    )
    return f"""\
[node]
name = "{settings.name}"
log = {{ target = "stdout", level = "info" }}
maxconn = 4000
workers = {workers}
{more}
{"" if api is None else f'[api]{chr(10)}socket = "{api}"{chr(10)}'}
[vrrp.web]
interface = "{INTERFACE}"
virtual_router_id = {settings.virtual_router_id}
priority = {settings.priority}
advert_interval = "{round(settings.advert_interval * 1000)}ms"
addresses = [{", ".join(f'"{address}"' for address in settings.addresses)}]
skew = false
track = ["backend.web>=1"]

[defaults]
mode = "http"
httpchk = "GET /health"
timeout = {{ http_request = "10s", connect = "1s", client = "30s", server = "30s", check = "1s" }}

[frontend.main]
bind = ["{port_80(settings.vip.ip)}"]
default_backend = "web"

[backend.web]
balance = "roundrobin"
{servers}
"""


def haproxy_cfg(settings: Settings) -> str:
    servers = "\n".join(
        f"    server {name} {port_80(address)} check inter 500ms rise 2 fall 2"
        for name, address in settings.servers.items()
    )
    return f"""\
global
    maxconn 4000
defaults
    mode http
    timeout http-request 10s
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout check 1s
frontend main
    bind :::80 v4v6
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /health
{servers}
"""


def keepalived_conf(settings: Settings) -> str:
    # IPv6: as hapair does; else the nodes would speak to servers from the VIP.
    lifetime = " preferred_lft 0" if settings.vip.version == 6 else ""
    addresses = "\n        ".join(f"{address}{lifetime}" for address in settings.addresses)
    return f"""\
global_defs {{
    router_id {settings.name}
    vrrp_version 3
}}
vrrp_script proxy {{
    script "/bin/bash -c '</dev/tcp/127.0.0.1/80'"
    interval 1
    timeout 1
    fall 1
    rise 1
}}
vrrp_instance web {{
    state BACKUP
    interface {INTERFACE}
    virtual_router_id {settings.virtual_router_id}
    priority {settings.priority}
    advert_int {settings.advert_interval}
    virtual_ipaddress {{
        {addresses}
    }}
    track_script {{
        proxy
    }}
}}
"""
