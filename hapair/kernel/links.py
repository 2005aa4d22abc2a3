"""Interfaces as they come and go: one netlink monitor for the whole node.

A `Link` is a *name*: the interface behind it may go down, vanish, be renamed or
come back with another index, and those who hold the Link need not know more than
`up` and the newest `index`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import NoReturn

import trio

from hapair.config.model import IPInterface
from hapair.errors import KernelError
from hapair.kernel import rtnetlink
from hapair.kernel.ports import AddressListener, AddressSeenListener, LinkListener

log = logging.getLogger("hapair.kernel")

_DATAGRAM = 1 << 16
_RECEIVE_BUFFER = 1 << 20
"""Bytes; a few thousand notices.  When it overflows we ask for everything again."""


class Link:
    """One interface by name (`kernel.ports.Link`)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = 0
        self.mac = b""
        self.up = False
        self._listeners: list[tuple[LinkListener, AddressListener, AddressSeenListener]] = []

    def subscribe(
        self,
        on_state: LinkListener,
        on_address_lost: AddressListener,
        on_address_seen: AddressSeenListener = lambda _index, _address: None,
    ) -> Callable[[], None]:
        """Call the listeners from now on; returns the call that ends it."""
        entry = (on_state, on_address_lost, on_address_seen)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    def seen(self, index: int, mac: bytes, up: bool) -> None:
        replaced = index != self.index
        if replaced and self.up:
            self.gone()
        news = up != self.up or (up and mac != self.mac)
        self.index, self.mac, self.up = index, mac, up
        if news:
            self._tell(up)

    def gone(self) -> None:
        # The index stays: after a rename our addresses are still there to be removed.
        if self.up:
            self.up = False
            self._tell(False)

    def address_lost(self, index: int, address: IPInterface) -> None:
        for _, on_address_lost, _ in tuple(self._listeners):
            on_address_lost(index, address)

    def address_seen(self, index: int, address: IPInterface) -> None:
        for _, _, on_address_seen in tuple(self._listeners):
            on_address_seen(index, address)

    def _tell(self, up: bool) -> None:
        for on_state, _, _ in tuple(self._listeners):
            on_state(up)


class Links:
    """Follows interfaces; `run` must be running for anything to change."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        groups = rtnetlink.GROUP_LINK | rtnetlink.GROUP_IPV4_IFADDR | rtnetlink.GROUP_IPV6_IFADDR
        self._monitor = _netlink_socket(groups)
        self._monitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._questions = _netlink_socket(0)

    def follow(self, ifname: str) -> Link:
        """Return the Link of that name, as it is now; the same one for the same name."""
        if ifname not in self._links:
            self._links[ifname] = Link(ifname)
            self._ask()
        return self._links[ifname]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Keep every Link true until cancelled."""
        self._ask()
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(self._monitor)
            self.catch_up()

    def catch_up(self) -> None:
        """Take in every notice that is already here."""
        while True:
            try:
                datagram = self._monitor.recv(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                # ENOBUFS: notices were lost.  Anything else is as good a reason to look again.
                log.info("link events were lost (%s), asking for the state of every link", error)
                self._ask()
                continue
            for notice in rtnetlink.parse(datagram):
                self._take(notice)

    def close(self) -> None:
        self._monitor.close()
        self._questions.close()

    def _ask(self) -> None:
        """Dump all links; the answer is there when the question has been sent."""
        present: set[str] = set()
        self._questions.send(rtnetlink.dump_links_request())
        while True:
            for notice in rtnetlink.parse(self._questions.recv(_DATAGRAM)):
                self._take(notice)
                match notice:
                    case rtnetlink.LinkSeen(name=name):
                        present.add(name)
                    case rtnetlink.Done():
                        for name in self._links.keys() - present:
                            self._links[name].gone()
                        return

    def _take(self, notice: rtnetlink.Notice) -> None:
        match notice:
            case rtnetlink.LinkSeen():
                for link in self._links.values():
                    if link.name == notice.name:
                        link.seen(notice.index, notice.mac, notice.up)
                    elif link.index == notice.index:  # renamed
                        link.gone()
            case rtnetlink.LinkGone(index=index):
                for link in self._links.values():
                    if link.index == index:
                        link.gone()
            case rtnetlink.AddressGone(index=index, address=address):
                for link in self._links.values():
                    link.address_lost(index, address)
            case rtnetlink.AddressSeen(index=index, address=address):
                for link in self._links.values():
                    link.address_seen(index, address)
            case rtnetlink.Done():
                pass


def _netlink_socket(groups: int) -> socket.socket:
    try:
        sock = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            socket.NETLINK_ROUTE,
        )
        sock.bind((0, groups))
    except OSError as error:
        raise KernelError("watch the network interfaces", error.errno or 0, error.strerror or "") from error
    return sock
