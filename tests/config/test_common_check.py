"""What all checks of a backend, or of the node, have in common is written once."""

from __future__ import annotations

import pytest

from hapair.config.asks import RedisCheck
from hapair.config.load import load_text
from hapair.config.model import Check, CheckKind

HEAD = '[node]\nname = "a"\n[frontend.f]\nbind = "127.0.0.1:80"\ndefault_backend = "b"\n'


def check(server: str, *, defaults: str = "", backend: str = "") -> Check | None:
    """The check of the only server."""
    text = f"{HEAD}[defaults]\n{defaults}\n[backend.b]\n{backend}\n"
    text += f'server.s = {{ address = "192.0.2.1:80"{server and ", "}{server} }}\n'
    (one,) = load_text(text, "node.toml", {}).config.backends["b"].servers
    return one.check


def test_without_it_a_server_is_not_checked():
    assert check("") is None
    assert check("check = true") == Check()


@pytest.mark.parametrize("where", ["defaults", "backend"])
def test_it_checks_every_server(where):
    assert check("", **{where: "check = true"}) == Check()
    assert check("", **{where: 'check = { inter = "1s", rise = 5 }'}) == Check(inter=1.0, rise=5)


@pytest.mark.parametrize("where", ["defaults", "backend"])
def test_a_server_can_do_without(where):
    assert check("check = false", **{where: "check = true"}) is None


def test_a_backend_can_do_without():
    assert check("", defaults="check = true", backend="check = false") is None
    assert check("check = { fall = 1 }", defaults="check = { rise = 9 }", backend="check = false") == Check(
        fall=1
    )


def test_the_nearest_word_counts():
    found = check(
        'check = { inter = "1s" }',
        backend='check = { inter = "2s", rise = 4 }',
        defaults='check = { inter = "3s", rise = 5, fall = 6, shared = false }',
    )
    assert found == Check(inter=1.0, rise=4, fall=6, shared=False)


def test_a_kind_is_taken_with_what_is_said_of_it():
    found = check("check = true", defaults='check = { redis = { role = "master" }, ssl = true }')
    assert found is not None
    assert (found.kind, found.ask) == (CheckKind.REDIS, RedisCheck(role="master"))
    assert found.tls is not None


def test_another_kind_takes_the_terms_only():
    found = check(
        'check = { type = "ldap" }',
        defaults='check = { redis = { role = "master" }, inter = "9s" }',
    )
    assert found == Check(CheckKind.LDAP, inter=9.0)


def test_the_same_kind_keeps_what_is_said_of_it():
    found = check('check = { type = "redis" }', defaults='check = { redis = { role = "master" } }')
    assert found is not None
    assert found.ask == RedisCheck(role="master")
