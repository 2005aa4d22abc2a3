"""A mistake is found where it is: file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from hapair.config.load import load_text
from hapair.config.locate import Lines, locate
from hapair.config.problems import Problem
from hapair.errors import ConfigError
from hapair.rules.acl import acl_mistake, condition_mistake
from hapair.rules.actions import rule_mistake

REFERENCE = Path(__file__).parents[2] / "configs" / "reference.toml"
HERE = "»"
"""Stands before what is wrong."""
REST = """
[node]
name = "n"
log = {{ target = "stdout" }}
[defaults]
mode = "{mode}"
timeout = {{ client = "1s", server = "1s", connect = "1s" }}
"""
FRONTEND = '[frontend.f]\nbind = "*:80"\ndefault_backend = "b"\n'
BACKEND = '[backend.b]\nserver.s = { address = "192.0.2.1:80" }\n'
HEADER = "[backend.b]\n"
BEGUN = '[frontend.f]\nbind = "*:80"\n'


def problems(text: str) -> tuple[Problem, ...]:
    try:
        return load_text(
            text,
            "node.toml",
            {},
            acl_mistake=acl_mistake,
            condition_mistake=condition_mistake,
            rule_mistake=rule_mistake,
        ).warnings
    except ConfigError as error:
        return error.problems


MISTAKES = [
    # what has no effect in this mode, or without something else
    ("tcp", FRONTEND + "log_format = »'clf'\n" + BACKEND, "needs mode"),
    ("tcp", FRONTEND + "log_format = »'httpslog'\n" + BACKEND, "needs mode"),
    ("tcp", FRONTEND + "originalto = »true\n" + BACKEND, "no effect"),
    ("tcp", FRONTEND + "forwardfor = »true\n" + BACKEND, "no effect"),
    ("tcp", FRONTEND + "httpclose = »true\n" + BACKEND, "no effect"),
    ("tcp", FRONTEND + BACKEND + "originalto = »true\n", "no effect"),
    ("tcp", FRONTEND + BACKEND + "forwarded = »true\n", "no effect"),
    ("tcp", FRONTEND + BACKEND + "retry_on = »['conn-failure']\n", "no effect"),
    ("http", FRONTEND + "tcp_request_inspect_delay = »'5s'\n" + BACKEND, "no effect"),
    ("http", FRONTEND + "http_limits = { head = 2000, request_line = »3000 }\n" + BACKEND, "never reached"),
    ("http", FRONTEND + "maxconn = »999999\n" + BACKEND, "never reached"),
    ("http", FRONTEND + "unique_id_header = »'X-Id'\n" + BACKEND, "unique_id_format"),
    ("http", FRONTEND + HEADER + "server.s = { address = '192.0.2.1:80', maxqueue = »5 }\n", "no effect"),
    (
        "http",
        FRONTEND + HEADER + "server.s = { address = '192.0.2.1:80', maxconn = 5, minconn = »5 }\n",
        "always 5",
    ),
    ("http", FRONTEND + BACKEND + "fullconn = »5\n", "no effect"),
    ("http", FRONTEND + BACKEND + "hash_type = »'consistent'\n", "no effect"),
    ("http", FRONTEND + BACKEND + "hysteresis = »1\n", "no effect"),
    ("tcp", FRONTEND + BACKEND + "balance = »'uri'\n", "needs requests"),
    # names that lead nowhere
    ("http", BEGUN + "default_backend = »'c'\n" + BACKEND, "there is no backend"),
    ("http", FRONTEND + "use_backend = [{ backend = »'c' }]\n" + BACKEND, "there is no backend"),
    ("http", FRONTEND + "use_backend = [{ backend = 'b', if = '»x' }]\n" + BACKEND, "there is no acl"),
    ("http", FRONTEND + BACKEND + "sorry_server = »'t'\n", "there is no server"),
    ("http", FRONTEND + BACKEND + "use_server = [{ server = »'t', if = 'TRUE' }]\n", "there is no server"),
    # inside of texts
    ("http", FRONTEND + "http_request = ['deny if { »pth /x }']\n" + BACKEND, "unknown fetch"),
    ("http", FRONTEND + "acl.a = ['»pth /x']\n" + BACKEND, "unknown fetch"),
    ("http", FRONTEND + "http_request = ['»dny']\n" + BACKEND, "unknown action"),
    ("http", FRONTEND + "log_format = '%ci »%zz'\n" + BACKEND, "%zz"),
    ("tcp", FRONTEND + "log_format = '%ci »%ST'\n" + BACKEND, "needs mode"),
    ("http", FRONTEND + "unique_id_format = '»%B'\n" + BACKEND, "%B"),
    ("http", FRONTEND + BACKEND + "http_request = ['set-header X %[»zz]']\n", "unknown fetch"),
    # spelling
    ("http", "[frontend.f]\nbind = »'80'\n" + BACKEND, "expected"),
    ("http", "[frontend.f]\nbind = ['*:80', »'*:']\n" + BACKEND, "expected"),
    ("http", "[frontend.f]\nbind = ':»99999'\n" + BACKEND, "outside 1..65535"),
    ("http", FRONTEND + "»bnd = 1\n" + BACKEND, "unknown key"),
    ("http", FRONTEND + "timeout = { client = »'1 parsec' }\n" + BACKEND, "parsec"),
]


@pytest.mark.parametrize(
    ("mode", "text", "words"), MISTAKES, ids=[text.split(HERE)[0].split("\n")[-1] for _, text, _ in MISTAKES]
)
def test_a_mistake_has_its_place(mode, text, words):
    whole = text.replace("'", '"') + REST.format(mode=mode)
    at = whole.index(HERE)
    whole = whole.replace(HERE, "")
    place = Lines(whole).position(at)
    found = {(one.line, one.column): one for one in problems(whole)}
    assert place in found, [f"{one.line}:{one.column} {one.path} {one.message}" for one in found.values()]
    assert words in found[place].message


def test_a_value_that_can_never_be_is_found_wherever_it_stands():
    """Every value of the reference is replaced by a date, which no key takes; all are told at once."""
    text = REFERENCE.read_text()
    places = locate(text)
    leaves = {
        path: place.value
        for path, place in places.items()
        if place.key != place.value
        and not any(other[: len(path)] == path and other != path for other in places)
    }
    assert len(leaves) > 300
    moved, shift = text, 0
    starts = {}
    for path, span in sorted(leaves.items(), key=lambda item: item[1].start):
        starts[path] = span.start + shift
        moved = moved[: span.start + shift] + "1979-05-27" + moved[span.end + shift :]
        shift += len("1979-05-27") - (span.end - span.start)
    lines = Lines(moved)
    found = {(one.line, one.column) for one in problems(moved)}
    missed = [".".join(map(str, path)) for path, at in starts.items() if lines.position(at) not in found]
    assert not missed
