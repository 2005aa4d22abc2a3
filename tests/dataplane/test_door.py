"""The sockets that the control process and a worker have in common."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

import pytest
from ports import free_port

from hapair.config.model import Bind
from hapair.dataplane.door import Door
from hapair.dataplane.listener import bind_socket, listen, stop_listening


def test_a_door_that_both_have_shut_opens_again_for_clients_that_are_slow_to_speak():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        door = Door(Bind("a port", port=sock.getsockname()[1]), (sock,), backlog=5)
        door.open()
        door.shut()
        stop_listening(sock)  # as the worker does when it hears of it
        door.open()
        with socket.create_connection(sock.getsockname(), timeout=5) as client:
            accepted, _ = sock.accept()
            with accepted:
                accepted.setblocking(False)
                with pytest.raises(BlockingIOError):
                    accepted.recv(1)
                client.sendall(b"x")
                accepted.settimeout(5)
                assert accepted.recv(1) == b"x"


def a_bind(port: int) -> Bind:
    return Bind(f"127.0.0.1:{port}", host=ip_address("127.0.0.1"), port=port)


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("before", ["bound", "shut"])
def test_nobody_takes_the_port_while_we_wait_for_the_vip(address, shared, before):
    port = free_port()
    with bind_socket(a_bind(port), shared=shared) as ours, socket.socket() as theirs:
        if before == "shut":
            listen(ours, 5)
            stop_listening(ours)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use") as refusal:
            theirs.bind((address, port))
        assert refusal.value.errno == errno.EADDRINUSE
        listen(ours, 5)


def test_connections_that_we_have_closed_do_not_keep_us_from_the_port():
    port = free_port()
    with bind_socket(a_bind(port)) as ours:
        listen(ours, 5)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            ours.settimeout(5)
            accepted, _ = ours.accept()
            accepted.close()  # first: TIME_WAIT is ours
            assert client.recv(1) == b""
    bind_socket(a_bind(port)).close()
