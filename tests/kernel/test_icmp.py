"""ICMP echo over both kinds of socket and both families."""

from __future__ import annotations

import select
import time

import pytest
from kernel.namespaces import Namespace

from hapair.kernel.icmp import EchoSocket

TOKEN = b"sixteen byte tok"

pytestmark = pytest.mark.netns


@pytest.fixture(params=["raw", "unprivileged"])
def network(request):
    """A namespace where only that kind of socket is to be had, or tried first."""
    namespace = Namespace()
    try:
        groups = namespace.run("cat", "/proc/sys/net/ipv4/ping_group_range").split()
        assert groups[0] != "0", "no group of ours, as in every new namespace"
        if request.param == "unprivileged":
            namespace.run("sh", "-c", "echo 0 0 >/proc/sys/net/ipv4/ping_group_range")
        with namespace.entered():
            yield namespace
    finally:
        namespace.close()


@pytest.fixture
def echoes():
    """Makes echo sockets and closes them."""
    made = []

    def make(*, six: bool) -> EchoSocket:
        made.append(EchoSocket(six=six))
        return made[-1]

    yield make
    for echo in made:
        echo.close()


def heard(echo: EchoSocket, count: int) -> list[bytes]:
    found: list[bytes] = []
    until = time.monotonic() + 5
    while len(found) < count:
        assert time.monotonic() < until, found
        select.select([echo.fileno()], [], [], 0.1)
        while (token := echo.receive()) is not None:
            found.append(token)
    return found


def address(*, six: bool) -> tuple[str, int]:
    return ("::1" if six else "127.0.0.1"), 0


@pytest.mark.parametrize("six", [False, True])
def test_a_reply_brings_its_token_back(network, echoes, six):
    echo = echoes(six=six)
    assert echo.receive() is None
    echo.send(address(six=six), 1, TOKEN)
    assert heard(echo, 1) == [TOKEN]
    assert echo.receive() is None


@pytest.mark.parametrize("six", [False, True])
def test_a_thousand_replies_wait_until_they_are_read(network, echoes, six):
    echo = echoes(six=six)
    tokens = [b"%016d" % number for number in range(1000)]
    for number, token in enumerate(tokens):
        echo.send(address(six=six), number, token)
    assert sorted(heard(echo, 1000)) == tokens


@pytest.mark.parametrize("six", [False, True])
def test_what_is_no_reply_does_not_even_wake_us(network, echoes, six):
    """On loopback our own requests come in too, here without an answer: the kernel keeps them."""
    switch = "/proc/sys/net/ipv6/icmp/echo_ignore_all" if six else "/proc/sys/net/ipv4/icmp_echo_ignore_all"
    network.run("sh", "-c", f"echo 1 >{switch}")
    echo = echoes(six=six)
    for number in range(20):
        echo.send(address(six=six), number, TOKEN)
    assert select.select([echo.fileno()], [], [], 0.1)[0] == []
    network.run("sh", "-c", f"echo 0 >{switch}")
    echo.send(address(six=six), 20, TOKEN)
    assert select.select([echo.fileno()], [], [], 5)[0] == [echo.fileno()]


def test_no_route_is_an_error_at_once(network, echoes):
    with pytest.raises(OSError, match="Network is unreachable"):
        echoes(six=False).send(("192.0.2.1", 0), 1, TOKEN)
