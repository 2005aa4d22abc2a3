"""The harness itself: a proxy that lets everything through must be found out."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from conformance.client import Patience
from conformance.runner import REQUESTS, RESPONSES, judge, load, summary
from ports import free_port

HASTY = Patience(idle=0.15, limit=0.6, close_wait=0.2)


class Pipe:
    """The worst proxy: bytes through, both ways, whatever they are."""

    def __init__(self, backend: int) -> None:
        self._backend = backend
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._backend)) as server,
        ):
            back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
            back.start()
            self._carry(client, server)
            back.join()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def pipe():
    backend = free_port()
    pipe = Pipe(backend)
    yield pipe, backend
    pipe.close()


def cases(path, *ids):
    found = [case for case in load(path) if case["id"] in ids]
    assert len(found) == len(ids)
    return found


@pytest.mark.slow
def test_good_requests_pass_and_each_kind_of_bad_one_is_found(pipe):
    proxy, backend = pipe
    verdicts = judge(
        ("127.0.0.1", proxy.port),
        ("127.0.0.1", backend),
        request_cases=cases(REQUESTS, "san-01", "san-02", "clte-12", "te-37", "hb-01", "hs-25", "th-16"),
        response_cases=cases(RESPONSES, "r-fr-02", "r-fr-12", "r-hd-06", "r-fr-07"),
        patience=HASTY,
    )
    assert {verdict.id: verdict.verdict for verdict in verdicts} == {
        "san-01": "PASS",
        "san-02": "PASS",
        "clte-12": "FAIL",  # both lengths reach the server
        "te-37": "PASS",  # another header's name
        "hb-01": "FAIL",  # a hop-by-hop header is not removed
        "hs-25": "OK",  # a control character in a value: allowed, not hardened
        "th-16": "PASS",
        "r-fr-02": "PASS",
        "r-fr-12": "FAIL",  # two lengths reach the client
        "r-hd-06": "FAIL",  # NUL reaches the client
        "r-fr-07": "FAIL",  # a response too many reaches the client
    }
    assert summary(verdicts).splitlines()[-1].split() == ["TOTAL", "5", "1", "5"]


def test_forwarding_for_is_asked_for_only_when_the_proxy_is_to_do_it(pipe):
    proxy, backend = pipe
    verdicts = [
        judge(
            ("127.0.0.1", proxy.port),
            ("127.0.0.1", backend),
            request_cases=cases(REQUESTS, "hb-16"),
            response_cases=[],
            expect_xff=expected,
            patience=HASTY,
        )[0].verdict
        for expected in (False, True)
    ]
    assert verdicts == ["PASS", "FAIL"]


@pytest.mark.slow
def test_a_proxy_that_serves_nothing_is_not_judged():
    with pytest.raises(RuntimeError, match="a plain request"):
        judge(("127.0.0.1", free_port()), ("127.0.0.1", free_port()), request_cases=[], response_cases=[])
