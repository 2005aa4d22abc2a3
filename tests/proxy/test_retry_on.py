"""retry_on: which answers, and which silence, a whole request is sent again after."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get, post, servers, statuses

from hapair.config.model import Mode

UNAVAILABLE = answer(b"busy", status="503 Service Unavailable")


def world(*events: str, count: int = 1, **more) -> World:
    return World(servers=servers(count), retry_on=events, **{"retries": 2, **more})


def test_a_status_is_retried_at_once_and_the_client_sees_the_last_answer_only() -> None:
    here = world("503")
    client = here.client(get())
    client.server.says(UNAVAILABLE)
    assert [link.state for link in here.links] == ["closed", "open"]
    assert client.server.got == here.links[0].got
    client.server.says(answer())
    assert statuses(client.got) == [200]
    assert " 1/1/0/0/1 0/0 " in here.lines()[0]
    assert here.backend.servers[0].retries == 1
    here.over()


def test_when_the_retries_are_used_up_the_servers_own_answer_is_passed_on() -> None:
    here = world("503")
    client = here.client(get())
    for _ in range(3):
        client.server.says(UNAVAILABLE)
    assert client.got.endswith(b"busy")
    assert " 503 " in (line := here.lines()[0])
    assert " 1/1/0/0/2 0/0 " in line
    here.over()


def test_attempts_to_connect_share_the_retries() -> None:
    here = world("503", "conn-failure")
    here.connects["s1"] = "refused"
    client = here.client(get())
    here.wait(0.9)
    here.connects.clear()
    here.wait(0.2)
    for _ in range(2):
        client.server.says(UNAVAILABLE)
    assert statuses(client.got) == [503]
    assert client.got.endswith(b"busy")
    here.over()


def fails(here: World, client, how: str) -> None:
    """The server fails in one of the ways that have a word."""
    match how:
        case "nothing":
            client.server.ends()
        case "reset":
            client.server.ends(broken=True)
        case "half a head":
            client.server.says(b"HTTP/1.1 200 OK\r\nContent-")
            client.server.ends()
        case "junk":
            client.server.says(b"SSH-2.0-OpenSSH\r\n")
        case "silence":
            here.wait(3.01)


@pytest.mark.parametrize(
    ("how", "event", "status"),
    [
        ("nothing", "empty-response", 502),
        ("reset", "empty-response", 502),
        ("half a head", "empty-response", 502),
        ("junk", "junk-response", 502),
        ("silence", "response-timeout", 504),
    ],
)
def test_each_failure_has_its_word(how: str, event: str, status: int) -> None:
    here = world(event)
    client = here.client(get())
    fails(here, client, how)
    client.server.says(answer())
    assert statuses(client.got) == [200]
    assert here.backend.servers[0].response_errors == 0

    others = {"empty-response", "junk-response", "response-timeout", "500", "502", "504"} - {event}
    deaf = world(*others)
    client = deaf.client(get())
    fails(deaf, client, how)
    assert statuses(client.got) == [status]
    assert len(deaf.links) == 1
    here.over()
    deaf.over()


@pytest.mark.parametrize("how", ["nothing", "junk", "silence"])
def test_all_retryable_errors_are_all_of_these(how: str) -> None:
    here = world("all-retryable-errors")
    client = here.client(get())
    fails(here, client, how)
    client.server.says(answer(status="404 Not Found"))
    assert statuses(client.got) == [404]
    here.over()


def test_with_redispatch_the_next_try_is_another_servers() -> None:
    here = world("503", count=2, redispatch=-1)
    client = here.client(get())
    client.server.says(UNAVAILABLE)
    assert [link.server.name for link in here.links] == ["s1", "s2"]
    client.server.says(answer())
    assert "fe be/s2 " in (line := here.lines()[0])
    assert " 1/1/0/0/+1 0/0 " in line
    here.over()


def test_without_it_the_same_server_is_asked_again() -> None:
    here = world("503", count=2)
    client = here.client(get())
    client.server.says(UNAVAILABLE)
    client.server.says(answer())
    assert [link.server.name for link in here.links] == ["s1", "s1"]
    here.over()


def test_a_retry_may_have_to_queue_at_the_other_server() -> None:
    here = World(servers=servers(2, maxconn=1), retry_on=("503",), redispatch=-1)
    first, second, third = here.client(get("/a")), here.client(get("/b")), here.client(get("/c"))
    first.server.says(UNAVAILABLE)
    assert first.link is None
    assert third.server.server.name == "s1"
    second.server.says(answer())
    assert first.server.server.name == "s2"
    third.server.says(answer())
    first.server.says(answer())
    assert statuses(first.got) == [200]
    here.over()


def test_a_body_that_is_there_is_sent_again_with_its_head() -> None:
    here = world("503")
    client = here.client(post(b"hello"))
    client.server.says(UNAVAILABLE)
    assert client.server.got == here.links[0].got
    assert client.server.got.endswith(b"\r\n\r\nhello")
    client.server.says(answer())
    assert statuses(client.got) == [200]
    here.over()


def test_a_body_that_came_later_is_not() -> None:
    """It has gone on as it came, and nobody kept it; http_buffer_request would wait for it."""
    here = world("503")
    client = here.client(post(b"he", length=5))
    client.sends(b"llo")
    client.server.says(UNAVAILABLE)
    assert statuses(client.got) == [503]
    assert len(here.links) == 1
    buffering = world("503", http_buffer_request=True)
    client = buffering.client(post(b"he", length=5))
    client.sends(b"llo")
    client.server.says(UNAVAILABLE)
    client.server.says(answer())
    assert statuses(client.got) == [200]
    here.over()
    buffering.over()


def test_a_body_beyond_the_buffer_is_not_kept() -> None:
    here = world("503")
    client = here.client(post(b"x" * 16384))
    client.server.says(UNAVAILABLE)
    assert statuses(client.got) == [503]
    here.over()


def test_none_stops_attempts_to_connect_as_well() -> None:
    here = world("none")
    here.connects["s1"] = "refused"
    assert statuses(here.client(get()).got) == [503]
    assert " SC-- 1/1/0/0/0 0/0 " in here.lines()[0]
    here.over()


def test_a_status_without_conn_failure_stops_them_too() -> None:
    here = world("503")
    here.connects["s1"] = "refused"
    assert statuses(here.client(get()).got) == [503]
    assert len(here.links) == 1
    here.over()


def test_a_reused_connection_that_ends_is_an_empty_response_too() -> None:
    here = world("empty-response")
    client = here.client(get())
    client.server.says(answer())
    client.sends(get())
    client.server.says(answer())
    wanted = post(b"x")
    client.sends(wanted)
    first = client.server
    assert first.uses > 1
    first.ends()
    assert client.server is not first
    assert client.server.got == wanted
    here.over()


def test_streams_have_no_retry_on_and_connect_again() -> None:
    here = World(mode=Mode.TCP, retry_on=("none",), retries=1)
    here.connects["s1"] = "refused"
    here.client()
    here.wait(1.1)
    assert len(here.links) == 2
    here.over()


def test_a_rule_may_forbid_it_for_one_request() -> None:
    here = World(
        retry_on=("503",),
        frontend={"http_request": ("disable-l7-retry if { path_beg /pay }",)},
    )
    client = here.client(get("/pay"))
    client.server.says(UNAVAILABLE)
    assert statuses(client.reads()) == [503]
    client.sends(get("/look"))
    client.server.says(UNAVAILABLE)
    client.server.says(answer())
    assert statuses(client.reads()) == [200]
    here.over()


def test_after_a_retry_the_next_request_of_the_client_starts_anew() -> None:
    here = world("503")
    client = here.client(get("/a") + get("/b"))
    client.server.says(UNAVAILABLE)
    client.server.says(answer(b"a"))
    for _ in range(3):
        client.server.says(UNAVAILABLE)
    assert statuses(client.got) == [200, 503]
    assert [line.split(" ")[8] for line in here.lines()] == ["1/1/0/0/1", "1/1/0/0/2"]
    here.over()


def test_times_in_the_log_are_of_the_last_try() -> None:
    """Tc from the assignment to the last connection, Tr from there."""
    here = world("response-timeout")
    client = here.client(get())
    here.wait(3.0)
    here.wait(0.5)
    client.server.says(answer())
    assert here.lines()[0].startswith("fe be/s1 0/0/3000/500/3500 200 ")
    here.over()


def test_a_100_before_the_status_is_no_answer_yet() -> None:
    here = world("503")
    client = here.client(get())
    client.server.says(b"HTTP/1.1 100 Continue\r\n\r\n" + UNAVAILABLE)
    client.server.says(answer())
    assert statuses(client.got) == [100, 200]
    here.over()


def test_an_answer_that_has_begun_is_never_repeated() -> None:
    here = world("all-retryable-errors")
    client = here.client(get())
    client.server.says(answer(b"half", length=10))
    client.server.ends()
    assert len(here.links) == 1
    assert client.state == "closed"
    here.over()
