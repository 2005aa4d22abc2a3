"""When a line is written, and how severe it is; tests/interop/test_log_options.py asks the real HAProxy."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get

from hapair.config.model import LogFormat, Mode


def severities(world: World) -> list[int]:
    """Let the world note them from now on."""
    noted: list[int] = []

    def log(level: int, line: bytes, _data: bytes = b"") -> None:
        noted.append(level)
        world.log.append(line.decode())

    world.frontend.log = world.frontend.log_clean = log
    return noted


def test_logasap_writes_when_the_response_begins_and_never_again():
    world = World(frontend={"logasap": True})
    client = world.client(get())
    client.server.says(answer(b"hello")[:-2])
    (line,) = world.lines()
    assert line.startswith("fe be/s1 0/0/0/0/+0 200 +")
    assert " ---- " in line
    client.server.ends()
    assert world.lines() == []
    world.over()


def test_logasap_writes_once_for_each_request():
    world = World(frontend={"logasap": True})
    client = world.client(get("/a") + get("/b"))
    for _ in range(2):
        client.server.says(answer(b"hello"))
        client.reads()
    assert [line.partition('"')[2] for line in world.lines()] == ['GET /a HTTP/1.1"', 'GET /b HTTP/1.1"']
    world.over()


def test_logasap_writes_about_a_stream_when_the_server_is_connected():
    world = World(mode=Mode.TCP, frontend={"logasap": True, "log_format": LogFormat.TCPLOG})
    client = world.client(b"hello")
    (line,) = world.lines()
    assert line.startswith("fe be/s1 0/0/+0 +0 -- ")
    client.gone()
    assert world.lines() == []
    world.over()


def test_logasap_without_a_server_waits_for_the_end():
    world = World(servers=(), frontend={"logasap": True})
    world.client(get())
    assert " SC-- " in world.lines()[0]
    world.over()


def test_separate_errors_are_more_severe_and_the_rest_is_not():
    world = World(frontend={"log_separate_errors": True})
    noted = severities(world)
    for said in (answer(), b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"):
        client = world.client(get())
        client.server.says(said)
        client.gone()
    client = world.client(get())
    client.server.says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    client.gone()
    world.client(b"GET\r\n\r\n")
    assert noted == [6, 6, 3, 3]
    world.over()


@pytest.mark.parametrize(("status", "told"), [(200, False), (404, False), (500, True), (503, True)])
def test_dontlog_normal_tells_of_failing_servers_alone(status, told):
    world = World(frontend={"dontlog_normal": True})
    client = world.client(get())
    client.server.says(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert bool(world.lines()) is told
    client.gone()
    world.over()


def test_structured_data_goes_with_each_line():
    world = World(frontend={"log_format_sd": '[a@1 status="%ST"]'})
    told: list[bytes] = []
    world.frontend.log = lambda _level, _line, data: told.append(data)
    client = world.client(get())
    client.server.says(answer())
    client.gone()
    assert told == [b'[a@1 status="200"]']
    world.over()
