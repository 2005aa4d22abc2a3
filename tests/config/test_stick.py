"""[stick_table] and what is stored there."""

from __future__ import annotations

import pytest

from hapair.config.fields import FieldError
from hapair.config.load import load_text
from hapair.config.stick import Kind, kind_of, size
from hapair.errors import ConfigError
from hapair.proxy.ruled import table_mistakes

NODE = """
[node]
name = "a"
[frontend.main]
bind = "127.0.0.1:80"
mode = "http"
timeout = { client = "1s" }
default_backend = "web"
"""
BACKEND = """
[backend.web]
mode = "http"
timeout = { connect = "1s", server = "1s" }
server.one = { address = "192.0.2.1:80" }
"""


def test_what_is_stored_has_a_period_or_a_number_where_it_needs_one():
    assert kind_of("conn_cur") == Kind("conn_cur")
    assert kind_of("http_req_rate(10s)") == Kind("http_req_rate", 10_000)
    assert kind_of("conn_rate(1500)") == Kind("conn_rate", 1500)
    assert kind_of("gpc(3)") == Kind("gpc", count=3)
    for wrong in (
        "conn_rate",
        "conn_cnt(3)",
        "gpc",
        "gpc(0)",
        "gpc(2s)",
        "nope",
        "conn_rate(0s)",
        "gpt0 gpt1",
    ):
        with pytest.raises(ValueError, match=wrong.partition("(")[0].split()[0]):
            kind_of(wrong)


def test_a_size_is_a_number_of_entries():
    assert [size(text) for text in (5, "100", "2k", "1m")] == [5, 100, 2048, 1 << 20]
    for wrong in (0, "0k", "1g", "-1", True, "9" * 10):
        with pytest.raises(FieldError):
            size(wrong)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('stick_table = { store = ["gpc0", "gpc0"] }', "gpc0 is stored twice"),
        ('stick_table = { store = ["conn_rte(1s)"] }', "cannot be stored"),
        ('stick_table = { type = "ipv5" }', 'did you mean "ipv6"'),
        ('http_request = ["track-sc0 src"]', "main has no stick_table of its own"),
        ('http_request = ["track-sc0 src table nope"]', "there is no stick table 'nope'"),
        ('http_request = ["cache-use nope"]', "there is no cache 'nope'"),
        ('acl.many = "src_http_req_rate(web) gt 3"', "there is no stick table 'web'"),
    ],
)
def test_mistakes_about_tables(lines, why):
    text = NODE + lines + BACKEND
    with pytest.raises(ConfigError) as caught:
        load_text(text, "node.toml", {}, table_mistakes=table_mistakes)
    assert any(why in problem.message for problem in caught.value.problems), caught.value.problems


def test_a_name_means_one_table():
    text = NODE + "stick_table = {}" + BACKEND + "[stick_table.main]\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "node.toml", {})
    assert "has the same name" in caught.value.problems[0].message


def test_a_table_that_is_right_is_no_mistake():
    text = (
        NODE + 'stick_table = { store = "gpc0" }\nhttp_request = ["deny if { src_get_gpc0 gt 0 }"]' + BACKEND
    )
    assert not load_text(text, "node.toml", {}, table_mistakes=table_mistakes).warnings
