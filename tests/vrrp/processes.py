"""Starts nodes in namespaces and watches them from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path

from kernel.namespaces import Namespace

from hapair.kernel.raw import parse_ip

VIP = "192.0.2.100/24"
INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Before a command: who runs us in the background may have made us, and all we start, ignore Ctrl-C."""


class Program:
    """A process in a namespace, and the lines that it has written so far."""

    def __init__(self, namespace: Namespace, *command: str) -> None:
        self.namespace = namespace
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            namespace.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.pid = self.process.pid  # nsenter has become the command
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def said(self, text: str, times: int = 1) -> bool:
        return sum(text in line for line in self.lines) >= times

    def wait_for(self, text: str, seconds: float = 10.0, times: int = 1) -> None:
        give_up_at = time.monotonic() + seconds
        while not self.said(text, times):
            assert time.monotonic() < give_up_at, f"{text!r} is not in {self.lines}"
            time.sleep(0.002)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        """SIGTERM and wait; its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def node(namespace: Namespace, priority: int, interval: float, guard_timeout: float, *more: str) -> Program:
    script = str(Path(__file__).parent / "node.py")
    return Program(
        namespace, sys.executable, "-u", script, str(priority), str(interval), str(guard_timeout), *more
    )


def guard_pid(program: Program) -> int:
    program.wait_for("guard pid")
    return int(next(line for line in program.lines if line.startswith("guard pid")).split()[-1])


class Sniffer:
    """Writes down every VRRP packet that enters a namespace, with the time it was seen."""

    def __init__(self, namespace: Namespace) -> None:
        self.seen: list[tuple[float, IPv4Address, int]] = []
        """Time, source, priority."""
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._socket.settimeout(0.1)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            try:
                datagram, address = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_OUTGOING or datagram[9] != 112:
                continue
            packet = parse_ip(datagram)
            assert packet is not None
            self.seen.append((time.monotonic(), packet.source, packet.payload[2]))

    def after(self, moment: float) -> list[tuple[float, IPv4Address, int]]:
        return [entry for entry in self.seen if entry[0] >= moment]

    def close(self) -> None:
        self._running = False
        self._thread.join(5)
        self._socket.close()
