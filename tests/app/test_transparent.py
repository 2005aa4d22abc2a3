"""configs/transparent.toml in namespaces: servers see the clients, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kernel.namespaces import Namespace, wait_for
from vrrp.processes import Program

pytestmark = [pytest.mark.netns, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "configs" / "transparent.toml"
EVERYBODY_S = """
[frontend.any]
mode = "tcp"
bind = [{ address = "*:81", transparent = true }]
default_backend = "any4"
[frontend.any6]
mode = "tcp"
bind = [{ address = "[::]:81", transparent = true }]
default_backend = "any6"
[backend.any4]
mode = "tcp"
source = "0.0.0.0 usesrc client"
server.web1 = { address = "10.9.0.2:80" }
[backend.any6]
mode = "tcp"
source = ":: usesrc client"
server.web1 = { address = "[2001:db8:9::2]:80" }
"""
FAST = 'priority = 150\nadvert_interval = "100ms"\n'
CLIENT, CLIENT6 = "192.0.2.9", "2001:db8::9"


@contextmanager
def around():
    """A client, a balancer, and servers behind it: eth0 outside, eth1 inside."""
    with ExitStack() as stack:
        client, node, server = made = [Namespace() for _ in range(3)]
        for one in made:
            stack.callback(one.close)
        link(node, "eth0", client)
        link(node, "eth1", server)
        for one, ifname, *addresses in (
            (client, "eth0", f"{CLIENT}/24", f"{CLIENT6}/64"),
            (node, "eth0", "192.0.2.1/24", "2001:db8::1/64"),
            (node, "eth1", "10.9.0.1/24", "2001:db8:9::1/64"),
            (server, "eth0", "10.9.0.2/24", "2001:db8:9::2/64"),
        ):
            for address in addresses:
                one.run(
                    "ip", "address", "add", address, "dev", ifname, *(["nodad"] if ":" in address else [])
                )
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for ours, gateway, one in (
            ("-4", "10.9.0.254", server),
            ("-6", "2001:db8:9::254", server),
            ("-4", "192.0.2.1", client),
            ("-6", "2001:db8::1", client),
        ):
            one.run("ip", ours, "route", "add", "default", "via", gateway, "dev", "eth0")
        yield client, node, server


def link(node: Namespace, ifname: str, other: Namespace) -> None:
    node.run("ip", "link", "add", ifname, "type", "veth", "peer", "name", "eth0", "netns", other.path)
    for one, name in ((node, ifname), (other, "eth0")):
        one.run("ip", "link", "set", name, "up")
    wait_for(lambda: "state UP" in node.run("ip", "link", "show", ifname), what="link up")


class Backend:
    """Tells every connection whom it sees."""

    def __init__(self, namespace: Namespace, *places: tuple[str, int]) -> None:
        self._sockets = []
        for address, port in places:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with namespace.entered():
                self._sockets.append(socket.create_server((address, port), family=family))
        for sock in self._sockets:
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(listener: socket.socket) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            said = f"{peer[0]} {peer[1]}\n".encode()
            if listener.getsockname()[1] == 80:
                sock.recv(65536)
                said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
                    len(said),
                    said,
                )
            with sock:
                sock.sendall(said)

    def close(self) -> None:
        for sock in self._sockets:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def seen(client: Namespace, host: str, port: int, *headers: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """Whom the server saw, and who it was."""
    with client.entered():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with sock:
        sock.settimeout(5)
        sock.connect((host, port))
        if port != 25:
            head = "".join(
                f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: x", "Connection: close", *headers)
            )
            sock.sendall(f"{head}\r\n".encode())
        said = b""
        while piece := sock.recv(4096):
            said += piece
        name = sock.getsockname()
    assert said, "no answer"
    address, number = said.rpartition(b"\r\n")[2].split()
    return (address.decode(), int(number)), (name[0], name[1])


def accepts(client: Namespace, host: str) -> bool:
    """Whether the gate is open: that comes after all else that makes a MASTER."""
    with client.entered():
        sock = socket.socket()
    with sock:
        sock.settimeout(5)
        return sock.connect_ex((host, 80)) == 0


def traces(node: Namespace) -> list[str]:
    """What transparency has put into the kernel."""
    found = [
        line
        for family in ("-4", "-6")
        for line in node.run("ip", family, "rule", "show").splitlines()
        if "26721" in line
    ]
    for family in ("-4", "-6"):
        routes = node.run("ip", "-j", family, "route", "show", "table", "all")
        found += [f"route {family}" for one in json.loads(routes) if one.get("table") == "26721"]
    return found + [line for line in node.run("nft", "list", "tables").splitlines() if "hapair" in line]


@pytest.mark.parametrize("more", ["", "workers = 2"])
def test_servers_see_the_clients_and_nothing_is_left_behind(tmp_path, more):
    file = tmp_path / "node.toml"
    text = EXAMPLE.read_text().replace("priority = 150\n", FAST) + EVERYBODY_S
    file.write_text(text.replace("[node]\n", f"[node]\n{more}\n"))
    with around() as (client, node, server), ExitStack() as stack:
        backend = Backend(server, ("10.9.0.2", 80), ("10.9.0.2", 25), ("2001:db8:9::2", 80))
        stack.callback(backend.close)
        command = (sys.executable, "-m", "hapair", "run", str(file))
        program = Program(node, *command)
        stack.callback(program.close)
        program.wait_for("Entering MASTER STATE")
        wait_for(lambda: len(traces(node)) == 5, what="rules, routes, and a table")
        wait_for(lambda: accepts(client, "192.0.2.100"), what="a MASTER that serves")
        for host, expected in (("192.0.2.100", CLIENT), ("2001:db8::100", CLIENT6)):
            (address, _), _ = seen(client, host, 80)
            assert address == expected
        saw, was = seen(client, "192.0.2.100", 25)
        assert saw == was, "usesrc client: also the port"
        # Connections to others, through us.
        assert seen(client, "203.0.113.80", 80, "X-Forwarded-For: 198.51.100.7, 198.51.100.8")[0][0] == (
            "198.51.100.8"
        )
        assert seen(client, "203.0.113.81", 81)[0][0] == CLIENT
        assert seen(client, "2001:db8:ffff::1", 81)[0][0] == CLIENT6

        program.signal(signal.SIGKILL)
        program.process.wait(10)
        wait_for(lambda: not traces(node), what="the guard's work")

        again = Program(node, *command)
        stack.callback(again.close)
        again.wait_for("Entering MASTER STATE")
        wait_for(lambda: len(traces(node)) == 5, what="rules, routes, and a table")
        wait_for(lambda: accepts(client, "192.0.2.100"), what="a MASTER that serves")
        assert seen(client, "192.0.2.100", 80)[0][0] == CLIENT
        assert again.stop() == 0
        assert not traces(node)


def test_what_not_even_the_guard_could_remove_goes_at_the_next_start(tmp_path):
    file = tmp_path / "node.toml"
    text = EXAMPLE.read_text()
    plain = '[node]\nname = "lb-a"\n[frontend.main]\nbind = "127.0.0.1:80"\n'
    router, rest = text.index("[vrrp.web]"), text.index("[defaults]")
    file.write_text(text[:router] + text[rest:])
    with around() as (client, node, server), ExitStack() as stack:
        for address, ifname in (("192.0.2.100/24", "eth0"), ("10.9.0.254/24", "eth1")):
            node.run("ip", "address", "add", address, "dev", ifname)
        backend = Backend(server, ("10.9.0.2", 80))
        stack.callback(backend.close)
        command = (sys.executable, "-m", "hapair", "run", str(file))
        program = Program(node, *command)
        stack.callback(program.close)
        program.wait_for("is ready")
        assert seen(client, "192.0.2.100", 80)[0][0] == CLIENT, (
            "a node without VRRP is transparent all the time"
        )
        program.signal(signal.SIGKILL)
        program.process.wait(10)
        assert len(traces(node)) == 5, "there is no guard without VRRP"
        transparent = file.read_text()
        file.write_text(plain)
        again = Program(node, *command)
        stack.callback(again.close)
        again.wait_for("is ready")
        assert not traces(node)
        for written, expected in ((transparent, 5), (plain, 0)):
            file.write_text(written)
            again.signal(signal.SIGHUP)
            wait_for(lambda expected=expected: len(traces(node)) == expected, what="the reload")
        assert again.stop() == 0
