"""What is counted, as HAProxy's statistics rows: one mapping per frontend, server and backend.

A column that we do not count is absent, never invented.  The order of COLUMNS is
HAProxy 2.6's static block, whose numbers never move.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from hapair.balance.balancer import SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapair.dataplane.service import DataPlane
    from hapair.health.service import Verdict
    from hapair.proxy.backend import Backend
    from hapair.proxy.frontend import Frontend
    from hapair.proxy.server import Server

COLUMNS = (
    "pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status "
    "weight act bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot tracked type rate "
    "rate_lim rate_max check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx "
    "hrsp_5xx hrsp_other hanafail req_rate req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out "
    "comp_byp comp_rsp lastsess last_chk last_agt qtime ctime rtime ttime agent_status agent_code "
    "agent_duration check_desc agent_desc check_rise check_fall check_health agent_rise agent_fall "
    "agent_health addr cookie mode algo conn_rate conn_rate_max conn_tot intercepted dcon dses wrew "
    "connect reuse cache_lookups cache_hits srv_icur src_ilim qtime_max ctime_max rtime_max ttime_max "
    "eint idle_conn_cur safe_conn_cur used_conn_cur need_conn_est uweight agg_server_status "
    "agg_server_check_status agg_check_status -"
).split()

FRONTEND, BACKEND, SERVER = 0, 1, 2

Row = dict[str, str | int]


def rows(plane: DataPlane, verdicts: Mapping[tuple[str, str], Verdict]) -> list[Row]:
    """Every row, in HAProxy's order: frontends, then each backend's servers and the backend itself."""
    found: list[Row] = [_frontend(frontend, i + 1) for i, frontend in enumerate(plane.frontends.values())]
    for iid, backend in enumerate(plane.backends.values(), len(found) + 1):
        found += [
            _server(
                server,
                iid,
                verdicts.get((backend.name, server.name)),
                agent_down=plane.agent_down(backend.name, server.name),
            )
            for server in backend.servers
        ]
        found.append(_backend(backend, iid))
    return found


def to_csv(table: list[Row]) -> str:
    """The `;csv` and `show stat` form."""
    lines = ["# " + ",".join(COLUMNS) + ","]
    for row in table:
        lines.append(",".join(_quoted(str(row.get(column, ""))) for column in COLUMNS[:-1]) + ",-,")
    return "\n".join(lines) + "\n"


def status_of(server: Server, verdict: Verdict | None, *, agent_down: bool = False) -> str:
    """HAProxy's words for the state of a server: `UP`, `UP 2/3` when it may be going down, `DOWN (agent)`…"""
    if server.administrative == "maint":
        return "MAINT"
    fraction = verdict.health.partition(" ")[0] if verdict is not None else ""
    done, _, of = fraction.partition("/")
    if not server.up:
        if agent_down:
            return "DOWN (agent)"
        return f"DOWN {fraction}" if verdict is not None and not verdict.up and done != "0" else "DOWN"
    moving = f" {fraction}" if verdict is not None and verdict.up and done != of else ""
    if server.administrative == "drain":
        by_agent = server.backend.config.servers[server.index].agent_check is not None
        return "DRAIN (agent)" if by_agent else f"DRAIN{moving}"
    if server.suspended:
        return f"NOLB{moving}"
    return f"UP{moving}" if verdict is not None else "no check"


def last_check(row: Row) -> str:
    """As HAProxy's page shows it: `L7STS/503 in 12ms`; empty for a server that was not checked."""
    if not row.get("check_status"):
        return ""
    code = f"/{row['check_code']}" if "check_code" in row else ""
    return f"{row['check_status']}{code} in {row['check_duration']}ms"


