"""The sockets that the control process and a worker have in common."""

from __future__ import annotations

import socket

import pytest

from hapair.config.model import Bind
from hapair.dataplane.door import Door
from hapair.dataplane.listener import stop_listening


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
