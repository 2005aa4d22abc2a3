"""The configuration as it is understood loads again to the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
from config.golden import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from hapair.config.load import load, load_text
from hapair.config.show import show

EXAMPLES = [*sorted((Path(__file__).parents[2] / "configs").rglob("*.toml")), CASES / "warnings-only.toml"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_load_again_to_the_same(path):
    config = load(path, {}).config
    assert load_text(show(config), "shown", {}).config == config


def maybe(**keys):
    return st.fixed_dictionaries({}, optional=keys)


BOOLS = st.booleans()
NUMBERS = st.integers(1, 5000)
DURATIONS = st.integers(1, 10**9).map(lambda ms: f"{ms}ms") | st.integers(1000, 10**6).map(
    lambda us: f"{us}us"
)
PRINTABLE = st.text(st.sampled_from("ab ${}-%[]\"'\\#日"), min_size=1, max_size=8)
TOKENS = st.text(st.sampled_from("aB-_$"), min_size=1, max_size=5)
ACL_NAMES = st.text(st.sampled_from("aB-_.:"), min_size=1, max_size=5)
FORWARDFOR = BOOLS | maybe(
    **{
        "except": st.lists(st.sampled_from(["10.0.0.0/8", "::1/128"]), max_size=2),
        "header": TOKENS,
        "if_none": BOOLS,
    }
)
COMMON = {
    "mode": st.just("http"),
    "originalto": BOOLS | maybe(**{"except": st.just("10.0.0.0/8"), "header": TOKENS}),
    "forwardfor": FORWARDFOR,
    "compression": st.just(False)
    | maybe(
        algo=st.lists(st.sampled_from(["gzip", "deflate", "identity"]), min_size=1, max_size=2),
        type=st.sampled_from(["text/", ["text/html", "application/json"]]),
        offload=BOOLS,
    ),
    "http_server_close": BOOLS,
    "httpclose": BOOLS,
    "http_buffer_request": BOOLS,
}
TABLE = maybe(
    type=st.sampled_from(["ip", "string"]),
    size=st.sampled_from([5, "3k"]),
    expire=DURATIONS,
    nopurge=BOOLS,
    store=st.sampled_from(["gpc0", ["conn_rate(9s)", "gpt(2)"]]),
)
FRONTEND = {
    **COMMON,
    "maxconn": NUMBERS,
    "http_body_min_rate": NUMBERS,
    "http_limits": maybe(
        request_line=st.integers(256, 1024), head=st.integers(1024, 65536), headers=st.integers(10, 1000)
    ),
    "log_format": st.sampled_from(["httplog", "tcplog", "clf", "json", "%ci:%cp %{+Q}[src]", False]),
    "unique_id_format": st.sampled_from(["%{+X}o%ci:%rt", "%ID-${x}".replace("${", "$${"), False]),
    "dontlognull": BOOLS,
    "dontlog_normal": BOOLS,
    "logasap": BOOLS,
    "log_tag": TOKENS.map(lambda text: text.replace("$", "")).filter(bool),
    "log_separate_errors": BOOLS,
    "rate_limit_sessions": NUMBERS,
    "backlog": NUMBERS,
    "clitcpka": BOOLS,
    "tcpka": BOOLS,
    "tcp_request_inspect_delay": DURATIONS,
    "timeout": maybe(
        http_request=DURATIONS, client=DURATIONS, http_keep_alive=DURATIONS, client_fin=DURATIONS
    ),
}
BACKEND = {
    **COMMON,
    "balance": st.sampled_from(
        [
            *("static-rr", "leastconn", "first", "source", "random(3)", "url_param a"),
            *("uri len 9 depth 2 whole path-only", "hdr(Host) use_domain_only"),
            'hash path,regsub("a$${x}",b)',
        ]
    ),
    "hash_type": st.sampled_from(["map-based", "consistent", "consistent sdbm", "map-based crc32 avalanche"]),
    "hash_balance_factor": st.sampled_from([0, 101, 150]),
    "allbackups": BOOLS,
    "retries": st.integers(0, 9),
    "http_reuse": st.sampled_from(["never", "safe", "aggressive", "always"]),
    "forwarded": BOOLS | st.sampled_from(["for", ["by", "by_port", "host"]]),
    "redispatch": BOOLS | st.integers(-9, 9),
    "retry_on": st.sampled_from(["none", 503, ["conn-failure", "empty-response", 404, "504"]]),
    "fullconn": NUMBERS,
    "abortonclose": BOOLS,
    "httpchk": BOOLS
    | maybe(
        method=st.just("GET"),
        uri=st.sampled_from(["/", "/${x}"]),
        version=st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
        headers=st.just({"Host": "a ${b} $${c}"}),
    ),
    "cookie": st.just(False)
    | TOKENS
    | st.fixed_dictionaries(
        {"name": TOKENS}, optional={"mode": st.just("insert"), "indirect": BOOLS, "domain": st.just("a.b")}
    ),
    "srvtcpka": BOOLS,
    "timeout": maybe(
        connect=DURATIONS,
        server=DURATIONS,
        check=DURATIONS,
        queue=DURATIONS,
        tunnel=DURATIONS,
        server_fin=DURATIONS,
    ),
}
QUERY = {"query": st.just('SELECT ${x} "a"'.replace("${", "$${")), "expect": TOKENS}
HTTP_CHECK = maybe(
    uri=st.just("/a"),
    body=TOKENS,
    headers=st.just({"Host": "a b"}),
    expect=st.sampled_from(["status 200", ["string 'a b'", "! rstring x\\ y"]]),
    digest=st.just("0" * 32),
)
KIND_TABLES = st.one_of(
    maybe(icmp=maybe(count=st.integers(1, 100), loss=st.integers(0, 99))),
    st.fixed_dictionaries(
        {"udp": st.fixed_dictionaries({"payload": st.just("\\x00a\\\\ ")}, optional={"reply": TOKENS})}
    ),
    st.just({"tcp_check": ["connect", "send a\\r\\n", "expect comment 'x y' ! rbinary ^00", "connect ssl"]}),
    st.fixed_dictionaries({"dns": maybe(name=st.just("a.example"), type=st.just("TXT"), expect=TOKENS)}),
    st.fixed_dictionaries({"smtp": maybe(hello=st.just("EHLO"), domain=st.just("a.example"))}),
    st.fixed_dictionaries(
        {"mysql": st.fixed_dictionaries({"user": TOKENS, **QUERY}, optional={"password": TOKENS})}
    ),
    st.fixed_dictionaries(
        {
            "pgsql": st.fixed_dictionaries(
                QUERY, optional={"user": TOKENS, "password": TOKENS, "database": TOKENS}
            )
        }
    ),
    st.fixed_dictionaries({"redis": maybe(user=TOKENS, password=TOKENS, role=st.just("slave"))}),
    st.fixed_dictionaries({"type": st.sampled_from(["ldap", "ftp", "ssl_hello"])}),
    st.fixed_dictionaries(
        {
            "external": st.fixed_dictionaries(
                {"command": st.just(["/bin/x", "a b"])}, optional={"dynamic": BOOLS}
            )
        }
    ),
    st.just({"file": {"file": "/run/x"}}),
    st.fixed_dictionaries(
        {"http": HTTP_CHECK, "urls": st.lists(HTTP_CHECK, max_size=2), "ssl": st.just(True)}
    ),
)
CHECK = (
    BOOLS
    | maybe(
        type=st.sampled_from(["icmp", "tcp", "http"]),
        addr=st.sampled_from(["192.0.2.9", "2001:db8::9", "a.example"]),
        inter=DURATIONS,
        fastinter=DURATIONS,
        downinter=DURATIONS,
        rise=NUMBERS,
        fall=NUMBERS,
        delay_before_retry=DURATIONS,
        warmup=DURATIONS,
        jitter=st.integers(0, 50),
        init_state=st.sampled_from(["up", "fully-up", "down", "fully-down"]),
        shared=BOOLS,
        send_proxy=BOOLS,
    )
    | KIND_TABLES
)
SERVER = st.fixed_dictionaries(
    {"address": st.sampled_from(["192.0.2.1:80", "[2001:db8::1]:80", "a.example:80"])},
    optional={
        "weight": st.integers(0, 256),
        "cookie": TOKENS,
        "maxconn": NUMBERS,
        "minconn": NUMBERS,
        "maxqueue": NUMBERS,
        "backup": BOOLS,
        "slowstart": DURATIONS,
        "disabled": BOOLS,
        "check": CHECK,
        "error_limit": NUMBERS,
        "on_error": st.sampled_from(["fastinter", "fail-check", "sudden-death", "mark-down"]),
        "on_marked_down": st.just("shutdown-sessions"),
        "on_marked_up": st.just("shutdown-backup-sessions"),
        "agent_check": st.fixed_dictionaries(
            {"port": st.just(9777)},
            optional={"addr": st.just("192.0.2.9"), "inter": DURATIONS, "send": st.just("a\\n")},
        ),
        "send_proxy": BOOLS | st.sampled_from(["v1", "v2"]),
    },
)
BINDS = st.sampled_from(
    [
        "*:80",
        {"address": "*:80", "accept_proxy": True},
        {"address": "/run/${x}", "accept_proxy": ["10.0.0.0/8", "::1"]},
        {"address": "*:80", "accept_proxy": False},
    ]
)
ADDRESSES = (
    st.just("192.0.2.1/24")
    | st.fixed_dictionaries({"address": st.just("192.0.2.1/24")}, optional={"scope": st.just("link")})
    | st.fixed_dictionaries(
        # A label begins with the interface's name, and with use_vmac that is not eth0 unless said.
        {"address": st.just("192.0.2.1/24"), "dev": st.just("eth0")},
        optional={"scope": st.just("link"), "label": st.just("eth0:$1")},
    )
).map(lambda one: [one])
VRRP = st.fixed_dictionaries(
    {"interface": st.just("eth0"), "virtual_router_id": st.just(7), "addresses": ADDRESSES},
    optional={
        "priority": st.integers(2, 253),  # at the ends of 1..254 a weight could move nothing: an error
        "advert_interval": st.integers(1, 4095).map(lambda centiseconds: centiseconds * 10),
        "state": st.sampled_from(["MASTER", "BACKUP"]),
        "startup_delay": DURATIONS,
        "down_timer_adverts": st.integers(1, 100),
        "skew": BOOLS,
        "preempt": BOOLS,
        "preempt_delay": DURATIONS,
        "source_address": st.just("192.0.2.2"),
        "unicast_peers": st.just(["192.0.2.3"]),
        "multicast": st.just(True),
        "checksum": st.sampled_from(["auto", "pseudo", "rfc9568"]),
        "garp_count": st.integers(1, 100),
        "garp_delay": st.just(0) | DURATIONS,
        "garp_refresh": DURATIONS,
        "garp_lower_prio_repeat": st.integers(1, 100),
        "garp_lower_prio_delay": st.just(0) | DURATIONS,
        "garp_interval": st.just(0) | DURATIONS,
        "gna_interval": st.just(0) | DURATIONS,
        "use_vmac": st.booleans(),
        "vmac_interface": st.just("eth0:$1"),
        "accept": st.booleans(),
        "promote_secondaries": st.booleans(),
        "track": st.sampled_from(["backend.web", "backend.web>=1 weight -20 reverse"]),
    },
)
DEFAULTS = maybe(**{key: value for key, value in (FRONTEND | BACKEND).items() if key != "timeout"})
FILES = st.fixed_dictionaries(
    {
        "node": st.fixed_dictionaries(
            {"name": st.just("a")},
            optional={
                "maxconn": NUMBERS,
                "maxcomprate": NUMBERS,
                "workers": st.integers(0, 64),
                "log_tag": TOKENS.map(lambda text: text.replace("$", "")).filter(bool),
                "log_send_hostname": BOOLS | st.just("lb-a"),
                "hard_stop_after": DURATIONS,
                "guard_timeout": DURATIONS,
                "pidfile": st.sampled_from(["/run/$x", "/run/$${x}"]),
                "log": st.lists(
                    st.fixed_dictionaries(
                        {"target": st.sampled_from(["[::1]:514", "tcp@[::1]:601"])},
                        optional={
                            "level": st.just("err"),
                            "minlevel": st.just("crit"),
                            "format": st.sampled_from(["local", "rfc5424", "short"]),
                        },
                    ),
                    max_size=2,
                ),
            },
        ),
        "vrrp": st.dictionaries(st.just("v.1"), VRRP, max_size=1),
        "defaults": DEFAULTS,
        "stick_table": st.dictionaries(st.just("marked"), TABLE, max_size=1),
        "frontend": st.dictionaries(
            st.just("main"),
            st.fixed_dictionaries(
                {"bind": BINDS, "mode": st.just("http"), "default_backend": st.just("web")},
                optional={key: value for key, value in FRONTEND.items() if key != "mode"}
                | {
                    "stick_table": TABLE,
                    "acl": st.dictionaries(
                        ACL_NAMES, PRINTABLE.filter(lambda text: "${" not in text), max_size=2
                    ),
                    "use_backend": st.just([{"backend": "web", "if": "x $${y}"}, {"backend": "web"}]),
                    "stats": BOOLS | st.just({"uri": "/", "auth": ["a:$${b}:c"]}),
                },
            ),
            max_size=1,
        ),
        "backend": st.fixed_dictionaries(
            {
                "web": st.fixed_dictionaries(
                    {
                        "mode": st.just("http"),
                        "server": st.dictionaries(st.sampled_from("abc"), SERVER, min_size=1),
                    },
                    optional={key: value for key, value in BACKEND.items() if key != "mode"},
                )
            }
        ),
    }
)


@given(FILES)
@settings(deadline=None)
def test_whatever_loads_is_shown_and_loads_again_to_the_same(tree):
    text = tomli_w.dumps(tree).replace('"/${x}"', '"/$${x}"').replace("a ${b}", "a $${b}")
    text = text.replace("/run/${x}", "/run/$${x}")
    config = load_text(text, "written", {}).config
    again = load_text(show(config), "shown", {}).config
    assert again == config
    assert show(again) == show(config)
