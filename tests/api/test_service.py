"""The runtime socket: HAProxy's manners, and nobody but the owner may connect."""

from __future__ import annotations

import socket
import stat
from contextlib import suppress

import h11
import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from hapair.api.service import (
    IDLE,
    MAX_ADMINISTRATORS,
    MAX_LINE,
    REQUEST,
    _answer_scrapes,
    _converse,
    metrics_socket,
    runtime_socket,
    serve_commands,
    serve_metrics,
)
from hapair.errors import StartError


@pytest.fixture
async def path(tmp_path, commands, nursery):
    where = str(tmp_path / "hapair.sock")
    with runtime_socket(where) as sock:
        assert sock is not None
        await nursery.start(serve_commands, sock, commands)
        yield where
        nursery.cancel_scope.cancel()


async def talk(path: str, *said: bytes, end: bool = False) -> bytes:
    """Everything that comes back."""
    async with await trio.open_unix_socket(path) as stream:
        for piece in said:
            await stream.send_all(piece)
        if end:
            await stream.send_eof()
        answer = b""
        with trio.fail_after(5):
            while piece := await stream.receive_some(65536):
                answer += piece
        return answer


async def test_one_line_one_answer_then_the_end(path):
    assert await talk(path, b"get weight be/s1\n") == b"10 (initial 10)\n\n"


async def test_crlf_pieces_and_a_half_close_are_all_the_same(path):
    expected = b"10 (initial 10)\n\n"
    assert await talk(path, b"get weight be/s1\r\n") == expected
    assert await talk(path, b"get wei", b"ght be/s1\n") == expected
    assert await talk(path, b"get weight be/s1", end=True) == expected


async def test_prompt_keeps_the_conversation_open_until_quit(path):
    answer = await talk(path, b"prompt\nget weight be/s1\nquit\n")
    assert answer == b"\n> 10 (initial 10)\n\n> "


async def test_an_endless_line_is_cut(path):
    assert await talk(path, b"x" * (MAX_LINE + 4096)) == b""


async def test_a_bug_in_one_conversation_does_not_end_the_others(path, commands, monkeypatch, caplog):
    def broken(_):
        raise RuntimeError("boom")

    with monkeypatch.context() as patched:
        patched.setattr(commands, "answer", broken)
        assert await talk(path, b"show info\n") == b""
    assert "boom" in caplog.text
    assert await talk(path, b"get weight be/s1\n") == b"10 (initial 10)\n\n"


async def test_whoever_comes_when_there_is_no_room_is_sent_away_at_once(path):
    idle = [await trio.open_unix_socket(path) for _ in range(MAX_ADMINISTRATORS)]
    with trio.fail_after(10):
        async with await trio.open_unix_socket(path) as late:
            assert await late.receive_some(1) == b""
        await idle.pop().aclose()
        answer = b""
        while not answer:  # the place is free once the server has noticed
            with suppress(trio.BrokenResourceError):
                answer = await talk(path, b"get weight be/s1\n")
    assert answer == b"10 (initial 10)\n\n"
    for stream in idle:
        await stream.aclose()


async def dribble(stream: trio.abc.SendStream, every: float) -> None:
    """One byte of something endless at a time."""
    while True:
        await stream.send_all(b"x")
        await trio.sleep(every)


async def test_a_byte_now_and_then_keeps_no_place(commands, autojump_clock, nursery):
    ours, theirs = memory_stream_pair()
    nursery.start_soon(dribble, theirs, IDLE / 3)
    with pytest.raises(trio.TooSlowError):
        await _converse(ours, commands)
    assert trio.current_time() == pytest.approx(IDLE, abs=1)
    nursery.cancel_scope.cancel()


async def test_a_slow_scrape_keeps_no_place(autojump_clock, nursery):
    ours, theirs = memory_stream_pair()
    nursery.start_soon(dribble, theirs, REQUEST / 3)
    with pytest.raises(trio.TooSlowError):
        await _answer_scrapes(ours, lambda: "")
    assert trio.current_time() == pytest.approx(REQUEST, abs=1)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("asked", [b"help\n", b"prompt\n"])
async def test_an_answer_that_nobody_takes_keeps_no_place(commands, autojump_clock, asked):
    ours, theirs = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, asked)
        with pytest.raises(trio.TooSlowError):
            await _converse(ours, commands)


async def test_metrics_that_nobody_takes_keep_no_place(autojump_clock):
    ours, theirs = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(trio.TooSlowError):
            await _answer_scrapes(ours, lambda: "up 1\n")


async def test_others_have_their_turn_between_the_parts_of_an_answer(commands, monkeypatch, nursery):
    turns = 0
    seen = []

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    def answer(_line: str):
        for part in ("a", "", "", "b"):
            seen.append(turns)
            yield part

    monkeypatch.setattr(commands, "answer", answer)
    ours, theirs = memory_stream_pair()
    nursery.start_soon(take_turns)
    await theirs.send_all(b"show table t\n")
    await _converse(ours, commands)
    assert await theirs.receive_some(10) == b"ab"
    assert len(set(seen)) == 4
    nursery.cancel_scope.cancel()


def test_only_the_owner_may_connect_and_the_file_goes_with_the_socket(tmp_path):
    path = tmp_path / "hapair.sock"
    with runtime_socket(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_stale_file_is_replaced_and_a_live_one_is_not(tmp_path):
    path = str(tmp_path / "hapair.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with (
        runtime_socket(path),
        pytest.raises(StartError, match="another process listens"),
        runtime_socket(path),
    ):
        pass


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("keep me")
    with pytest.raises(StartError, match="cannot bind"), runtime_socket(str(path)):
        pass
    assert path.read_text() == "keep me"


async def test_metrics_are_served_on_one_path_and_a_kept_connection(nursery):
    with metrics_socket(("127.0.0.1", 0)) as sock:
        assert sock is not None
        await nursery.start(serve_metrics, sock, lambda: "up 1\n")
        stream = await trio.open_tcp_stream(*sock.getsockname())
        connection = h11.Connection(h11.CLIENT)
        answers = []
        for target in ("/metrics", "/elsewhere", "/metrics?x=1"):
            request = h11.Request(method="GET", target=target, headers=[("Host", "a")])
            await stream.send_all(
                (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
            )
            status, body = 0, b""
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    with trio.fail_after(5):
                        connection.receive_data(await stream.receive_some(65536))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
            answers.append((status, body))
            connection.start_next_cycle()
        await stream.aclose()
        nursery.cancel_scope.cancel()
    assert answers == [(200, b"up 1\n"), (404, b"only GET /metrics\n"), (200, b"up 1\n")]


def test_a_busy_metrics_port_is_told():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(StartError, match=r"api\.listen: cannot bind"), metrics_socket(busy.getsockname()):
            pass


def test_nothing_configured_is_nothing_opened():
    with runtime_socket(None) as commands, metrics_socket(None) as metrics:
        assert commands is None
        assert metrics is None
