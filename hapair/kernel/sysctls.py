"""Settings of interfaces below /proc/sys/net that we need while we run.

Law: what we set is set back when nobody needs it any more.  The directory is opened once,
so that it works without root (CAP_NET_ADMIN is enough) and from inside a chroot.  Where there
is none (a service manager may hide it) nothing can be set, and a node that needs nothing is well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hapair.config.model import VrrpInstance

log = logging.getLogger("hapair.kernel")

_NET = Path("/proc/sys/net")

Key = str
"""Such as `ipv4/conf/eth0/arp_ignore`."""


def needed_by(instances: Iterable[VrrpInstance]) -> dict[Key, int]:
    """What the interfaces of these routers need.

    Below a macvlan it is to leave the VIPs to that.  arp_ignore 1: answer only for its own
    addresses.  arp_announce 2: never ask in the name of a VIP, for whoever is asked learns
    the MAC of the asker.
    """
    needed: dict[Key, int] = {}
    for instance in instances:
        conf = f"ipv4/conf/{instance.interface}"
        if instance.promote_secondaries:
            needed[f"{conf}/promote_secondaries"] = 1
        if instance.use_vmac:
            needed |= {f"{conf}/arp_ignore": 1, f"{conf}/arp_announce": 2}
    return needed


class Sysctls:
    """Those that are set because of us."""

    def __init__(self, net: Path = _NET) -> None:
        self._net = -1
        self._missing: OSError | None = None
        try:
            self._net = os.open(net, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._missing = OSError(error.errno, f"{net}: {error.strerror}")
        self._before: dict[Key, int] = {}

    def adopt(self, wanted: Mapping[Key, int]) -> None:
        """Have each of these at least at its value, and no others; what cannot be done is logged."""
        for key in self._before.keys() - wanted.keys():
            self._write(key, self._before.pop(key))
        for key, value in wanted.items():
            now = self._read(key)
            if now is not None:
                self._before.setdefault(key, now)
                if now < value:
                    self._write(key, value)

    def get(self, key: Key) -> int | None:
        """What it is now; None when there is no such setting."""
        return self._read(key, complain=False)

    def put(self, key: Key, value: int) -> None:
        """Set it for good: for an interface that is ours, and goes with its settings."""
        self._write(key, value)

    def close(self) -> None:
        """Set everything back."""
        self.adopt({})
        if self._missing is None:
            os.close(self._net)

    def _open(self, key: Key, flags: int) -> int:
        if self._missing is not None:
            raise self._missing
        return os.open(key, flags | os.O_CLOEXEC, dir_fd=self._net)

    def _read(self, key: Key, *, complain: bool = True) -> int | None:
        try:
            file = self._open(key, os.O_RDONLY)
            try:
                return int(os.read(file, 16))
            finally:
                os.close(file)
        except OSError as error:
            if complain:
                log.warning("%s cannot be set: %s", key, error.strerror)
            return None

    def _write(self, key: Key, value: int) -> None:
        try:
            file = self._open(key, os.O_WRONLY)
            try:
                os.write(file, b"%d" % value)
            finally:
                os.close(file)
        except OSError as error:  # the interface may be gone, and its setting with it
            log.warning("%s cannot be set to %d: %s", key, value, error.strerror)
