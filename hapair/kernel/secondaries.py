"""net.ipv4.conf.INTERFACE.promote_secondaries: who leaves with a primary address.

Without it the kernel removes, with the first address of a subnet, all others of that
subnet: the VIPs beside the one that goes, and whatever an operator added after it.
Law: what we set is set back when nobody needs it any more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger("hapair.kernel")

_CONF = Path("/proc/sys/net/ipv4/conf")


class PromotedSecondaries:
    """The interfaces on which it is set because of us."""

    def __init__(self, conf: Path = _CONF) -> None:
        self._conf = conf
        self._files: dict[str, int | None] = {}
        """Open where we have set it, so that it can be set back without root or from a chroot;
        None where it was set already."""

    def adopt(self, interfaces: Collection[str]) -> None:
        """Have it set on exactly these; what cannot be done is logged."""
        for name in [name for name in self._files if name not in interfaces]:
            self._restore(name)
        for name in interfaces:
            if name not in self._files:
                self._set(name)

    def close(self) -> None:
        """Set everything back."""
        self.adopt(())

    def _set(self, name: str) -> None:
        try:
            file = os.open(self._conf / name / "promote_secondaries", os.O_RDWR | os.O_CLOEXEC)
            if os.pread(file, 8, 0).strip() != b"0":
                os.close(file)
                self._files[name] = None
                return
            self._files[name] = file
            os.pwrite(file, b"1", 0)
        except OSError as error:
            log.warning("promote_secondaries cannot be set on %s: %s", name, error.strerror)

    def _restore(self, name: str) -> None:
        file = self._files.pop(name)
        if file is None:
            return
        try:
            os.pwrite(file, b"0", 0)
        except OSError as error:  # the interface may be gone, and its setting with it
            log.warning("promote_secondaries stays set on %s: %s", name, error.strerror)
        finally:
            os.close(file)
