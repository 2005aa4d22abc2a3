"""Prometheus text format 0.0.4: HAProxy's exporter names, and `hapair_vrrp_*` of our own."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from hapair.api.stats import BACKEND, FRONTEND, SERVER, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hapair.vrrp.status import RouterStatus

_KINDS = {FRONTEND: "frontend", BACKEND: "backend", SERVER: "server"}
_VALUES = (
    ("scur", "current_sessions", "gauge"),
    ("smax", "max_sessions", "gauge"),
    ("slim", "limit_sessions", "gauge"),
    ("stot", "sessions_total", "counter"),
    ("bin", "bytes_in_total", "counter"),
    ("bout", "bytes_out_total", "counter"),
    ("qcur", "current_queue", "gauge"),
    ("comp_in", "http_comp_bytes_in_total", "counter"),
    ("comp_out", "http_comp_bytes_out_total", "counter"),
    ("comp_byp", "http_comp_bytes_bypassed_total", "counter"),
    ("comp_rsp", "http_comp_responses_total", "counter"),
    ("cache_lookups", "http_cache_lookups_total", "counter"),
    ("cache_hits", "http_cache_hits_total", "counter"),
    ("req_tot", "http_requests_total", "counter"),
    ("ereq", "request_errors_total", "counter"),
    ("econ", "connection_errors_total", "counter"),
    ("eresp", "response_errors_total", "counter"),
    ("wretr", "retry_warnings_total", "counter"),
    ("wredis", "redispatch_warnings_total", "counter"),
    ("weight", "weight", "gauge"),
)
_CODES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
_SERVER_STATES = ("DOWN", "UP", "MAINT", "DRAIN", "NOLB")
_ROUTER_STATES = ("INITIALIZE", "FAULT", "BACKUP", "MASTER")


def metrics(
    table: Sequence[Row],
    routers: Sequence[RouterStatus],
    connections: int,
    refusals: dict[str, dict[str, int]],
    lost: Mapping[str, int] = MappingProxyType({}),
    distrusted: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
) -> str:
    """The whole exposition.

    `lost` are notifications that were left out, by whom they were for; `distrusted` are responses, by
    backend and reason, as `refusals` are requests.
    """
    lines = list(_simple("haproxy_process_current_connections", "gauge", [("", connections)]))
    for kind, word in _KINDS.items():
        members = [row for row in table if row["type"] == kind]
        for column, name, type_ in _VALUES:
            values = [(_labels(row), row[column]) for row in members if column in row]
            lines += _simple(f"haproxy_{word}_{name}", type_, values)
        responses = [
            (_labels(row, code=code), row[f"hrsp_{code}"])
            for row in members
            for code in _CODES
            if f"hrsp_{code}" in row
        ]
        lines += _simple(f"haproxy_{word}_http_responses_total", "counter", responses)
    servers = [row for row in table if row["type"] == SERVER]
    states = [
        (_labels(row, state=state), int(str(row["status"]).startswith(state) or _unchecked(row, state)))
        for row in servers
        for state in _SERVER_STATES
    ]
    lines += _simple("haproxy_server_status", "gauge", states)
    for side, counted in (("frontend", refusals), ("backend", distrusted)):
        values = [
            (_pairs(proxy=proxy, reason=why), n) for proxy, whys in counted.items() for why, n in whys.items()
        ]
        lines += _simple(f"hapair_{side}_refused_total", "counter", values)
    lines += _vrrp(routers)
    notices = [(_pairs(to=to), n) for to, n in lost.items()]
    lines += _simple("hapair_notifications_lost_total", "counter", notices)
    return "\n".join(lines) + "\n"


def _vrrp(routers: Sequence[RouterStatus]) -> Iterator[str]:
    yield from _simple(
        "hapair_vrrp_state",
        "gauge",
        [
            (_pairs(instance=router.name, state=state), int(router.state.value == state))
            for router in routers
            for state in _ROUTER_STATES
        ],
    )
    for name, type_, attribute in (
        ("effective_priority", "gauge", "effective_priority"),
        ("transitions_total", "counter", "transitions"),
        ("misplaced_addresses_total", "counter", "misplaced_addresses"),
        ("duplicate_masters_total", "counter", "duplicate_masters"),
        ("duplicate_master_seconds_total", "counter", "duplicate_master_seconds"),
        ("address_conflicts_total", "counter", "address_conflicts"),
        ("adverts_sent_total", "counter", "adverts_sent"),
        ("adverts_received_total", "counter", "adverts_received"),
    ):
        values = [(_pairs(instance=router.name), getattr(router, attribute)) for router in routers]
        yield from _simple(f"hapair_vrrp_{name}", type_, values)
    drops = [(_pairs(instance=r.name, reason=reason), n) for r in routers for reason, n in r.drops.items()]
    yield from _simple("hapair_vrrp_dropped_total", "counter", drops)


def _unchecked(row: Row, state: str) -> bool:
    return row["status"] == "no check" and state == "UP"


def _labels(row: Row, **more: str) -> str:
    if row["type"] == SERVER:
        return _pairs(proxy=str(row["pxname"]), server=str(row["svname"]), **more)
    return _pairs(proxy=str(row["pxname"]), **more)


def _pairs(**labels: str) -> str:
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"


def _simple(name: str, type_: str, values: Iterable[tuple[str, object]]) -> Iterator[str]:
    values = list(values)
    if values:
        yield f"# TYPE {name} {type_}"
        for labels, value in values:
            yield f"{name}{labels} {value}"
