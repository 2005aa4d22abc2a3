"""Which dialogue a check holds.  The only place that knows every kind of probe on a connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hapair.config.asks import (
    AgentCheck,
    DnsCheck,
    MysqlCheck,
    PgsqlCheck,
    RedisCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)
from hapair.config.model import CheckKind
from hapair.health.plan import CheckPlan
from hapair.health.probes.agent import AgentProbe
from hapair.health.probes.dialogue import Dialogue
from hapair.health.probes.dns import DnsProbe
from hapair.health.probes.http import HttpListProbe, HttpProbe, request_bytes
from hapair.health.probes.ldap import LdapProbe
from hapair.health.probes.mysql import MysqlProbe
from hapair.health.probes.numbered import ftp, smtp
from hapair.health.probes.pgsql import PgsqlProbe
from hapair.health.probes.redis import RedisProbe
from hapair.health.probes.ssl_hello import SslHelloProbe
from hapair.health.probes.tcp import TcpProbe
from hapair.health.probes.tcp_check import TcpCheckProbe
from hapair.health.probes.udp import UdpProbe

Entropy = Callable[[int], bytes]
"""So many random bytes: nobody else can say what they will be."""

DATAGRAMS = frozenset({CheckKind.UDP, CheckKind.DNS})
ELSEWHERE = frozenset({CheckKind.ICMP, CheckKind.EXTERNAL, CheckKind.FILE})
"""Kinds without a connection."""


def opener(plan: CheckPlan, entropy: Entropy) -> Callable[[], Dialogue] | None:
    """What makes a dialogue for each check; None for a check without a connection."""
    if plan.kind in ELSEWHERE:
        return None
    if plan.kind is CheckKind.HTTP:
        return _http(plan)
    starttls = plan.tls is not None and plan.tls.starttls
    match plan.ask:
        case AgentCheck(send=send):
            return partial(AgentProbe, send)
        case UdpCheck() as udp:
            return partial(UdpProbe, udp)
        case DnsCheck() as dns:
            return lambda: DnsProbe(dns, int.from_bytes(entropy(2), "big"))
        case TcpCheck() as script:
            return partial(TcpCheckProbe, script)
        case SmtpCheck(hello=hello, domain=domain):
            return partial(smtp, hello, domain, starttls=starttls)
        case MysqlCheck() as mysql:
            return partial(MysqlProbe, mysql, tls=plan.tls if starttls else None)
        case PgsqlCheck() as pgsql:
            return lambda: PgsqlProbe(pgsql, entropy(18).hex().encode(), starttls=starttls)
        case RedisCheck() as redis:
            return partial(RedisProbe, redis)
    match plan.kind:
        case CheckKind.SSL_HELLO:
            return lambda: SslHelloProbe(entropy(32))
        case CheckKind.LDAP:
            return partial(LdapProbe, starttls=starttls)
        case CheckKind.FTP:
            return partial(ftp, starttls=starttls)
        case CheckKind.TCP:
            probe = TcpProbe()
            return lambda: probe
    raise AssertionError(f"{plan.kind} without what it asks")


def _http(plan: CheckPlan) -> Callable[[], Dialogue]:
    assert plan.http is not None
    checks = (plan.http, *plan.urls)
    requests = [(request_bytes(check), check) for check in checks]
    if len(requests) == 1:
        return partial(HttpProbe, *requests[0])
    uris = [check.uri for check in checks]
    tls = plan.tls is not None
    return lambda: HttpListProbe([HttpProbe(*one) for one in requests], list(uris), tls=tls)
