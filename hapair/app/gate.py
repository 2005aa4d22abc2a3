"""Role -> may the listeners of this instance's VIPs accept?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.config.model import IPAddress
    from hapair.dataplane.service import DataPlane


class VipGate:
    """Opens and closes the data plane's listeners on a set of addresses (`kernel.ports.Gate`)."""

    def __init__(self, plane: DataPlane, addresses: tuple[IPAddress, ...]) -> None:
        self._plane = plane
        self._addresses = addresses

    def open(self) -> None:
        """The VIPs are here."""
        self._plane.open_gate(self._addresses)

    def close(self) -> None:
        """The VIPs are about to go."""
        self._plane.close_gate(self._addresses)
