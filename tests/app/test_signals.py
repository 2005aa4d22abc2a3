"""The service manager hears READY, RELOADING, STOPPING and WATCHDOG when it listens."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from hapair.app.signals import ServiceManager


@pytest.fixture
def manager_socket(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield sock


def heard(sock: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(sock.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_phase_is_told_in_systemds_words(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname()})
    manager.ready("serving")
    manager.reloading()
    manager.stopping()
    manager.close()
    ready, reloading, stopping = heard(manager_socket)
    assert ready == "READY=1\nSTATUS=serving"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert stopping == "STOPPING=1"


def test_an_abstract_socket_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(f"\0hapair-test-{os.getpid()}")
        manager = ServiceManager({"NOTIFY_SOCKET": f"@hapair-test-{os.getpid()}"})
        manager.stopping()
        manager.close()
        assert heard(sock) == ["STOPPING=1"]


async def test_the_watchdog_is_fed_twice_in_every_interval(manager_socket, autojump_clock):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "3000000"})
    with trio.move_on_after(9.1):
        await manager.watchdog()
    manager.close()
    assert heard(manager_socket) == ["WATCHDOG=1"] * 7


async def test_another_process_s_watchdog_is_not_ours(manager_socket, autojump_clock):
    environ = {"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(environ)
    with trio.move_on_after(9):
        await manager.watchdog()
    manager.close()
    assert heard(manager_socket) == []


def test_nobody_listening_is_no_error():
    for environ in ({}, {"NOTIFY_SOCKET": "/nowhere/notify"}):
        manager = ServiceManager(environ)
        manager.ready("serving")
        manager.close()


def test_a_manager_that_went_away_does_not_take_us_with_it(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname()})
    manager_socket.close()
    manager.ready("serving")
    manager.close()