def _frontend(frontend: Frontend, iid: int) -> Row:
    row: Row = {
        "pxname": frontend.name,
        "svname": "FRONTEND",
        "scur": frontend.current,
        "smax": frontend.highest,
        "slim": frontend.config.maxconn,
        "stot": frontend.total,
        "bin": frontend.bytes_in,
        "bout": frontend.bytes_out,
        "ereq": frontend.request_errors,
        "status": "STOP" if frontend.stopping else "OPEN",
        "pid": 1,
        "iid": iid,
        "sid": 0,
        "type": FRONTEND,
        "mode": frontend.config.mode.value,
        "conn_tot": frontend.total,
    }
    if frontend.http:
        row["req_tot"] = frontend.requests
        row |= {f"hrsp_{i}xx": frontend.responses[i] for i in range(1, 6)}
        row["hrsp_other"] = frontend.responses[0]
        row |= _http_counts(frontend)
    return row


def _http_counts(side: Frontend | Backend) -> Row:
    return {
        "comp_in": side.comp_in,
        "comp_out": side.comp_out,
        "comp_byp": 0,  # as in HAProxy, which does not count what maxcomprate leaves as it is
        "comp_rsp": side.comp_rsp,
        "cache_lookups": side.cache_lookups,
        "cache_hits": side.cache_hits,
    }


def _server(server: Server, iid: int, verdict: Verdict | None, *, agent_down: bool) -> Row:
    row: Row = {
        "pxname": server.backend.name,
        "svname": server.name,
        "qcur": len(server.queue) + server.queued_elsewhere,
        "scur": server.current,
        "smax": server.highest,
        "stot": server.total,
        "bin": server.bytes_in,
        "bout": server.bytes_out,
        "econ": server.connect_errors,
        "eresp": server.response_errors,
        "wretr": server.retries,
        "wredis": server.redispatches,
        "status": status_of(server, verdict, agent_down=agent_down),
        "weight": server.weight,
        "act": int(not server.backup),
        "bck": int(server.backup),
        "pid": 1,
        "iid": iid,
        "sid": server.index + 1,
        "lbtot": server.total,
        "type": SERVER,
        "mode": server.backend.config.mode.value,
        "addr": f"{server.host}:{server.port}",
        "idle_conn_cur": len(server.idle) + server.idle_elsewhere,
        "uweight": server.weight,
    }
    if server.back_at != -inf:
        row["throttle"] = server.warmth * 100 // SCALE
    if server.maxconn != inf:
        row["slim"] = int(server.maxconn)
    if server.cookie is not None:
        row["cookie"] = server.cookie.decode()
    if verdict is not None:
        outcome = verdict.outcome
        row["check_status"] = outcome.status
        row["check_duration"] = round(outcome.duration * 1000)
        row["check_desc"] = outcome.description
        if not outcome.ok and (outcome.sent or outcome.received or outcome.expected):
            row["check_details"] = outcome.details  # no column of HAProxy's: for `show status`
        if outcome.code:
            row["check_code"] = outcome.code
    return row


def _backend(backend: Backend, iid: int) -> Row:
    servers = backend.servers
    active, backup = backend.counts()
    row: Row = {
        "pxname": backend.name,
        "svname": "BACKEND",
        "qcur": backend.queued,
        "scur": backend.current,
        "smax": backend.highest,
        "stot": backend.total,
        "bin": sum(server.bytes_in for server in servers),
        "bout": sum(server.bytes_out for server in servers),
        "econ": sum(server.connect_errors for server in servers),
        "eresp": sum(server.response_errors for server in servers),
        "wretr": sum(server.retries for server in servers),
        "wredis": sum(server.redispatches for server in servers),
        "status": "UP" if active + backup else "DOWN",
        "weight": sum(server.weight for server in servers if server.eligible),
        "act": active,
        "bck": backup,
        "pid": 1,
        "iid": iid,
        "sid": 0,
        "lbtot": sum(server.total for server in servers),
        "type": BACKEND,
        "mode": backend.config.mode.value,
        "algo": backend.config.balance.algorithm,
        "uweight": sum(server.weight for server in servers if server.eligible),
    }
    if backend.http:
        row |= _http_counts(backend)
    return row


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
