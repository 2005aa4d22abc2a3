"""The real HAProxy checks the same servers: the same verdicts, within one interval."""

from __future__ import annotations

import csv
import socket
from functools import partial

import pytest
import trio
from health.servers import BAD, GOOD, answer, drip, hang, listen, reset
from interop.haproxy import Haproxy

from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server, Timeouts
from hapair.health.plan import plan_for
from hapair.health.service import HealthService, ServerKey

pytestmark = [pytest.mark.interop, pytest.mark.slow]

INTER = 0.4

ANSWERS = {
    "good": GOOD,
    "created": b"HTTP/1.1 201 Created\r\n\r\n",
    "found": b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
    "http10": b"HTTP/1.0 200 OK\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\n\n",
    "no-reason": b"HTTP/1.1 200\r\n\r\n",
    "body-cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "huge-body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"z" * 1_000_000,
    "unavailable": BAD,
    "not-found": b"HTTP/1.1 404 Not Found\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "continue-then-good": b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
    "switching": b"HTTP/1.1 101 Switching\r\n\r\n",
    "status-600": b"HTTP/1.1 600 X\r\n\r\n",
    "nothing": b"",
    "garbage": b"\x16\x03\x01garbage",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "status-line-only": b"HTTP/1.1 200 OK\r\n",
    "status-cut": b"HTTP/1.1 20",
    "bad-header": b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "huge-head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "huge-status": b"HTTP/1.1 200 " + b"x" * 100_000,
}
STRICTER = {
    "http2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "http1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "empty-line-first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "nul-in-reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
}
"""HAProxy takes these for well; our data plane would answer a client 502 for such a response."""


class Both:
    """HAProxy and hapair with the same checks of the same ports."""

    def __init__(self, folder, kind: CheckKind, ports: dict[str, int]) -> None:
        self.folder, self.kind, self.ports = folder, kind, ports
        http = HttpCheck() if kind is CheckKind.HTTP else None
        check = Check(kind=kind, http=http, inter=INTER, rise=2, fall=3)
        servers = tuple(
            Server(name, index + 1, "127.0.0.1", port, check=check)
            for index, (name, port) in enumerate(ports.items())
        )
        backend = Backend("app", servers, timeout=Timeouts(connect=2.0))
        self.plans = {ServerKey("app", server.name): plan_for(backend, server) for server in servers}
        self.service = HealthService(self._report)
        self.reports: dict[str, int] = dict.fromkeys(ports, 0)
        self.changes: list[tuple[str, bool, float]] = []
        self._reported = trio.Event()

    async def next_report(self) -> None:
        self._reported = trio.Event()
        await self._reported.wait()

    def _report(self, key, verdict) -> None:
        self._reported.set()
        self.reports[key.server] += 1
        if verdict.changed:
            self.changes.append((key.server, verdict.up, trio.current_time()))

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        lines = [f"listen app\n  bind unix@{self.folder}/front.sock"]
        if self.kind is CheckKind.HTTP:
            lines.append("  option httpchk")
        for name, port in self.ports.items():
            lines.append(f"  server {name} 127.0.0.1:{port} check inter {INTER * 1000:.0f} rise 2 fall 3")
        self.haproxy = await trio.to_thread.run_sync(Haproxy, self.folder, "\n".join(lines) + "\n")
        try:
            self.service.replace(self.plans)
            await self.service.run(task_status=task_status)
        finally:
            self.haproxy.end()

    async def theirs(self) -> dict[str, tuple[bool, str, int]]:
        """(up, check status, HTTP status) by server, as HAProxy sees it at the end of a check.

        While one is under way the status has a star and the code is gone: then ask again.
        """
        found: dict[str, tuple[bool, str, int]] = {}
        with trio.fail_after(10):
            while True:
                text = await trio.to_thread.run_sync(self.haproxy.command, "show stat -1 4 -1")
                for row in csv.DictReader(text.removeprefix("# ").strip().splitlines()):
                    if not row["check_status"].startswith("*"):
                        up = row["status"].startswith("UP")
                        found[row["svname"]] = (up, row["check_status"], int(row["check_code"] or 0))
                if found.keys() == self.ports.keys():
                    return found
                await trio.sleep(0.01)

    def ours(self) -> dict[str, tuple[bool, str, int]]:
        return {
            key.server: (verdict.up, verdict.outcome.status, verdict.outcome.code)
            for key, verdict in self.service.states().items()
        }

    async def settled(self) -> None:
        """Return when both have checked everything twice: the first sweep, an interval, a time-out each."""
        with trio.fail_after(10):
            while min(self.reports.values()) < 2:
                await self.next_report()
        await trio.sleep(2 * INTER)


async def test_http_checks_come_to_the_same_verdicts(tmp_path, nursery):
    ports = {}
    for name, data in (ANSWERS | STRICTER).items():
        ports[name] = await listen(nursery, partial(answer, data=data))
    for name, behave in {"drip": drip, "reset": reset, "hang": hang}.items():
        ports[name] = await listen(nursery, behave)
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        closed.bind(("127.0.0.1", 0))
        ports["refused"] = closed.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        ports["full"] = full.getsockname()[1]
        both = Both(tmp_path, CheckKind.HTTP, ports)
        await nursery.start(both.run)
        await both.settled()
        theirs, ours = await both.theirs(), both.ours()
        for filler in fillers:
            filler.close()
    stricter_theirs = [theirs.pop(name) for name in STRICTER]
    stricter_ours = [ours.pop(name) for name in STRICTER]
    assert ours == theirs
    assert {status for _, status, _ in ours.values()} == {
        "L7OK", "L7STS", "L7RSP", "L7TOUT", "L4CON", "L4TOUT", "SOCKERR",
    }  # fmt: skip
    assert all(up for up, _, _ in stricter_theirs)
    assert not any(up for up, _, _ in stricter_ours)
    nursery.cancel_scope.cancel()


async def test_tcp_checks_come_to_the_same_verdicts(tmp_path, nursery):
    ports = {"hang": await listen(nursery, hang), "good": await listen(nursery, partial(answer, data=GOOD))}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports["refused"] = closed.getsockname()[1]
        both = Both(tmp_path, CheckKind.TCP, ports)
        await nursery.start(both.run)
        await both.settled()
        assert both.ours() == await both.theirs()
    nursery.cancel_scope.cancel()


async def test_a_server_that_goes_and_comes_back_is_seen_at_the_same_time(tmp_path, nursery):
    """Both count the same failures and successes: they differ by their phase, less than an interval."""
    data = {"one": GOOD}

    async def behave(stream):
        await answer(stream, data["one"])

    both = Both(tmp_path, CheckKind.HTTP, {"one": await listen(nursery, behave)})
    await nursery.start(both.run)
    await both.settled()
    assert both.ours() == await both.theirs() == {"one": (True, "L7OK", 200)}
    for wanted, data["one"], checks in ((False, BAD, 3), (True, GOOD, 2), (False, BAD, 3)):
        both.changes.clear()
        began = trio.current_time()
        with trio.fail_after(10):
            while (await both.theirs())["one"][0] is not wanted:  # noqa: ASYNC110 - another process
                await trio.sleep(0.01)
            theirs = trio.current_time() - began
            while not both.changes:
                await both.next_report()
        ((_, up, at),) = both.changes
        assert up is wanted
        assert abs(at - began - theirs) < INTER + 0.1
        assert (checks - 1) * INTER * 0.95 < at - began < checks * INTER + 0.1
    nursery.cancel_scope.cancel()
