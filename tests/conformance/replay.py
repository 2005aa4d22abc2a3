"""One case after the other through one proxy, with a look for poisoned connections in between."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from base64 import b64decode
from typing import Any

from conformance.client import Client, Patience, until
from conformance.oracle import Address, Connection, Oracle
from conformance.strict import Request, Response, responses
from conformance.verdicts import Answer, Case, Exchange, request_outcome, response_outcome


class Replay:
    """Runs case after case against one proxy."""

    def __init__(
        self,
        proxy: Address,
        oracle: Oracle,
        *,
        expect_xff: bool = False,
        client_ip: str = "127.0.0.1",
        patience: Patience | None = None,
    ) -> None:
        self._proxy = proxy
        self._oracle = oracle
        self._expect_xff = expect_xff
        self._client_ip = client_ip
        self._patience = patience if patience is not None else Patience()
        self._probes = 0

    # -- between the cases ---------------------------------------------------------------------

    def probe(self) -> str | None:
        """A plain request on a new connection must get its own answer: else something was poisoned."""
        self._probes += 1
        target = f"/probe-{self._probes}-{time.time_ns() % 100_000}"
        why = ""
        for attempt in range(3):
            try:
                client = Client(self._proxy)
            except OSError as refused:
                time.sleep(0.5)
                why = f"the proxy does not accept connections: {refused}"
                continue
            client.send(f"GET {target} HTTP/1.1\r\nHost: probe\r\n\r\n".encode())
            self._wait_for_a_response(client, 3)
            client.close()
            finals, _, error, _ = self._parse(client, ended=True)
            if error:
                return f"probe: {error}"
            if not finals:
                why = "probe got no answer"
                continue
            status, record = finals[0].status, finals[0].record
            if status in (502, 503, 504) and attempt < 2:
                why = f"probe got {status}"
                time.sleep(0.3)
                continue
            asked = [request for request in self._oracle.requests() if request.target == target]
            if not asked or record != asked[-1].record:
                return f"probe was answered with somebody else's response ({status}, {record}): POISONED"
            return None
        return why

    def _parse(
        self, client: Client, *, ended: bool, method: str | None = None
    ) -> tuple[list[Response], list[Response], str | None, bytes]:
        return responses(
            bytes(client.received), ended=ended, methods=self._oracle.methods, first_method=method
        )

    def _wait_for_a_response(self, client: Client, seconds: float) -> None:
        def complete() -> bool:
            finals, *_ = self._parse(client, ended=client.eof)
            return client.eof or (bool(finals) and finals[0].complete)

        until(complete, seconds)

    # -- requests ------------------------------------------------------------------------------

    def request_case(self, case: Case) -> tuple[str, str, dict[str, Any]]:
        """(verdict, why, details) of a case that sends requests."""
        mark = len(self._oracle.log)
        client = Client(self._proxy)
        answered_in_time = True
        for step in case["steps"]:
            answered_in_time = self._send_step(client, step, answered_in_time)
        self._wait_for_the_end(client, case)
        eof = client.eof and not client.gone
        client.close()
        dangling = self._dangling()
        probe = self.probe()
        events = self._oracle.log[mark:]
        for connection in dangling:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        method = "HEAD" if b64decode(case["input"]).startswith(b"HEAD ") else None
        finals, interims, error, rest = self._parse(client, ended=eof, method=method)
        if error and not client.received.startswith(b"HTTP/1."):
            finals.append(_answer_without_head(bytes(client.received)))
            error = None
        exchange = Exchange(
            seen=_without_probes(self._oracle.requests(mark)),
            heads=_without_probes(self._oracle.requests(mark, "head")),
            finals=finals,
            eof=eof,
            gone=client.gone,
            raw=b"".join(e.data for e in events if e.kind == "raw"),
            rest=rest,
        )
        violations = [e.why for e in events if e.kind == "violation"]
        soft = sorted({remark for request in exchange.seen for remark in request.soft})
        details = {
            "statuses": [response.status for response in finals],
            "eof": eof,
            "reset": client.reset,
            "seen": [str(request) for request in exchange.seen],
            "partial": [str(e.request or e.data) for e in events if e.kind == "partial"],
            "violations": violations,
            "soft": soft,
            "error": error,
        }
        why = probe or self._always_wrong(case, exchange, violations, error, interims)
        if not why and case.get("need_100") and not answered_in_time:
            why = "neither 100 Continue nor a final status while the client waited"
        if why:
            return "FAIL", why, details
        return *self._judge_request(case, exchange, soft, dangling=bool(dangling)), details

    def _send_step(self, client: Client, step: dict[str, Any], answered: bool) -> bool:
        time.sleep(step.get("delay", 0))
        if "wait_responses" in step:
            count = step["wait_responses"]
            until(lambda: client.eof or len(self._parse(client, ended=client.eof)[0]) >= count, 2.5)
        if "wait_100" in step:
            until(lambda: bool(client.received), step["wait_100"])
            answered = bool(client.received)
        if "send" in step:
            client.send(b64decode(step["send"]))
        if step.get("shutdown"):
            client.half_close()
        if step.get("rst") or step.get("close"):
            client.leave(rst=bool(step.get("rst")))
        return answered

    def _wait_for_the_end(self, client: Client, case: Case) -> None:
        patience = self._patience
        idle: float = case.get("timeout", patience.idle)
        sent = b"".join(b64decode(step["send"]) for step in case["steps"] if "send" in step)
        if b"/never/" in sent or b"/slow/" in sent:
            idle = max(idle, case.get("timeout", 1.5))

        def quiet() -> bool:
            now = time.monotonic()
            if (client.eof or client.gone) and now - self._oracle.last > 0.12:
                return True
            return now - max(client.last, self._oracle.last) > idle

        until(quiet, case.get("timeout", patience.limit))
        must_close = [outcome.get("close") is True for outcome in case["allow"] if outcome["do"] != "wait"]
        if must_close and all(must_close) and not client.gone:
            until(lambda: client.eof, patience.close_wait)

    def _dangling(self) -> list[Connection]:
        """Connections to the server that keep a half request for a second after the client left."""
        until(lambda: not self._oracle.half_done() and time.monotonic() - self._oracle.last > 0.05, 1.0)
        return self._oracle.half_done()

    def _always_wrong(
        self,
        case: Case,
        exchange: Exchange,
        violations: list[str],
        error: str | None,
        interims: list[Response],
    ) -> str | None:
        """What no case allows."""
        statuses = [response.status for response in exchange.finals]
        if violations:
            return f"the server received malformed bytes: {violations[0]}"
        if error and "malformed" in error:
            return error
        if 599 in statuses:
            return "the oracle's own 599"
        if case.get("forbid_1xx") and (interims or 101 in statuses):
            return "1xx sent to an HTTP/1.0 client"
        if case.get("need_xff") and self._expect_xff:
            for request in exchange.seen:
                forwarded = [value for name, value in request.headers if name == "x-forwarded-for"]
                if self._client_ip not in ",".join(forwarded):
                    return f"the server saw X-Forwarded-For {forwarded} without the client's address"
        return None

    @staticmethod
    def _judge_request(case: Case, exchange: Exchange, soft: list[str], *, dangling: bool) -> tuple[str, str]:
        reasons = []
        for index, outcome in enumerate(case["allow"]):
            why = request_outcome(outcome, exchange)
            if why is not None:
                reasons.append(why)
                continue
            if dangling and case.get("strict_dangling", True):
                return "FAIL", "a half request was left at the server for a second after the client left"
            silent = (
                outcome["do"] == "reject"
                and not exchange.finals[len(outcome["prior"]) :]
                and outcome["status"] != [0]
                and not exchange.gone
            )
            hardened = index in case["recommended"] and not soft and not silent
            return "PASS" if hardened else "OK", "; ".join([f"{outcome['do']} ({index})", *soft])
        return "FAIL", " | ".join(reasons)

    # -- responses -----------------------------------------------------------------------------

    def response_case(self, case: Case) -> tuple[str, str, dict[str, Any]]:
        """(verdict, why, details) of a case in which the server answers."""
        mark = len(self._oracle.log)
        client = Client(self._proxy)
        extra = "".join(f"{name}: {value}\r\n" for name, value in case.get("req_headers", []))
        version = case.get("version", "1.1")
        client.send(f"{case['method']} /resp/{case['id']} HTTP/{version}\r\nHost: a\r\n{extra}\r\n".encode())
        idle = case.get("idle", 0.6)
        until(
            lambda: client.eof or (bool(client.received) and time.monotonic() - client.last > idle),
            case.get("timeout", 4.0),
        )
        eof = client.eof
        finals, interims, error, _ = responses(
            bytes(client.received), ended=eof, methods={}, first_method=case["method"]
        )
        answer = Answer(finals, interims, error, eof, client.reset)
        out_of_step = None
        if not eof and finals and finals[0].complete:
            out_of_step = self._follow_up(client, mark)
        client.close()
        probe = self.probe()
        events = self._oracle.log[mark:]
        violations = [e.why for e in events if e.kind == "violation"]
        requests = sum("/resp/" in request.target for request in self._oracle.requests(mark))
        details = {
            "statuses": [response.status for response in finals],
            "interims": [response.status for response in interims],
            "eof": eof,
            "reset": client.reset,
            "received": bytes(client.received[:200]).decode("latin-1"),
            "error": error,
            "requests": requests,
        }
        wrong = [probe, out_of_step, *violations]
        if requests > case.get("max_requests", 1):
            wrong.append(f"request sent {requests} times to the server")
        why = next(filter(None, wrong), None)
        if why:
            return "FAIL", why, details
        return *self._judge_response(case, answer), details

    def _follow_up(self, client: Client, mark: int) -> str | None:
        """Another request on the same connection must get its own answer, and nothing left over."""
        before = len(client.received)
        target = f"/probe-f{mark}"
        client.send(f"GET {target} HTTP/1.1\r\nHost: probe\r\n\r\n".encode())
        until(lambda: client.eof or b'"rec"' in client.received[before:], 2.5)
        tail = bytes(client.received[before:])
        finals, _, error, _ = responses(tail, ended=client.eof, methods=self._oracle.methods)
        asked = [request for request in self._oracle.requests(mark) if request.target == target]
        mixed_up = not finals or (
            finals[0].status == 200 and (not asked or finals[0].record != asked[-1].record)
        )
        if tail and (mixed_up or error):
            return f"another request on the same connection got {tail[:120]!r}"
        return None

    @staticmethod
    def _judge_response(case: Case, answer: Answer) -> tuple[str, str]:
        reasons = []
        for index, outcome in enumerate(case["allow"]):
            why = response_outcome(outcome, case, answer)
            if why is None:
                return "PASS" if index in case["recommended"] else "OK", f"{outcome['do']} ({index})"
            reasons.append(why)
        return "FAIL", " | ".join(reasons)


def _without_probes(requests: list[Request]) -> list[Request]:
    return [request for request in requests if not request.target.startswith("/probe-")]


def _answer_without_head(received: bytes) -> Response:
    """HTTP/0.9 has no heads: the record number is in the body."""
    found = re.search(rb'"rec": (\d+)', received)
    record = int(found[1]) if found else None
    return Response(200 if found else -1, [], record, received, framing="close")
