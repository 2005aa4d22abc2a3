"""What to probe, how often, and how long to wait: one server's check, resolved."""

from __future__ import annotations

from math import inf

import attrs

from hapair.config.model import Backend, CheckKind, HttpCheck, Server


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

    def same_question(self, other: CheckPlan) -> bool:
        """Would both find the same, and count it the same way?  How often they ask may differ."""
        return (self.kind, self.host, self.port, self.http, self.rise, self.fall) == (
            other.kind,
            other.host,
            other.port,
            other.http,
            other.rise,
            other.fall,
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
        read_timeout=read,
    )
