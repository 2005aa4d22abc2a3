"""Stick tables at work: what is tracked, counted and let go, and what rules make of it."""

from __future__ import annotations

import pytest
from proxy.world import World

from hapair.config import model
from hapair.proxy.ruled import table_mistakes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
FLOOD = model.StickTable(
    expire=60.0,
    store=(
        *("conn_cnt", "conn_cur", "conn_rate(10s)", "http_req_cnt", "http_req_rate(10s)", "http_err_cnt"),
        *("http_fail_cnt", "bytes_in_cnt", "bytes_out_cnt", "sess_cnt", "gpc0", "gpt0", "gpc0_rate(10s)"),
    ),
)


def get(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode()


def world(mode: model.Mode = model.Mode.HTTP, **rules: list[str]) -> World:
    frontend = {kind: tuple(texts) for kind, texts in rules.items()}
    return World(mode=mode, frontend=frontend, tables={"fe": FLOOD})


def known(here: World, name: str) -> int:
    """What the table has of the usual client."""
    table, now = here.tables["fe"].table, int(here.now * 1000)
    row = table.find(0xC0000209, now)
    return table.value(row, name, now) if row >= 0 else -1


def test_who_connects_too_often_is_turned_away_before_a_byte_is_read():
    here = world(
        tcp_request_connection=["track-sc0 src", "reject if { src_conn_rate gt 3 }"],
    )
    states = [here.client().state for _ in range(5)]
    assert states == ["open", "open", "open", "reset", "reset"]
    assert known(here, "conn_cur") == 3
    assert here.client(source="192.0.2.77").state == "open"
    here.wait(20.5)
    assert here.client().state == "open"


def test_a_connection_is_counted_while_it_lasts():
    here = world(tcp_request_connection=["track-sc0 src"])
    one, other = here.client(), here.client()
    assert known(here, "conn_cur") == 2
    one.gone()
    assert known(here, "conn_cur") == 1
    other.gone()
    assert (known(here, "conn_cur"), known(here, "conn_cnt"), known(here, "sess_cnt")) == (0, 2, 2)


def test_requests_errors_and_bytes_are_counted_where_the_connection_is_tracked():
    here = world(tcp_request_connection=["track-sc0 src"])
    client = here.client(get())
    client.server.says(OK)
    client.sends(get("/lost"))
    client.server.says(NOT_FOUND)
    assert (known(here, "http_req_cnt"), known(here, "http_err_cnt")) == (2, 1)
    assert known(here, "bytes_in_cnt") == len(get()) + len(get("/lost"))
    assert known(here, "bytes_out_cnt") > len(OK)


def test_a_failing_server_is_counted_apart():
    here = world(http_request=["track-sc0 src"])
    here.client(get()).server.says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    assert (known(here, "http_fail_cnt"), known(here, "http_err_cnt")) == (1, 0)


def test_what_a_request_tracks_is_let_go_with_it():
    here = world(http_request=["track-sc1 src if { path /a }"])
    client = here.client(get("/a"))
    assert known(here, "conn_cur") == 1
    client.server.says(OK)
    assert known(here, "conn_cur") == 0
    client.sends(get("/b"))
    assert known(here, "http_req_cnt") == 1


def test_who_asks_too_often_is_denied_and_may_come_back_later():
    here = world(
        http_request=["track-sc0 src", "deny deny_status 429 if { sc_http_req_rate(0) gt 2 }"],
    )
    client = here.client()
    for status in (200, 200, 429, 429):
        client.sends(get())
        if status == 200:
            client.server.says(OK)
        assert client.reads().startswith(b"HTTP/1.1 %d " % status)
    assert known(here, "http_err_cnt") == 2
    here.wait(20.5)
    other = here.client(get())
    other.server.says(OK)
    assert other.reads().startswith(b"HTTP/1.1 200 ")


def test_a_mark_once_set_stays_and_is_seen_by_the_next_connection():
    here = world(
        tcp_request_connection=["reject if { src_get_gpc0 gt 0 }"],
        http_request=["track-sc0 src", "sc-inc-gpc0(0) if { path /wp-login.php }", "sc-set-gpt0(0) 7"],
    )
    here.client(get("/wp-login.php")).server.says(OK)
    assert (known(here, "gpc0"), known(here, "gpc0_rate"), known(here, "gpt0")) == (1, 1, 7)
    assert here.client().state == "reset"


def test_a_sample_is_looked_up_by_a_converter():
    here = world(
        http_request=[
            "track-sc0 src",
            "set-header X-Rate %[src,table_http_req_rate(fe)]",
            "set-header X-In %[src,in_table(fe)]",
            "set-header X-Other %[str(10.0.0.1),in_table(fe)]",
        ],
    )
    got = here.client(get()).server.got
    assert b"X-Rate: 1\r\n" in got
    assert b"X-In: 1\r\n" in got
    assert b"X-Other: 0\r\n" in got


def test_streams_count_their_bytes_when_they_are_over():
    here = world(model.Mode.TCP, tcp_request_connection=["track-sc0 src"])
    client = here.client(b"hello")
    client.server.says(b"goodbye")
    client.gone()
    assert (known(here, "bytes_in_cnt"), known(here, "bytes_out_cnt"), known(here, "conn_cur")) == (5, 7, 0)


@pytest.mark.parametrize(
    ("rule", "offset", "why"),
    [
        ("track-sc0 src table flod", 20, "there is no stick table 'flod'"),
        ("deny if { src_http_fail_rate gt 3 }", 10, "does not store http_fail_rate"),
        ("deny if { src,in_table(feh) }", 23, 'did you mean "fe"?'),
    ],
)
def test_a_table_that_there_is_not_is_a_mistake(rule, offset, why):
    frontend = model.Frontend("fe", (), model.Mode.HTTP, http_request=(rule,), stick_table=FLOOD)
    config = model.NodeConfig(model.Node("a"), frontends={"fe": frontend})
    ((path, where, message),) = table_mistakes(config)
    assert path == ("frontend", "fe", "http_request", 0)
    assert (where, why in message) == (offset, True), message


def test_counters_and_tags_by_number_of_the_clients_address_and_of_a_tracked_row():
    store = model.StickTable(expire=60.0, size=10, store=("gpc(2)", "gpt(2)"))
    samples = (
        *("var(txn.raised)", "var(txn.seen)", "var(txn.cleared)", "src_get_gpc(1)", "src_get_gpt(1)"),
        *("src,table_gpc(1,fe)", "src,table_gpt(1,fe)", "table_cnt", "table_avl(fe)", "src,table_expire(fe)"),
        *("src,table_idle(fe)", "str(192.0.2.99),table_idle(fe,7)"),
    )
    rules = (
        "track-sc0 src",
        "sc-inc-gpc(1,0)",
        "set-var(txn.raised) src_inc_gpc(1)",
        "set-var(txn.seen) sc_inc_gpc(1,0)",
        "set-var(txn.cleared) sc_clr_gpc(1,0)",
        "sc-set-gpt(1,0) 9",
        f"return status 200 hdr X-A {','.join(f'%[{one}]' for one in samples)}",
    )
    here = World(frontend={"http_request": rules}, tables={"fe": store})
    assert b"X-A: 2,3,3,0,9,0,9,1,9,60000,0,7\r\n" in here.client(get()).got
