"""Gathers facts: listens, asks and pings, all at once and for a bounded time.

Changes nothing, and sends only questions: ARP probes, neighbour solicitations, ICMP
echoes, and no advert.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import attrs
import trio

from hapair.config.model import IPAddress, NodeConfig, VrrpInstance
from hapair.doctor import host
from hapair.doctor.facts import Claim, Facts, Interface
from hapair.errors import KernelError
from hapair.kernel.address_probe import AddressProbe
from hapair.kernel.capture import Capture
from hapair.kernel.guard import GuardProcess
from hapair.kernel.icmp import EchoSocket
from hapair.vrrp.sighting import Sighting, sight

_PROBES = 3
_ETHERNET_MAC = 17
"""Characters of a MAC that can be asked with."""
_AS_ROOT = "run the doctor as root"
_NFT_TIMEOUT = 5.0
_GUARD_TIMEOUT = 5.0
_MOST_ADVERTS = 10_000
"""Kept for each interface: a flood is judged by its beginning."""


async def examine(config: NodeConfig, seconds: float) -> Facts:
    """Return the facts, after about `seconds`."""
    examination = _Examination(config)
    segments = {instance.interface for instance in config.vrrp.values()}
    homes = {instance.home(vip) for instance in config.vrrp.values() for vip in instance.held}
    interfaces = host.interfaces(segments | homes)
    runs = host.node_runs(config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(examination.firewall)
        if config.vrrp:
            nursery.start_soon(examination.guard)
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as segment:
                segment.start_soon(trio.sleep_forever)
                for name in segments & interfaces.keys():
                    if interfaces[name].up:
                        segment.start_soon(examination.listen, name)
                for instance in config.vrrp.values():
                    found = interfaces.get(instance.interface)
                    if found is not None and found.up:
                        segment.start_soon(examination.probe, instance, found, seconds)
                    segment.start_soon(examination.ping, instance.unicast_peers, seconds)
    asked = {peer for instance in config.vrrp.values() for peer in instance.unicast_peers}
    return Facts(
        interfaces=interfaces,
        heard={name: tuple(sightings) for name, sightings in examination.heard.items()},
        listened=seconds,
        troubles=tuple(dict.fromkeys(examination.troubles)),
        claims=tuple(dict.fromkeys(examination.claims)),
        silent_peers=tuple(sorted(asked - examination.answering - examination.unasked, key=str)),
        answering_peers=tuple(sorted(examination.answering, key=str)),
        ruleset=examination.ruleset,
        capabilities=host.capabilities(),
        low_port=host.sysctl("net/ipv4/ip_unprivileged_port_start", absent=1024) or 0,
        descriptors=host.descriptors(),
        conntrack=host.conntrack(),
        clock_synchronised=host.clock_synchronised(),
        guard_seconds=examination.guard_seconds,
        missing_accounts=host.missing_accounts(config),
        node_runs=runs,
    )


@attrs.define
class _Examination:
    """What the tasks have found so far."""

    config: NodeConfig
    heard: dict[str, list[Sighting]] = attrs.field(factory=dict)
    troubles: list[tuple[str, str]] = attrs.field(factory=list)
    claims: list[Claim] = attrs.field(factory=list)
    answering: set[IPAddress] = attrs.field(factory=set)
    unasked: set[IPAddress] = attrs.field(factory=set)
    ruleset: Any = None
    guard_seconds: float | None = None

    async def listen(self, interface: str) -> None:
        try:
            capture = Capture(interface)
        except KernelError as error:
            self.troubles.append((str(error), _AS_ROOT))
            return
        heard = self.heard.setdefault(interface, [])
        try:
            while True:
                await capture.readable()
                captured = capture.receive_nowait()  # one a turn: a flood must not keep us from ending
                sighting = sight(captured) if captured is not None else None
                if sighting is not None and len(heard) < _MOST_ADVERTS:
                    heard.append(sighting)
        except KernelError as error:
            self.troubles.append((str(error), "see why the interface went down"))
        finally:
            capture.close()

    async def probe(self, instance: VrrpInstance, found: Interface, seconds: float) -> None:
        if len(found.mac) != _ETHERNET_MAC or not found.arp:
            return  # no Ethernet, nobody to ask
        addresses = tuple(vip.ip for vip in instance.addresses)
        try:
            probe = AddressProbe(found.name, found.mac, addresses)
        except KernelError as error:
            self.troubles.append((str(error), _AS_ROOT))
            return
        try:
            for _ in range(_PROBES):
                probe.ask()
                with trio.move_on_after(seconds / (_PROBES + 1)):
                    while True:
                        address, mac = await probe.answer()
                        self.claims.append(Claim(found.name, address, mac))
        except KernelError as error:
            self.troubles.append((str(error), "see why the interface went down"))
        finally:
            probe.close()

    async def ping(self, peers: tuple[IPAddress, ...], seconds: float) -> None:
        if not peers:
            return
        six = peers[0].version == 6
        try:
            echo = EchoSocket(six=six)
        except OSError as error:
            self.unasked.update(peers)
            self.troubles.append((f"cannot ping: {error.strerror}", _AS_ROOT))
            return
        tokens = {os.urandom(16): peer for peer in peers}
        try:
            for sequence in range(_PROBES):
                for token, peer in tokens.items():
                    if peer not in self.answering:
                        self._send(echo, peer, sequence, token)
                with trio.move_on_after(seconds / (_PROBES + 1)):
                    while not self.answering.issuperset(peers):
                        await trio.lowlevel.wait_readable(echo.fileno())
                        while reply := echo.receive():
                            if reply in tokens:
                                self.answering.add(tokens[reply])
        finally:
            echo.close()

    @staticmethod
    def _send(echo: EchoSocket, peer: IPAddress, sequence: int, token: bytes) -> None:
        address = (str(peer), 0) if peer.version == 4 else (str(peer), 0, 0, 0)
        try:
            echo.send(address, sequence, token)
        except OSError:
            return  # no route: then it does not answer, which is what is asked

    async def firewall(self) -> None:
        unknown = "it is not known whether the firewall lets adverts (protocol 112) in"
        done = None
        try:
            with trio.move_on_after(_NFT_TIMEOUT):
                done = await trio.run_process(
                    ["nft", "-j", "list", "ruleset"],
                    capture_stdout=True,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            if done is not None and done.returncode == 0:
                self.ruleset = json.loads(done.stdout)
                return
        except FileNotFoundError:
            self.troubles.append((f"{unknown}: there is no nft", "install nftables, or look yourself"))
            return
        except ValueError:
            pass  # an nft that speaks another JSON is as good as none
        self.troubles.append((f"{unknown}: `nft -j list ruleset` fails", _AS_ROOT))

    async def guard(self) -> None:
        began = trio.current_time()
        try:
            with trio.move_on_after(_GUARD_TIMEOUT):
                async with trio.open_nursery() as nursery:
                    await nursery.start(GuardProcess(1.0).run)
                    took = trio.current_time() - began
                    nursery.cancel_scope.cancel()
                self.guard_seconds = took
        except* KernelError as group:
            self.troubles += [(str(error), "see the reason") for error in group.exceptions]
