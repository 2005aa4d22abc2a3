"""The configuration as it is understood loads again to the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
from config.golden import CASES
from hypothesis import given
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
COMMON = {"mode": st.just("http"), "forwardfor": FORWARDFOR, "http_server_close": BOOLS}
FRONTEND = {
    **COMMON,
    "maxconn": NUMBERS,
    "log_format": st.sampled_from(["httplog", "tcplog", False]),
    "dontlognull": BOOLS,
    "timeout": maybe(http_request=DURATIONS, client=DURATIONS, http_keep_alive=DURATIONS),
}
BACKEND = {
    **COMMON,
    "retries": st.integers(0, 9),
    "redispatch": BOOLS,
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
    "timeout": maybe(connect=DURATIONS, server=DURATIONS, check=DURATIONS, queue=DURATIONS),
}
CHECK = BOOLS | maybe(
    type=st.sampled_from(["icmp", "tcp", "http"]),
    addr=st.sampled_from(["192.0.2.9", "2001:db8::9", "a.example"]),
    inter=DURATIONS,
    fastinter=DURATIONS,
    downinter=DURATIONS,
    rise=NUMBERS,
    fall=NUMBERS,
)
SERVER = st.fixed_dictionaries(
    {"address": st.sampled_from(["192.0.2.1:80", "[2001:db8::1]:80", "a.example:80"])},
    optional={
        "weight": st.integers(0, 256),
        "cookie": TOKENS,
        "maxconn": NUMBERS,
        "maxqueue": NUMBERS,
        "backup": BOOLS,
        "disabled": BOOLS,
        "check": CHECK,
    },
)
VRRP = st.fixed_dictionaries(
    {"interface": st.just("eth0"), "virtual_router_id": st.just(7), "addresses": st.just(["192.0.2.1/24"])},
    optional={
        "priority": st.integers(2, 253),  # at the ends of 1..254 a weight could move nothing: an error
        "advert_interval": st.integers(1, 4095).map(lambda centiseconds: centiseconds * 10),
        "state": st.sampled_from(["MASTER", "BACKUP"]),
        "startup_delay": DURATIONS,
        "down_timer_adverts": st.integers(1, 100),
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
                "hard_stop_after": DURATIONS,
                "guard_timeout": DURATIONS,
                "pidfile": st.sampled_from(["/run/$x", "/run/$${x}"]),
                "log": st.lists(
                    st.fixed_dictionaries(
                        {"target": st.just("[::1]:514")}, optional={"level": st.just("err")}
                    ),
                    max_size=2,
                ),
            },
        ),
        "vrrp": st.dictionaries(st.just("v.1"), VRRP, max_size=1),
        "defaults": DEFAULTS,
        "frontend": st.dictionaries(
            st.just("main"),
            st.fixed_dictionaries(
                {"bind": st.just("*:80"), "mode": st.just("http"), "default_backend": st.just("web")},
                optional={key: value for key, value in FRONTEND.items() if key != "mode"}
                | {
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
def test_whatever_loads_is_shown_and_loads_again_to_the_same(tree):
    text = tomli_w.dumps(tree).replace('"/${x}"', '"/$${x}"').replace("a ${b}", "a $${b}")
    config = load_text(text, "written", {}).config
    again = load_text(show(config), "shown", {}).config
    assert again == config
    assert show(again) == show(config)
