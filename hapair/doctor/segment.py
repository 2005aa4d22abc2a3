"""Judges what was heard on a segment: other routers, other owners of our addresses (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from hapair.config.model import IPAddress, VrrpInstance
from hapair.doctor.facts import Facts
from hapair.doctor.findings import Finding, note, ok, problem
from hapair.vrrp.sighting import Sighting

_CROSSING = 0.1
"""Part of an interval within which the replaced master may be heard once more."""
_RFC_VMAC = {4: "00:00:5e:00:01:", 6: "00:00:5e:00:02:"}


def segment(instance: VrrpInstance, facts: Facts) -> list[Finding]:
    """Judge one instance's neighbours."""
    about = f"vrrp.{instance.name}"
    if instance.interface not in facts.heard:
        return []
    adverts = [
        sighting
        for sighting in facts.heard[instance.interface]
        if sighting.vrid == instance.virtual_router_id and sighting.source.version == instance.family
    ]
    others = [sighting for sighting in adverts if not sighting.outgoing]
    by_source: dict[IPAddress, list[Sighting]] = {}
    for sighting in others:
        by_source.setdefault(sighting.source, []).append(sighting)
    findings: list[Finding] = []
    for theirs in by_source.values():
        findings += _other(about, instance, theirs)
    findings += _masters(about, adverts)
    findings += _claims(about, instance, facts, others)
    findings += _leftovers(about, instance, facts, ours=len(adverts) > len(others))
    findings += _peers(about, instance, facts, by_source.keys())
    if not by_source:
        findings.append(_silence(about, instance, facts))
    return findings


def _other(about: str, instance: VrrpInstance, theirs: Sequence[Sighting]) -> list[Finding]:
    """Judge one foreign router with our id by its adverts; well when it could be our peer."""
    other = theirs[-1]
    who = f"{other.source} ({other.mac or 'no MAC'})"
    vrid = instance.virtual_router_id
    ours = {vip.ip for vip in instance.addresses}
    its = set(other.addresses)
    listed = ", ".join(map(str, other.addresses)) or "no address"
    if its and not its & ours:
        return [
            problem(
                about,
                f"virtual_router_id {vrid} is already used by {who} for {listed}",
                "two routers with one id and different addresses silence each other",
                "choose another virtual_router_id, on all nodes of this pair",
            )
        ]
    findings = []
    if its != ours:
        findings.append(
            problem(
                about,
                f"{who} advertises {listed}, not the addresses of this file",
                "whoever is MASTER serves its own list: some addresses come and go with a failover",
                "give both nodes the same addresses",
            )
        )
    if other.doubts:
        findings.append(
            problem(
                about,
                f"adverts of {who} are dropped: {', '.join(other.doubts)}",
                "a node that cannot believe its peer becomes MASTER beside it",
                "correct the sender; TTL 255 means that it must be on this very link",
            )
        )
    if other.version != instance.version:
        findings.append(
            problem(
                about,
                f"{who} speaks version {other.version}, this node version {instance.version}",
                "neither understands the other: both become MASTER",
                f"version = {other.version} here, or change the peer (keepalived: vrrp_version)",
            )
        )
        return findings
    findings += _timing(about, who, instance, other)
    findings += _secrets(about, who, instance, other)
    findings += _delivery(about, who, instance, theirs)
    if other.priority == instance.priority:
        findings.append(
            note(
                about,
                f"{who} has the same priority, {other.priority}",
                "the higher address wins, which is hardly what was meant",
                "give the nodes different priorities",
            )
        )
    return findings or [
        ok(about, f"{who} is MASTER with priority {other.priority}, ours is {instance.priority}")
    ]


def _timing(about: str, who: str, instance: VrrpInstance, other: Sighting) -> list[Finding]:
    if other.interval == round(instance.advert_interval, 2):
        return []
    what = f"{who} has the interval {other.interval:g} s, this node {instance.advert_interval:g} s"
    remedy = "give both nodes the same advert_interval"
    if instance.version == 2:
        why = "version 2 drops such adverts: both become MASTER"
        return [problem(about, what, why, remedy)]
    return [note(about, what, "a BACKUP learns it, but failover times differ by direction", remedy)]


def _secrets(about: str, who: str, instance: VrrpInstance, other: Sighting) -> list[Finding]:
    if instance.version != 2:
        return []
    wanted = "password" if instance.auth_pass else "none"
    why = "such adverts are dropped: both become MASTER"
    if other.authentication != wanted:
        what = f"{who} authenticates with {other.authentication}, this node with {wanted}"
        return [problem(about, what, why, "the same auth_pass (keepalived: auth_type PASS) on both, or none")]
    if instance.auth_pass and other.password != instance.auth_pass.encode():
        return [problem(about, f"{who} has another auth_pass", why, "give both nodes the same auth_pass")]
    return []


