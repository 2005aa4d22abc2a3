"""`balance`, `hash_type` and what does not go with them."""

from __future__ import annotations

import pytest

from hapair.config.balancing import balance, balance_factor, hash_type, spell_balance, spell_hash_type
from hapair.config.fields import FieldError
from hapair.config.load import load_text
from hapair.config.model import Balance, HashType
from hapair.errors import ConfigError
from hapair.rules.actions import rule_mistake

NODE = """
[node]
name = "a"
[backend.web]
mode = "{mode}"
timeout = {{ connect = "1s", server = "1s" }}
server.one = {{ address = "192.0.2.1:80"{server} }}
{lines}
"""


def load(lines: str, mode: str = "http", server: str = ""):
    text = NODE.format(lines=lines, mode=mode, server=server)
    return load_text(text, "node.toml", {}, rule_mistake=rule_mistake)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("leastconn", Balance("leastconn")),
        ("uri len 9 whole", Balance("uri", length=9, whole=True)),
        ("uri depth 2 path-only", Balance("uri", depth=2, path_only=True)),
        ("hdr(Host) use_domain_only", Balance("hdr", name="host", domain_only=True)),
        ("url_param userid", Balance("url_param", name="userid")),
        ("random", Balance("random")),
        ("random(4)", Balance("random", draws=4)),
        ("hash req.cookie(id),lower", Balance("hash", expression="req.cookie(id),lower")),
    ],
)
def test_an_algorithm_is_read_and_spelt(text, meant):
    assert balance(text) == meant
    assert balance(spell_balance(meant)) == meant


@pytest.mark.parametrize(
    ("text", "why", "offset"),
    [
        ("leastcon", 'did you mean "leastconn"', None),
        ("uri depht 2", 'did you mean "depth"', 4),
        ("uri len", "whole number", 4),
        ("hdr", "name a header", None),
        ("hdr(Host) domain", "use_domain_only", 10),
        ("url_param", "name a parameter", None),
        ("random(0)", "1..100", 7),
        ("source now", "no more words", 7),
        ("first(2)", "nothing in parentheses", 5),
        ("hash", "sample expression", None),
    ],
)
def test_a_mistake_is_told_with_its_place(text, why, offset):
    with pytest.raises(FieldError, match=why.replace("(", "\\(")) as caught:
        balance(text)
    assert caught.value.offset == offset


def test_a_consistent_hash_is_spread_unless_its_function_is_named():
    assert hash_type("consistent") == HashType(True, "sdbm", True)
    assert hash_type("consistent sdbm") == HashType(True, "sdbm", False)
    for one in ("map-based", "consistent", "map-based wt6 avalanche", "consistent crc32"):
        assert spell_hash_type(hash_type(one)) == one
    for wrong in ("consistant", "consistent sdb", "consistent sdbm avalance"):
        with pytest.raises(FieldError):
            hash_type(wrong)


def test_a_bound_is_above_the_average():
    assert [balance_factor(percent) for percent in (0, 101, 150)] == [0, 101, 150]
    for wrong in (50, 100, True, "150"):
        with pytest.raises(FieldError):
            balance_factor(wrong)


def test_there_are_no_requests_to_hash_in_tcp_mode():
    with pytest.raises(ConfigError) as caught:
        load('balance = "uri"', mode="tcp")
    assert [one.message for one in caught.value.problems] == ['uri needs requests: mode = "http"']


def test_a_sample_that_is_wrong_is_told_at_its_column():
    with pytest.raises(ConfigError) as caught:
        load('balance = "hash path,lowr"')
    (problem,) = caught.value.problems
    assert problem.message.startswith("unknown converter 'lowr'")
    assert (problem.line, problem.column) == (8, len('balance = "hash path,') + 1)


@pytest.mark.parametrize(
    ("lines", "server", "why"),
    [
        ('hash_type = "consistent"', "", "roundrobin hashes nothing"),
        ('balance = "uri"\nhash_balance_factor = 150', "", "no effect without hash_type"),
        ('balance = "static-rr"', ', slowstart = "9s"', "weights do not move"),
    ],
)
def test_what_has_no_effect_is_told(lines, server, why):
    assert any(why in problem.message for problem in load(lines, server=server).warnings)
