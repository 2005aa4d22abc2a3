"""node.toml as a whole: golden cases, every mistake at once, what is inherited, what configs/ says."""

from __future__ import annotations

import re
import tomllib
from math import inf
from pathlib import Path

import pytest
import tomli_w
from config.golden import CASES, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from hapair.config import model, written
from hapair.config.load import load, load_text
from hapair.config.model import CheckKind, ForwardFor, HttpCheck, LogFormat, Mode
from hapair.config.problems import render
from hapair.config.shape import keys
from hapair.errors import ConfigError
from hapair.rules.acl import acl_mistake, condition_mistake
from hapair.rules.actions import rule_mistake

CONFIGS = Path(__file__).parents[2] / "configs"
NODE = '[node]\nname = "a"\n'


def problems(text: str, **more):
    with pytest.raises(ConfigError) as caught:
        load_text(text, "node.toml", {}, **more)
    return [
        (problem.line, problem.column, problem.path, problem.message) for problem in caught.value.problems
    ]


def config(text: str, environ=None):
    return load_text(NODE + text, "node.toml", environ or {}).config


@pytest.mark.parametrize("case", sorted(CASES.glob("*.toml")), ids=lambda path: path.stem)
def test_each_broken_file_gets_the_answer_on_record(case):
    assert outcome(case) == case.with_suffix(".err").read_text()


def test_no_answer_on_record_repeats_a_password():
    for case in CASES.glob("*.err"):
        assert "s3cret" not in case.read_text()
    assert "s3cret" in (CASES / "secrets.toml").read_text()


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_valid_without_a_warning(path):
    loaded = load(
        path, {}, acl_mistake=acl_mistake, condition_mistake=condition_mistake, rule_mistake=rule_mistake
    )
    assert loaded.warnings == ()
    assert loaded.source == path.read_text()


def test_the_pair_differs_in_name_and_priority_only():
    a = load(CONFIGS / "pair/lb-a.toml", {}).config
    b = load(CONFIGS / "pair/lb-b.toml", {}).config
    assert (a.node.name, b.node.name) == ("lb-a", "lb-b")
    assert a.vrrp["web"].priority > b.vrrp["web"].priority
    assert (a.frontends, a.backends, a.api) == (b.frontends, b.backends, b.api)


def test_the_reference_names_every_key():
    text = (CONFIGS / "reference.toml").read_text()
    loaded = load(CONFIGS / "reference.toml", {}).config
    assert loaded.vrrp
    assert loaded.frontends
    words = set(re.findall(r"[a-z_0-9]+", text))
    for cls in (
        model.Node,
        model.Log,
        model.Api,
        model.Email,
        model.VrrpInstance,
        model.Cookie,
        model.ForwardFor,
        model.HttpCheck,
        model.Stats,
        model.UseBackend,
        written.DefaultsTable,
        written.AllTimeouts,
        written.FrontendTable,
        written.BackendTable,
        written.ServerTable,
        written.CheckTable,
    ):
        for key in keys(cls):
            assert key in words, f"{cls.__name__}: {key}"


def test_the_seed_pair_means_what_the_haproxy_cfg_meant():
    loaded = load(CONFIGS / "pair/lb-a.toml", {}).config
    main, web = loaded.frontends["main"], loaded.backends["web"]
    assert (main.mode, web.mode) == (Mode.HTTP, Mode.HTTP)
    assert (main.maxconn, loaded.node.maxconn) == (3000, 4000)
    assert (main.timeout.client, main.timeout.http_request, main.timeout.http_keep_alive) == (60, 10, 10)
    assert (web.timeout.connect, web.timeout.server, web.timeout.queue, web.timeout.check) == (10, 60, 60, 10)
    assert web.redispatch == -1
    assert web.retries == 3
    assert main.forwardfor == web.forwardfor == ForwardFor(exceptions=main.forwardfor.exceptions)
    assert [str(net) for net in main.forwardfor.exceptions] == ["127.0.0.0/8"]
    assert [(s.name, s.id, s.weight, s.cookie) for s in web.servers] == [
        ("web1", 1, 6, "server1"),
        ("web2", 2, 6, "server2"),
    ]
    for server in web.servers:
        assert server.check.kind is CheckKind.HTTP
        assert server.check.http == HttpCheck("GET", "/index.php", "HTTP/1.0")
        assert (server.check.inter, server.check.rise, server.check.fall) == (2, 2, 3)