def _delivery(about: str, who: str, instance: VrrpInstance, theirs: Sequence[Sighting]) -> list[Finding]:
    """Judge how another one sends: to the group, to us, or both, of which one is enough."""
    if any(_let_in(instance, sighting) for sighting in theirs):
        return []
    last = theirs[-1]
    if last.multicast:
        what = f"{who} sends to the multicast group, this node to unicast peers"
        remedy = "unicast_peers on both (keepalived: unicast_peer), or multicast = true here"
    elif not instance.unicast_peers:
        what = f"{who} sends to {last.destination}, this node to the multicast group"
        remedy = f'unicast_peers = ["{last.source}"] here, or multicast there'
    else:
        what, remedy = f"{who} is not in unicast_peers", f'add "{last.source}", or choose another id'
    return [problem(about, what, "such adverts are dropped: both become MASTER", remedy)]


def _let_in(instance: VrrpInstance, other: Sighting) -> bool:
    return instance.multicasts if other.multicast else other.source in instance.unicast_peers


def _masters(about: str, adverts: Sequence[Sighting]) -> list[Finding]:
    """Two that both go on: a hand-back within the time of listening is none."""
    spans: dict[IPAddress, tuple[float, float]] = {}
    for each in adverts:
        first, _ = spans.get(each.source, (each.at, each.at))
        if each.priority and not each.doubts:
            spans[each.source] = first, each.at
    crossing = _CROSSING * max((each.interval for each in adverts), default=0.0)
    late_start = max((first for first, _ in spans.values()), default=0.0) + crossing
    both = [str(source) for source, (_, last) in sorted(spans.items(), key=str) if last > late_start]
    if len(both) < 2:
        return []
    return [
        problem(
            about,
            f"two masters: {' and '.join(both)}",
            "clients reach one or the other by chance",
            "see whether they hear each other: firewall, version, password, interval",
        )
    ]


def _claims(about: str, instance: VrrpInstance, facts: Facts, others: list[Sighting]) -> list[Finding]:
    vips = {vip.ip for vip in instance.held}
    masters = {sighting.mac for sighting in others}
    vmac = f"{_RFC_VMAC[instance.family]}{instance.virtual_router_id:02x}"
    findings = []
    for claim in facts.claims:
        if claim.interface != instance.interface or claim.address not in vips:
            continue
        if others and (claim.mac in masters or claim.mac == vmac):
            continue
        heard = "which is not the master that is heard" if others else "and no master is heard"
        findings.append(
            problem(
                about,
                f"{claim.mac} answers for {claim.address}, {heard}",
                "as soon as this node is MASTER the address is in the network twice",
                f"find {claim.mac} (switch table, `ip neigh`): a leftover VIP, another host, or a peer "
                "whose adverts do not get here",
            )
        )
    return findings


def _leftovers(about: str, instance: VrrpInstance, facts: Facts, *, ours: bool) -> list[Finding]:
    """A VIP on this host although nobody here says to be its master."""
    present = {name: {address.ip for address in found.addresses} for name, found in facts.interfaces.items()}
    left = [vip for vip in instance.held if vip.ip in present.get(instance.home(vip), ())]
    if not left or ours or facts.node_runs or facts.listened < 2 * instance.advert_interval:
        return []
    home = instance.home(left[0])
    return [
        problem(
            about,
            f"{', '.join(str(vip.ip) for vip in left)} on {home} already, and nobody here advertises it",
            "left by an earlier life, or the host's own: this node answers while it is not MASTER",
            f"ip address del {left[0].ip} dev {home}, and from the host's configuration",
        )
    ]


def _peers(about: str, instance: VrrpInstance, facts: Facts, heard: AbstractSet[IPAddress]) -> list[Finding]:
    return [
        problem(
            about,
            f"peer {peer} answers no ping and sends no adverts",
            "if adverts do not arrive either, both nodes become MASTER",
            "see that it runs, its address, the route and the firewalls between",
        )
        if peer in facts.silent_peers
        else ok(about, f"peer {peer} answers")
        for peer in instance.unicast_peers
        if peer not in heard and peer in (*facts.silent_peers, *facts.answering_peers)
    ]


def _silence(about: str, instance: VrrpInstance, facts: Facts) -> Finding:
    listened = f"{facts.listened:g} s"
    if facts.listened < 3 * instance.advert_interval:
        return note(
            about,
            f"nobody with id {instance.virtual_router_id} was heard within {listened}",
            "that is less than three intervals, and tells little",
            f"--seconds {4 * instance.advert_interval:g}",
        )
    return ok(about, f"no other router with id {instance.virtual_router_id} was heard within {listened}")
