"""Cross-checks of the virtual routers: what one segment and one RFC allow."""

from __future__ import annotations

from collections.abc import Mapping

from hapair.config.arithmetic import OWNER, reach
from hapair.config.fields import spell
from hapair.config.locate import Path
from hapair.config.model import ChecksumForm, InitialState, IPAddress, Node, Vip, VrrpInstance
from hapair.config.problems import dotted
from hapair.config.report import Report

MOST_ADDRESSES = 255
ETHERNET_MTU = 1500
ADVERT_HEADER = 8
"""Bytes, both."""


def check(instances: Mapping[str, VrrpInstance], node: Node | None, report: Report) -> None:
    """Report what the instances of one node cannot be together, or by the RFC."""
    routers: dict[tuple[str, int, int], str] = {}
    vips: dict[IPAddress, Path] = {}
    for name, instance in instances.items():
        path = ("vrrp", name)
        # The families are separate routers (RFC 9568 section 1), which may share an id as keepalived's do.
        router = instance.interface, instance.family, instance.virtual_router_id
        other = routers.setdefault(router, name)
        if other != name:
            report.error(
                (*path, "virtual_router_id"),
                f"{instance.virtual_router_id} is already used by vrrp.{other} on {instance.interface}",
            )
        for here, vip in _held(instance, path):
            first = vips.setdefault(vip.ip, here)
            if first != here:
                report.error(here, f"{vip.ip} is already at {dotted(first)}")
        _instance(instance, path, report)
        _guard(instance, node, report)
        _accept(instance, node, path, report)
    _vmacs(instances, report)


def _vmacs(instances: Mapping[str, VrrpInstance], report: Report) -> None:
    """Every macvlan has a name of its own."""
    taken = {instance.interface: f"the interface of vrrp.{name}" for name, instance in instances.items()}
    for name, instance in instances.items():
        path = ("vrrp", name)
        if not instance.use_vmac:
            for key in ("vmac_interface", "vmac_xmit_base"):
                if getattr(instance, key):
                    report.warning((*path, key), "this has no effect without use_vmac = true")
            continue
        key = "vmac_interface" if instance.vmac_interface else "use_vmac"
        made = instance.vip_interface
        if made in taken:
            hint = "" if instance.vmac_interface else "; choose a vmac_interface"
            report.error((*path, key), f"{made} is already {taken[made]}{hint}")
        taken.setdefault(made, f"the vmac_interface of vrrp.{name}")


def _accept(instance: VrrpInstance, node: Node | None, path: Path, report: Report) -> None:
    if instance.accept:
        return
    if instance.priority == OWNER:
        message = "priority 255 is the address owner, which takes what comes to its own addresses"
        report.error((*path, "accept"), message)
    if node is not None and node.chroot is not None:
        report.error((*path, "accept"), f"nft cannot be run from inside node.chroot {node.chroot}")


def _instance(instance: VrrpInstance, path: Path, report: Report) -> None:
    vips = {vip.ip for vip in instance.held}
    owner = instance.priority == OWNER
    _version(instance, path, report)
    _routes(instance, path, report)
    for here, vip in _held(instance, path):
        _place(instance, vip, here, report)
    _family(instance, path, report)
    _advert_fits(instance, path, report)
    if owner and not instance.preempt:
        report.error(
            (*path, "preempt"),
            "priority 255 is the address owner, which always preempts (RFC 9568 section 6.1); "
            "with preempt = false use at most 254",
        )
    elif owner and instance.track:
        report.warning((*path, "track"), "priority 255 is the address owner: a peer takes over all the same")
    if instance.state is InitialState.MASTER and not owner:
        report.warning(
            (*path, "state"),
            "below priority 255 every router starts as BACKUP and waits for adverts, as in keepalived",
        )
    _weights(instance, path, report)
    if instance.preempt_delay and not instance.preempt:
        report.warning((*path, "preempt_delay"), "this has no effect with preempt = false")
    if instance.source_address in vips and not owner:
        report.error(
            (*path, "source_address"),
            f"{instance.source_address} is a VIP: it is somewhere else while this node is BACKUP",
        )
    if not instance.skew and len(instance.unicast_peers) > 1:
        report.error(
            (*path, "skew"),
            f"with {len(instance.unicast_peers)} unicast_peers several routers would take over at once: "
            "skew = false is for a pair",
        )
    if not instance.multicasts and not instance.unicast_peers:
        report.error((*path, "multicast"), "nobody would hear this node: name its unicast_peers")
    for i, peer in enumerate(instance.unicast_peers):
        here = (*path, "unicast_peers", i)
        if peer in vips:
            report.error(here, f"{peer} is a VIP: name the peer's own address")
        elif peer == instance.source_address:
            report.error(here, f"{peer} is this node's own source_address")
        elif peer in instance.unicast_peers[:i]:
            report.error(here, f"{peer} is listed twice")


def _held(instance: VrrpInstance, path: Path) -> list[tuple[Path, Vip]]:
    """Every address that moves, and where it is written."""
    return [
        ((*path, key, i), vip)
        for key in ("addresses", "excluded_addresses")
        for i, vip in enumerate(getattr(instance, key))
    ]