def test_what_is_said_in_place_counts_more_than_defaults():
    loaded = config("""
[defaults]
mode = "http"
forwardfor = true
httpchk = true
cookie = "A"
log_format = "httplog"
retries = 7
http_server_close = true
timeout = { client = "1s", server = "2s", connect = "3s", queue = "4s" }
[frontend.same]
bind = "*:1"
[frontend.other]
bind = "*:2"
mode = "tcp"
forwardfor = false
log_format = false
http_server_close = false
timeout = { client = "9s" }
[backend.same]
server.a = { address = "127.0.0.1:1", check = true }
[backend.other]
mode = "tcp"
httpchk = false
cookie = false
forwardfor = { header = "X" }
retries = 0
timeout = { server = "8s" }
server.a = { address = "127.0.0.1:1", check = true }
server.b = { address = "127.0.0.1:2", check = { type = "http" } }
""")
    same, other = loaded.frontends["same"], loaded.frontends["other"]
    assert (same.mode, same.forwardfor, same.log_format) == (Mode.HTTP, ForwardFor(), LogFormat.HTTPLOG)
    assert same.http_server_close
    assert same.timeout.client == 1
    assert (other.mode, other.forwardfor, other.log_format) == (Mode.TCP, None, None)
    assert not other.http_server_close
    assert other.timeout.client == 9
    same, other = loaded.backends["same"], loaded.backends["other"]
    assert (same.cookie.name, same.retries, same.servers[0].check.kind) == ("A", 7, CheckKind.HTTP)
    assert (same.timeout.server, same.timeout.connect, same.timeout.queue) == (2, 3, 4)
    assert (other.cookie, other.retries, other.servers[0].check.kind) == (None, 0, CheckKind.TCP)
    assert other.servers[1].check.http == HttpCheck()
    assert other.forwardfor == ForwardFor(header="X")
    assert (other.timeout.server, other.timeout.connect, other.timeout.queue) == (8, 3, 4)


def test_timeouts_fall_back_as_in_haproxy():
    loaded = config("""
[frontend.main]
bind = "*:1"
timeout = { http_request = "5s" }
[backend.web]
timeout = { connect = "3s" }
""")
    assert loaded.frontends["main"].timeout.http_keep_alive == 5
    assert loaded.frontends["main"].timeout.client == inf
    assert loaded.backends["web"].timeout.queue == 3
    assert loaded.backends["web"].timeout.check == inf


def test_a_frontend_without_maxconn_may_use_the_whole_process():
    text = '[node]\nname = "a"\nmaxconn = 77\n[frontend.main]\nbind = "*:1"\n'
    assert load_text(text, "node.toml", {}).config.frontends["main"].maxconn == 77


def test_httplog_in_tcp_mode_becomes_tcplog():
    loaded = config('[frontend.main]\nbind = "*:1"\nlog_format = "httplog"\n')
    assert loaded.frontends["main"].log_format is LogFormat.TCPLOG


def test_the_environment_gives_numbers_too():
    numbers = 'virtual_router_id = "${ID}"\npriority = "${P-90}"\n'
    text = f'[vrrp.v]\ninterface = "eth0"\naddresses = ["192.0.2.1"]\n{numbers}'
    instance = config(text, {"ID": "12"}).vrrp["v"]
    assert (instance.virtual_router_id, instance.priority) == (12, 90)


def test_a_mistake_in_a_rule_is_at_its_place_in_the_string():
    text = (
        NODE
        + '[frontend.main]\nbind = "*:1"\nacl.a = ["x", "abc def"]\n'
        + 'use_backend = [{ backend = "b", if = "a zz" }]\n[backend.b]\n'
    )
    seen = []

    def acl(expression):
        return (4, "no def") if "def" in expression else None

    def condition(text, names):
        seen.append((text, list(names)))
        return 2, "no zz"

    assert problems(text, acl_mistake=acl, condition_mistake=condition) == [
        (5, 20, "frontend.main.acl.a[1]", "no def"),
        (6, 41, "frontend.main.use_backend[0].if", "no zz"),
    ]
    assert seen == [("a zz", ["a"])]


