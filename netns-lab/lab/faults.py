"""What we do to a node, and how it is undone.

`strike` is a plain call where the fault is an instant (signals, links), so that
`Struck.at` is that instant; a graceful stop goes on in the background.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import attrs

from lab.nodes import Node
from lab.topology import Lab

Strike = Callable[[Lab, Node], None]


def _signal_router(number: signal.Signals) -> Strike:
    def strike(_lab: Lab, node: Node) -> None:
        node.router().signal_group(number)

    return strike


def _terminate(lab: Lab, node: Node) -> None:
    lab.nursery.start_soon(node.stop)


def _kill_router(_lab: Lab, node: Node) -> None:
    node.kill_router()


def _kill_proxy(_lab: Lab, node: Node) -> None:
    node.kill_proxy()


def _kill_everything(_lab: Lab, node: Node) -> None:
    node.machine.kill_everything(signal.SIGKILL)


def _stop_everything(_lab: Lab, node: Node) -> None:
    node.machine.kill_everything(signal.SIGSTOP)


def _continue_everything(_lab: Lab, node: Node) -> None:
    node.machine.kill_everything(signal.SIGCONT)


def _link(*, up: bool) -> Strike:
    def strike(lab: Lab, node: Node) -> None:
        lab.set_link(node.settings.name, up=up)

    return strike


def _carrier(*, up: bool) -> Strike:
    def strike(lab: Lab, node: Node) -> None:
        lab.set_carrier(node.settings.name, up=up)

    return strike


def _forwarding(*, on: bool) -> Strike:
    def strike(lab: Lab, node: Node) -> None:
        lab.set_forwarding(node.settings.name, on=on)

    return strike


@attrs.frozen
class Fault:
    name: str
    what: str
    """For people."""
    strike: Strike
    heal: Strike | None
    """None: by starting the node again."""

    def at(self, lab: Lab, node: Node) -> float:
        """Strike; returns the instant before."""
        now = time.monotonic()
        self.strike(lab, node)
        return now


GRACEFUL_STOP = Fault("graceful-stop", "SIGTERM", _terminate, None)
KILL_ROUTER = Fault("kill-router", "SIGKILL of the VRRP speaker's process group", _kill_router, None)
KILL_EVERYTHING = Fault("kill-everything", "SIGKILL of every process of the node", _kill_everything, None)
KILL_PROXY = Fault("kill-proxy", "SIGKILL of what serves clients", _kill_proxy, None)
STOP_ROUTER = Fault(
    "stop-router",
    "SIGSTOP of the VRRP speaker's process group",
    _signal_router(signal.SIGSTOP),
    _signal_router(signal.SIGCONT),
)
STOP_EVERYTHING = Fault(
    "stop-everything", "SIGSTOP of every process of the node", _stop_everything, _continue_everything
)
LINK_DOWN = Fault("link-down", "ip link set down on the node", _link(up=False), _link(up=True))
CARRIER_LOST = Fault("carrier-lost", "cable pulled at the switch", _carrier(up=False), _carrier(up=True))
PARTITION = Fault(
    "partition", "the switch drops all its frames, carrier stays", _forwarding(on=False), _forwarding(on=True)
)
ALL = (
    GRACEFUL_STOP,
    KILL_ROUTER,
    KILL_PROXY,
    KILL_EVERYTHING,
    STOP_ROUTER,
    STOP_EVERYTHING,
    LINK_DOWN,
    CARRIER_LOST,
    PARTITION,
)
