"""The node of `make soak`, its servers and its log sinks: processes and sockets that can be made to fail."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import trio

HERE = Path(__file__).parent

CONFIG = """
[node]
name = "soak"
log = [{{ target = "{folder}/log.sock" }}, {{ target = "tcp@127.0.0.1:{syslog}" }},
  {{ target = "stdout", level = "err" }}]
maxconn = 500
[api]
socket = "{folder}/api.sock"
[defaults]
mode = "http"
log_format = "httplog"
redispatch = true
retry_on = ["conn-failure", "empty-response"]
abortonclose = true
timeout = {{ http_request = "3s", connect = "1s", client = "5s", server = "2s", queue = "2s" }}
[frontend.main]
bind = ["127.0.0.1:{http}"]
forwardfor = true
http_request = ["set-header X-Round {round}"]
default_backend = "web"
[frontend.stream]
mode = "tcp"
log_format = "tcplog"
bind = ["127.0.0.1:{stream}"]
default_backend = "echo"
[backend.web]
http_reuse = "{reuse}"
{servers}
[backend.echo]
mode = "tcp"
server.a = {{ address = "127.0.0.1:{echo_a}", check = {{ inter = "500ms" }} }}
server.b = {{ address = "127.0.0.1:{echo_b}", check = {{ inter = "500ms" }} }}
"""
EXTRA = """
[frontend.extra]
bind = ["127.0.0.1:{extra}"]
default_backend = "more"
[backend.more]
server.a = {{ address = "127.0.0.1:{http_a}", check = {{ inter = "200ms" }} }}
"""
SERVER = (
    'server.{name} = {{ address = "127.0.0.1:{port}", maxconn = {maxconn}, pool_purge_delay = "1s",'
    ' check = {{ inter = "500ms", fall = 2, rise = 1 }} }}\n'
)


class Sinks:
    """The node's log targets, which can stop reading and go away."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.sock"
        self._stalled = False
        self.lines = 0
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._tcp.setblocking(False)
        self._clients: list[socket.socket] = []
        self._unix = self._bound()

    def _bound(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind(str(self._path))
        return sock

    async def drain(self) -> None:
        """Read what there is, until cancelled."""
        while True:
            await trio.sleep(0.02)
            if self._stalled:
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._clients.append(self._tcp.accept()[0])
                    self._clients[-1].setblocking(False)
            for one in (self._unix, *self._clients):
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while one.recv(65536):
                        self.lines += 1

    async def stall(self) -> None:
        """Nothing is read for a while."""
        self._stalled = True
        await trio.sleep(2)
        self._stalled = False

    async def vanish(self) -> None:
        """The socket and the connections go away and come back."""
        self._unix.close()
        self._path.unlink()
        for one in self._clients:
            one.close()
        self._clients.clear()
        self._stalled = True
        await trio.sleep(2)
        self._unix = self._bound()
        self._stalled = False

    def close(self) -> None:
        for one in (self._unix, self._tcp, *self._clients):
            one.close()


class Servers:
    """Two processes, by name."""

    def __init__(self, ports: dict[str, tuple[int, int]], report: Path) -> None:
        self._ports = ports
        self._report = report.open("a")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ports:
            self._start(name)

    def _start(self, name: str) -> None:
        command = [sys.executable, str(HERE / "soak_server.py"), *map(str, self._ports[name])]
        self._processes[name] = subprocess.Popen(command, stdout=self._report)

    async def kill(self, name: str) -> None:
        """It dies, and comes back a second later."""
        self._processes[name].kill()
        self._processes[name].wait()
        await trio.sleep(1)
        self._start(name)
        await trio.sleep(1.5)

    async def hang(self, name: str) -> None:
        """It stands still, with all its connections."""
        self._processes[name].send_signal(signal.SIGSTOP)
        await trio.sleep(2.5)
        self._processes[name].send_signal(signal.SIGCONT)
        await trio.sleep(1)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._report.close()


class Node:
    """`hapair run`, and what it holds."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        self.ports = ports
        self.rounds = 0
        self._manager_path = str(folder / "notify.sock")
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        plain.bind(self._manager_path)
        self._manager = trio.socket.from_stdlib_socket(plain)
        self._write(extra=False)
        self._log = (folder / "node.log").open("w")
        command = [sys.executable, "-m", "hapair", "run", str(folder / "node.toml")]
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NOTIFY_SOCKET": self._manager_path},
        )

    def text(self) -> str:
        return (self.folder / "node.log").read_text()

    async def ready(self) -> None:
        """Until it says so, as to systemd: after the start and after each reload.

        Raises:
            RuntimeError: it does not in 20 seconds.
        """
        with trio.move_on_after(20):
            while not (await self._manager.recv(4096)).startswith(b"READY=1"):
                pass
            return
        raise RuntimeError(f"the node does not say that it is ready:\n{self.text()[-5000:]}")

    def _write(self, *, extra: bool) -> None:
        servers = "".join(
            SERVER.format(name=name, port=self.ports[f"http_{name}"], maxconn=30 if extra else 60)
            for name in ("ab" if not extra else "ba")
        )
        text = CONFIG.format(
            folder=self.folder,
            round=self.rounds if extra else 0,
            reuse="always" if extra else "safe",
            servers=servers,
            **self.ports,
        )
        (self.folder / "node.toml").write_text(text + (EXTRA.format(**self.ports) if extra else ""))

    async def reload(self, *, extra: bool) -> None:
        """Other servers, limits, rules; a frontend and a backend more or less."""
        self.rounds += 1
        self._write(extra=extra)
        self.process.send_signal(signal.SIGHUP)
        await self.ready()

    async def break_configuration(self) -> None:
        """A reload that is refused."""
        (self.folder / "node.toml").write_text("[node]\nnmae = 1\n")
        self.process.send_signal(signal.SIGHUP)
        await self.ready()

    async def info(self) -> dict[str, str]:
        """`show info`."""
        async with await trio.open_unix_socket(str(self.folder / "api.sock")) as stream:
            await stream.send_all(b"show info\n")
            text = b"".join([data async for data in stream]).decode()
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)

    def memory(self) -> int:
        """KiB."""
        return self._status("VmRSS")

    async def held(self) -> dict[str, int]:
        """What must not grow."""
        tasks = int((await self.info())["Tasks"])
        return {
            "descriptors": self._descriptors(),
            "tasks": tasks,
            "threads": self._status("Threads"),
        }

    def _descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition(f"{key}:")[2].split()[0])

    def close(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.process.wait()
            self._log.close()
            self._manager.close()


def ports() -> dict[str, int]:
    """Free ones of 127.0.0.1."""
    names = "http stream extra http_a http_b echo_a echo_b".split()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: sock.getsockname()[1] for name, sock in zip(names, socks, strict=True)}