def test_a_mistake_in_a_rule_with_escapes_or_variables_is_at_the_value():
    text = NODE + '[frontend.main]\nbind = "*:1"\nacl.a = ["x\\u0020def", "${X-y} def"]\n'
    found = problems(text, acl_mistake=lambda expression: (len(expression) - 1, "no"))
    assert [(line, column) for line, column, _, _ in found] == [(5, 10), (5, 24)]


def test_a_broken_table_hides_nothing_and_causes_nothing():
    """The typo in backend web is told; that main uses it is fine; main's own mistake is told."""
    found = problems(
        NODE
        + '[frontend.main]\nbind = "*:1"\nmode = "http"\ndefault_backend = "web"\n'
        + 'use_backend = [{ backend = "nowhere" }]\n[backend.web]\nmoed = "http"\n'
    )
    assert [(path, message.split(";")[0]) for _, _, path, message in found] == [
        ("frontend.main.use_backend[0].backend", 'there is no backend "nowhere"'),
        ("backend.web.moed", "unknown key"),
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("x = ", (1, 5), "invalid value"),
        ("[node]\nname = 'a", (2, 10), "at the end of the file"),
        ("x = " + "[" * 5000, (1, 1), "nested too deeply"),
        ("x = " + "9" * 5000, (1, 1), "not TOML"),
        ("a.b = 1\na.b.c = 2\n", (2, 10), "overwrite"),
    ],
)
def test_what_is_not_toml_is_a_problem_with_a_place(text, place, words):
    [(line, column, path, message)] = problems(text)
    assert ((line, column), path) == (place, "")
    assert words in message


def test_a_file_that_is_not_utf8_says_where(tmp_path):
    path = tmp_path / "node.toml"
    path.write_bytes('[node]\nname = "ä'.encode() + b"\xff" + b'"\n')
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    [problem] = caught.value.problems
    assert (problem.line, problem.column) == (2, 10)
    assert "0xff" in problem.message


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml", {})


def test_nothing_but_a_name_is_a_node():
    loaded = load_text(NODE, "node.toml", {})
    assert loaded.config.node.name == "a"
    assert (dict(loaded.config.frontends), dict(loaded.config.backends), dict(loaded.config.vrrp)) == (
        {},
        {},
        {},
    )
    assert loaded.warnings == ()


def test_an_empty_file_lacks_the_name():
    assert problems("") == [(1, 1, "node.name", "this key is required")]


ANYTHING = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.text(max_size=8)
    | st.sampled_from(["${", "[::]:80", "*:1", "1s", "backend.web>=9", "/x", "a:b", "GET /", "\0name"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)


def places(tree):
    """Every place in a tree, as the container and the key in it."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


@given(st.data())
@settings(deadline=None)
def test_whatever_stands_anywhere_is_loaded_or_refused_with_a_place(data):
    """No other exception, whatever an operator writes where."""
    tree = tomllib.loads((CONFIGS / "reference.toml").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(tree))))
        container[key] = data.draw(ANYTHING)
    text = tomli_w.dumps(tree)
    try:
        load_text(
            text,
            "f",
            {},
            acl_mistake=acl_mistake,
            condition_mistake=condition_mistake,
            rule_mistake=rule_mistake,
        )
    except ConfigError as error:
        lines = text.split("\n")
        for problem in error.problems:
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
            assert problem.path
            assert render(problem, text).startswith(f"f:{problem.line}:")


def test_a_backend_with_moving_limits_is_full_at_a_tenth_of_what_may_come_in() -> None:
    """HAProxy's rule: each frontend counts once, however many of its rules lead there."""
    text = """
        node = { name = "a", maxconn = 999 }
        frontend.a.bind = "*:80"
        frontend.a.maxconn = 301
        frontend.a.default_backend = "be"
        frontend.a.use_backend = [{ backend = "be", if = "METH_GET" }]
        frontend.b = { bind = "*:81", maxconn = 100, default_backend = "be" }
        frontend.c = { bind = "*:82", default_backend = "other" }
        backend.be.server.s = { address = "192.0.2.1:80", minconn = 1, maxconn = 5 }
        backend.other.server.s = { address = "192.0.2.1:80", maxconn = 5 }
    """
    backends = load_text(text, "a.toml", {}).config.backends
    assert backends["be"].fullconn == 41
    assert backends["other"].fullconn is None