def _place(instance: VrrpInstance, vip: Vip, path: Path, report: Report) -> None:
    if vip.version == 6:
        for key, what in (
            ("scope", "the scope of an IPv6 address is in the address"),
            ("label", "IPv6 has none"),
        ):
            if getattr(vip, key) is not None:
                report.error((*path, key), what)
        return
    dev = instance.home(vip)
    if vip.label is not None and vip.label != dev and not vip.label.startswith(f"{dev}:"):
        report.error(
            (*path, "label"), f'{vip.label} does not start with "{dev}:", the interface of the address'
        )


def _routes(instance: VrrpInstance, path: Path, report: Report) -> None:
    vips = {vip.ip for vip in instance.held}
    for i, route in enumerate(instance.virtual_routes):
        here = (*path, "virtual_routes", i)
        for key in ("via", "src"):
            address = getattr(route, key)
            if address is not None and address.version != route.destination.version:
                report.error((*here, key), f"{address} is not of the family of {route.destination}")
        if route.src is not None and route.src not in vips:
            report.warning(
                (*here, "src"), f"{route.src} is no VIP of this router: is it always an address of this node?"
            )
    for i, rule in enumerate(instance.virtual_rules):
        here = (*path, "virtual_rules", i)
        if rule.source is None and rule.to is None:
            report.error(here, 'it would be for all traffic: expected "from", "to" or both')
        elif rule.source is not None and rule.to is not None and rule.source.version != rule.to.version:
            report.error((*here, "to"), f"{rule.to} is not of the family of {rule.source}")


def _family(instance: VrrpInstance, path: Path, report: Report) -> None:
    """One family for each router; IPv6 has rules of its own (RFC 9568 sections 5.1.2.1 and 5.2.9)."""
    family = instance.family
    others: list[tuple[Path, IPAddress]] = [
        ((*path, "addresses", i), vip.ip) for i, vip in enumerate(instance.addresses)
    ]
    if instance.source_address is not None:
        others.append(((*path, "source_address"), instance.source_address))
    others += [((*path, "unicast_peers", i), peer) for i, peer in enumerate(instance.unicast_peers)]
    for here, address in others:
        if address.version != family:
            report.error(
                here,
                f"{address} is not IPv{family} as {instance.addresses[0].ip} is: "
                "a virtual router has one family, use another [vrrp.NAME] for the other",
            )
    if family == 4:
        return
    if instance.version == 2:
        report.error((*path, "version"), "VRRPv2 is for IPv4 only: IPv6 needs version = 3")
    if instance.checksum is not ChecksumForm.AUTO:
        report.error((*path, "checksum"), "IPv6 has one form of checksum: leave this out")
    if not instance.addresses[0].ip.is_link_local:
        report.error(
            (*path, "addresses", 0),
            f"{instance.addresses[0].ip} is not link-local: the first address of an IPv6 router must be, "
            "in fe80::/10 (RFC 9568 section 5.2.9)",
        )
    source = instance.source_address
    if source is not None and source.version == 6 and not source.is_link_local and instance.multicasts:
        report.error(
            (*path, "source_address"),
            f"{source} is not link-local: multicast adverts come from fe80::/10",
        )


def _advert_fits(instance: VrrpInstance, path: Path, report: Report) -> None:
    """An advert counts its addresses in one byte, and is never fragmented."""
    size, header = (4, 20) if instance.family == 4 else (16, 40)
    most = min(MOST_ADDRESSES, (ETHERNET_MTU - header - ADVERT_HEADER) // size)
    if len(instance.addresses) > most:
        report.error(
            (*path, "addresses", most),
            f"an advert has room for {most} IPv{instance.family} addresses, not {len(instance.addresses)}: "
            "move the others to excluded_addresses (RFC 9568 section 5.2.5)",
        )


def _weights(instance: VrrpInstance, path: Path, report: Report) -> None:
    """Weights that move nothing: what is decidable without the peer's file."""
    found = reach(instance)
    if not found.weighted:
        return
    if instance.priority == OWNER:
        report.error(
            (*path, "track"),
            'weights do not concern the address owner: use priority = 254, or "weight 0" or "yield"',
        )
    elif found.failing == found.well:
        report.error(
            (*path, "track"),
            f"these weights move nothing: the effective priority is {found.well}, whatever fails "
            f"(priority {instance.priority}, and the sum stays in 1..254)",
        )
    elif not instance.preempt and not found.leaves:
        report.warning(
            (*path, "track"),
            "with preempt = false, on the peer as well, nobody takes over when the MASTER sinks; "
            'use "weight 0" or "yield"',
        )


def _version(instance: VrrpInstance, path: Path, report: Report) -> None:
    if instance.version == 3:
        if instance.auth_pass:
            report.error(
                (*path, "auth_pass"),
                "VRRPv3 has no authentication (RFC 9568 section 9); remove it, or speak version = 2",
            )
        return
    if instance.advert_interval != round(instance.advert_interval):
        report.error(
            (*path, "advert_interval"),
            f"VRRPv2 knows whole seconds only, not {spell(instance.advert_interval)}",
        )
    if instance.checksum is not ChecksumForm.AUTO:
        report.error((*path, "checksum"), "VRRPv2 has one form of checksum: leave this out")


def _guard(instance: VrrpInstance, node: Node | None, report: Report) -> None:
    if node is None or node.guard_timeout is None:
        return
    shortest = instance.down_timer_adverts * instance.advert_interval
    if node.guard_timeout > shortest:
        report.warning(
            ("node", "guard_timeout"),
            f"a frozen node still holds the VIPs of vrrp.{instance.name} when its peer takes them, "
            f"{spell(shortest)} after the last advert; choose less than that",
        )
