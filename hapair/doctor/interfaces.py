"""Judges the interface of a virtual router, and the firewall before it (pure)."""

from __future__ import annotations

from hapair.config.model import VrrpInstance
from hapair.doctor import firewall
from hapair.doctor.facts import Facts, Interface
from hapair.doctor.findings import Finding, note, ok, problem

_ANSWERS_NOTHING = 8


def interface(instance: VrrpInstance, facts: Facts) -> list[Finding]:
    """Judge the interface of one instance."""
    about = f"vrrp.{instance.name}"
    found = facts.interfaces.get(instance.interface)
    if found is None:
        return [
            problem(
                about,
                f"there is no interface {instance.interface}",
                "`hapair run` will not start",
                "`ip link` lists them; correct vrrp.interface",
            )
        ]
    findings = [
        *_link(about, found),
        *_homes(about, instance, facts),
        *_addresses(about, instance, found),
        *_sysctls(about, instance, found),
    ]
    if instance.multicasts:
        findings += _multicast(about, found)
    findings += _firewall(about, instance, facts)
    return findings or [ok(about, f"{found.name} is up, with an address beside the VIPs'")]


def _link(about: str, found: Interface) -> list[Finding]:
    if not found.up:
        remedy = f"ip link set {found.name} up, and make it permanent"
        return [problem(about, f"{found.name} is down", "the router is in FAULT", remedy)]
    if not found.carrier:
        return [
            problem(
                about,
                f"{found.name} has no carrier",
                "the router is in FAULT",
                "look at the cable and the switch",
            )
        ]
    return []


def _homes(about: str, instance: VrrpInstance, facts: Facts) -> list[Finding]:
    """Judge where its VIPs are, if not there."""
    findings = []
    devices = {vip.dev for vip in instance.held if vip.dev} - {instance.interface, instance.vip_interface}
    for name in sorted(devices):
        home = facts.interfaces.get(name)
        if home is None or not home.up or not home.carrier:
            trouble = "there is no interface" if home is None else "no carrier, or not set up:"
            findings.append(
                problem(
                    about,
                    f"{trouble} {name}",
                    "a VIP belongs there, so the router is in FAULT",
                    "`ip link` lists them; correct dev, or set it up",
                )
            )
    if instance.use_vmac and len(facts.interfaces[instance.interface].mac) != len("00:00:5e:00:01:01"):
        why = "a virtual MAC needs Ethernet; `hapair run` will not start"
        findings.append(problem(about, f"{instance.interface} is not Ethernet", why, "remove use_vmac"))
    return findings


def _addresses(about: str, instance: VrrpInstance, found: Interface) -> list[Finding]:
    vips = {vip.ip for vip in instance.held}
    own = [address for address in found.addresses if address.ip not in vips]
    usable = [a for a in own if a.version == instance.family and (a.version == 4 or a.ip.is_link_local)]
    source = instance.source_address
    if source is not None and all(address.ip != source for address in found.addresses):
        return [
            problem(
                about,
                f"source_address {source} is not on {found.name}",
                "peers answer to, and compare with, an address that is not here",
                f"add it to {found.name}, or remove the key",
            )
        ]
    if source is None and not usable:
        kind = "IPv4" if instance.family == 4 else "IPv6 link-local"
        return [
            problem(
                about,
                f"{found.name} has no {kind} address of its own",
                "adverts need a source that stays when the VIP goes; `hapair run` will not start",
                f"give {found.name} a permanent address",
            )
        ]
    outside = [
        str(vip)
        for vip in instance.addresses
        if not vip.ip.is_link_local and all(vip.ip not in address.network for address in own)
    ]
    if outside:
        return [
            note(
                about,
                f"no address of {found.name} is in the subnet of {', '.join(outside)}",
                "as BACKUP this node reaches the VIP by its routes only, or not at all",
                f"give {found.name} an address of that subnet, unless it is meant",
            )
        ]
    return []


def _sysctls(about: str, instance: VrrpInstance, found: Interface) -> list[Finding]:
    if instance.family == 6:
        if found.disable_ipv6:
            remedy = f"sysctl net.ipv6.conf.{found.name}.disable_ipv6=0, and in all"
            return [problem(about, f"IPv6 is disabled on {found.name}", "no VIP can be added", remedy)]
        return []
    if not found.arp:
        remedy = f"ip link set {found.name} arp on"
        return [problem(about, f"{found.name} has ARP off", "nobody can find the VIP", remedy)]
    if found.arp_ignore == _ANSWERS_NOTHING:
        return [
            problem(
                about,
                f"arp_ignore is 8 for {found.name}",
                "the kernel answers ARP for no address, so nobody finds the VIP",
                f"sysctl net.ipv4.conf.{found.name}.arp_ignore=0, and in all",
            )
        ]
    return []


def _multicast(about: str, found: Interface) -> list[Finding]:
    findings = []
    if not found.multicast:
        findings.append(
            problem(
                about,
                f"{found.name} has no MULTICAST flag",
                "adverts go to a multicast group",
                f"ip link set {found.name} multicast on, or use unicast_peers",
            )
        )
    if found.snooping_bridge:
        findings.append(
            note(
                about,
                f"bridge {found.snooping_bridge} snoops multicast, and sends no queries itself",
                "once another querier comes and goes, memberships expire and IPv6 adverts stop",
                f"ip link set {found.snooping_bridge} type bridge mcast_querier 1 (or mcast_snooping 0)",
            )
        )
    return findings


def _firewall(about: str, instance: VrrpInstance, facts: Facts) -> list[Finding]:
    if facts.ruleset is None:
        return []
    answer, chain = firewall.adverts(facts.ruleset, instance.family)
    remedy = f"nft insert rule {chain} meta l4proto 112 accept"
    match answer:
        case firewall.Answer.DROPPED:
            why = "without the peer's adverts both nodes become MASTER"
            return [problem(about, f"the firewall drops adverts (protocol 112, chain {chain})", why, remedy)]
        case firewall.Answer.UNSURE:
            why = "its rules depend on more than can be told from here"
            return [note(about, f"the firewall may drop adverts (protocol 112, chain {chain})", why, remedy)]
        case firewall.Answer.PASSES:
            return []
