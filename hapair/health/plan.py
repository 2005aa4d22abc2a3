"""What to probe, how often, and how long to wait: one server's check, resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf

import attrs

from hapair.config.asks import AgentCheck, Ask, Tls
from hapair.config.model import Backend, CheckKind, HttpCheck, InitState, ProxyVersion, Server


@attrs.frozen(cache_hash=True)
class CheckPlan:
    """Servers with equal plans are probed once."""

    kind: CheckKind
    host: str
    port: int
    http: HttpCheck | None
    """Set when `kind` is HTTP."""
    inter: float
    fastinter: float
    downinter: float
    rise: int
    fall: int
    connect_timeout: float
    """Seconds for the connection, or for the whole answer of an ICMP probe."""
    read_timeout: float | None
    """Seconds for the answer, after the connection; None: `connect_timeout` covers both."""
    send_proxy: ProxyVersion | None = None
    """Begin with a PROXY header that says the connection is our own."""
    urls: tuple[HttpCheck, ...] = ()
    """Asked after `http`."""
    ask: Ask | None = None
    """What other kinds ask."""
    tls: Tls | None = None
    environ: tuple[tuple[str, str], ...] = ()
    """What a program is told, as HAProxy tells it."""
    retry: float | None = None
    """Seconds from a failure to the next check while up; None: as in any transition."""
    warmup: float | None = None
    """Seconds over which first checks are spread; None: the interval."""
    jitter: float = 0.03
    """Part of the interval by which a check may come early."""
    init_state: InitState = InitState.UP
    source: str = ""
    """The address that probes come from while this node has it; empty: the kernel's choice."""
    owner: str = ""
    """`backend/server` when it shares its probe with nobody."""

    def same_question(self, other: CheckPlan) -> bool:
        """Would both find the same, and count it the same way?  How often they ask may differ."""
        return all(
            getattr(self, key) == getattr(other, key)
            for key in (
                "kind",
                "host",
                "port",
                "http",
                "urls",
                "ask",
                "tls",
                "environ",
                "owner",
                "source",
                "send_proxy",
                "rise",
                "fall",
            )
        )


def plan_for(backend: Backend, server: Server) -> CheckPlan | None:
    """The plan of a server; None when it is not checked.

    HAProxy's law of time-outs (configuration manual, `timeout check`): with it, the
    connection may take min(timeout connect, inter) and the answer `timeout check`
    more; without it, `inter` covers both.
    """
    check = server.check
    if check is None:
        return None
    connect, read = check.inter, None
    if backend.timeout.check != inf:
        connect, read = min(backend.timeout.connect, check.inter), backend.timeout.check
    return CheckPlan(
        kind=check.kind,
        host=check.address if check.address is not None else server.host,
        port=check.port if check.port is not None else server.port,
        http=check.http,
        inter=check.inter,
        fastinter=check.fastinter if check.fastinter is not None else check.inter,
        downinter=check.downinter if check.downinter is not None else check.inter,
        rise=check.rise,
        fall=check.fall,
        connect_timeout=connect,
        send_proxy=check.send_proxy,
        urls=check.urls,
        ask=check.ask,
        tls=check.tls,
        retry=check.delay_before_retry,
        warmup=check.warmup,
        jitter=check.jitter / 100,
        init_state=check.init_state,
        owner="" if check.shared and server.observe is None else f"{backend.name}/{server.name}",
        source=_source(server),
        environ=_environ(backend, server) if check.kind is CheckKind.EXTERNAL else (),
        read_timeout=read,
    )


def _source(server: Server) -> str:
    """Whom a client's connections are made for, if not for the client itself; its ports are left to them."""
    source = server.source
    return str(source.address) if source is not None and source.address is not None else ""


def _environ(backend: Backend, server: Server) -> tuple[tuple[str, str], ...]:
    """HAProxy's, less what changes from check to check."""
    return (
        ("HAPROXY_PROXY_NAME", backend.name),
        ("HAPROXY_PROXY_ADDR", "NOT_USED"),
        ("HAPROXY_PROXY_PORT", "NOT_USED"),
        ("HAPROXY_SERVER_NAME", server.name),
        ("HAPROXY_SERVER_ID", str(server.id)),
        ("HAPROXY_SERVER_ADDR", server.host),
        ("HAPROXY_SERVER_PORT", str(server.port)),
        ("HAPROXY_SERVER_MAXCONN", str(server.maxconn)),
    )


def checks(backends: Mapping[str, Backend]) -> Iterator[tuple[str, str, CheckPlan]]:
    """(backend, server, plan) of all that are checked, by a check of their own or of one that they track."""
    for backend in backends.values():
        for server in backend.servers:
            home, checked = backend, server
            if server.track is not None:
                name, _, wanted = server.track.partition("/")
                home = backends[name]
                checked = next(one for one in home.servers if one.name == wanted)
            plan = plan_for(home, checked)
            if plan is not None:
                yield backend.name, server.name, plan


def agents(backends: Mapping[str, Backend]) -> Iterator[tuple[str, str, CheckPlan]]:
    """(backend, server, plan) of all servers whose agents are asked."""
    for backend in backends.values():
        for server in backend.servers:
            agent = server.agent_check
            if agent is not None:
                yield backend.name, server.name, _agent_plan(backend, server, agent)


def _agent_plan(backend: Backend, server: Server, agent: AgentCheck) -> CheckPlan:
    """One answer counts: HAProxy's agents have a rise and a fall of 1."""
    return CheckPlan(
        kind=CheckKind.TCP,
        host=agent.addr if agent.addr is not None else server.host,
        port=agent.port,
        http=None,
        inter=agent.inter,
        fastinter=agent.inter,
        downinter=agent.inter,
        rise=1,
        fall=1,
        connect_timeout=min(backend.timeout.connect, agent.inter),
        read_timeout=backend.timeout.check if backend.timeout.check != inf else agent.inter,
        ask=agent,
        source=_source(server),
    )
