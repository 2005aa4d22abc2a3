"""Did what happened match an outcome that the case allows?  None for yes, else why not."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import attrs
from conformance.strict import Headers, Request, Response

Outcome = dict[str, Any]
Case = dict[str, Any]


@attrs.define
class Exchange:
    """What was seen at both ends of the proxy while a request case ran."""

    seen: list[Request]
    """Complete requests at the server."""
    heads: list[Request]
    """Heads at the server, whether completed or not."""
    finals: list[Response]
    """Final responses at the client."""
    eof: bool
    """Did the proxy close the client's connection?"""
    gone: bool
    """Did the client leave before?"""
    raw: bytes = b""
    """Bytes through a tunnel, at the server."""
    rest: bytes = b""
    """The same at the client."""


def request_outcome(outcome: Outcome, exchange: Exchange) -> str | None:
    """Judge a request case."""
    finals = exchange.finals
    if finals and _announces_close(finals[-1]):
        # The client must not use the connection any more: that it lingers does not matter.
        exchange = attrs.evolve(exchange, eof=True)
    match outcome["do"]:
        case "reject":
            return _rejected(outcome, exchange)
        case "forward":
            return _forwarded(outcome, exchange)
        case "wait":
            return _waited(outcome, exchange)
        case "early":
            return _ended_early(outcome, exchange)
        case "tunnel":
            return _tunnelled(outcome, exchange)
    raise AssertionError(outcome)


def _announces_close(response: Response) -> bool:
    return any(name == "connection" and "close" in value.lower() for name, value in response.headers)


def _rejected(outcome: Outcome, exchange: Exchange) -> str | None:
    different = _difference(outcome["prior"], exchange.seen)
    if different:
        return f"reject: {different}"
    if exchange.gone:
        return None
    status, tail = outcome["status"], exchange.finals[len(outcome["prior"]) :]
    if not tail:
        if 0 not in status and not (exchange.eof and 400 in status):
            return f"reject: no error response (eof={exchange.eof})"
        return None if exchange.eof else "reject: neither response nor close"
    if tail[0].record is not None and tail[0].status == 200:
        return "reject: got an answer of the server"
    if tail[0].status not in status:
        return f"reject: status {tail[0].status} not in {status}"
    if len(tail) > 1:
        return f"reject: {len(tail) - 1} further responses after the error"
    if outcome["close"] and not exchange.eof:
        return f"reject: connection not closed after {tail[0].status}"
    return None


def _forwarded(outcome: Outcome, exchange: Exchange) -> str | None:
    different = _difference(outcome["requests"], exchange.seen)
    if different:
        return f"forward: {different}"
    if exchange.gone:
        return None
    answers = [response for response in exchange.finals if response.record is not None]
    records = [response.record for response in answers]
    statuses = [response.status for response in exchange.finals]
    if records != [request.record for request in exchange.seen]:
        return f"forward: responses {records} do not match the requests (statuses {statuses})"
    if not all(response.complete for response in answers):
        return "forward: incomplete response"
    if len(answers) != len(exchange.finals):
        if outcome.get("close") is not True:
            return f"forward: an error response too many {statuses}"
        if not exchange.eof or any(r.record is None and r.status < 400 for r in exchange.finals):
            return f"forward: a response of the proxy too many {statuses}"
    if outcome.get("close") and not exchange.eof:
        return "forward: connection must be closed after this response"
    return None


def _waited(outcome: Outcome, exchange: Exchange) -> str | None:
    different = _difference(outcome["prior"], exchange.seen)
    if different:
        return f"wait: {different}"
    if len(exchange.finals) > len(outcome["prior"]):
        return f"wait: got status {exchange.finals[-1].status}"
    return "wait: closed" if exchange.eof else None


def _ended_early(outcome: Outcome, exchange: Exchange) -> str | None:
    targets = [request.target for request in exchange.seen + exchange.heads]
    if any(outcome["target"] not in target for target in targets):
        return f"early: the server saw {targets}"
    if len(exchange.heads) > outcome.get("max_seen", 4):
        return f"early: request seen {len(exchange.heads)} times"
    if not exchange.finals:
        return None if 0 in outcome["status"] and exchange.eof else "early: no response"
    status = exchange.finals[0].status
    return None if status in outcome["status"] else f"early: status {status}"


def _tunnelled(outcome: Outcome, exchange: Exchange) -> str | None:
    if not exchange.finals or exchange.finals[0].status != 101:
        return f"tunnel: no 101 ({[response.status for response in exchange.finals]})"
    if exchange.raw != b64decode(outcome["sent"]) or exchange.rest != b64decode(outcome["echo"]):
        return f"tunnel: bytes differ {exchange.raw!r} {exchange.rest!r}"
    return None


def _difference(wanted: Sequence[dict[str, Any]], got: Sequence[Request]) -> str | None:
    """How the requests at the server differ from what they should be."""
    if len(wanted) != len(got):
        return (
            f"the server saw {len(got)} requests {[str(request) for request in got][:4]}, not {len(wanted)}"
        )
    for want, request in zip(wanted, got, strict=True):
        if want["method"] != request.method:
            return f"method {request.method} is not {want['method']}"
        if request.target not in want["target"]:
            return f"target {request.target[:80]!r} not in {[target[:80] for target in want['target']]}"
        if not want.get("any_body") and b64decode(want["body"]) != request.body:
            return f"body {request.body[:60]!r} is not {b64decode(want['body'])[:60]!r}"
        different = _header_difference(want, request.headers)
        if different:
            return different
        if "host" in want and request.header("host").lower() not in want["host"]:
            return f"Host {request.header('host')!r} not in {want['host']}"
    return None


def _header_difference(want: dict[str, Any], headers: Headers) -> str | None:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    for name in want.get("absent", []):
        if name in values:
            return f"header {name} must be absent, is {values[name]}"
    for name, allowed in want.get("present", {}).items():
        got = values.get(name, ["<absent>"])
        if ", ".join(got) not in allowed and ",".join(got) not in allowed:
            return f"header {name} is {got}, not one of {allowed}"
    return None


# -- responses -------------------------------------------------------------------------------------


@attrs.define
class Answer:
    """What the client got for a response case."""

    finals: list[Response]
    interims: list[Response]
    error: str | None
    eof: bool
    reset: bool


def response_outcome(outcome: Outcome, case: Case, answer: Answer) -> str | None:
    """Judge a response case."""
    match outcome["do"]:
        case "502":
            return _replaced(outcome, answer)
        case "truncated":
            return _truncated(answer)
        case "forward":
            return _relayed(outcome, case, answer)
    raise AssertionError(outcome)


def _replaced(outcome: Outcome, answer: Answer) -> str | None:
    if answer.error:
        return f"502: {answer.error}"
    if not answer.finals:
        return None if 0 in outcome["status"] and answer.eof else "502: no response"
    first = answer.finals[0]
    if first.status not in outcome["status"] or first.record is not None:
        return f"502: status {first.status}"
    return None if len(answer.finals) == 1 else "502: a response too many"


def _truncated(answer: Answer) -> str | None:
    if answer.error and "malformed" in answer.error:
        return f"truncated: {answer.error}"
    if answer.error == "incomplete response head" and answer.eof:
        return None
    if not answer.finals:
        return None if answer.eof else "truncated: nothing came"
    first = answer.finals[0]
    if not answer.eof:
        return "truncated: connection kept open"
    if not first.complete or (first.framing == "close" and answer.reset):
        return None
    return f"truncated: the client cannot notice it (framing {first.framing})"


def _relayed(outcome: Outcome, case: Case, answer: Answer) -> str | None:
    if answer.error:
        return f"forward: {answer.error}"
    if len(answer.finals) != 1:
        return f"forward: {len(answer.finals)} responses"
    first = answer.finals[0]
    if first.status != outcome["status"]:
        return f"forward: status {first.status}"
    if not first.complete:
        return "forward: incomplete"
    if b64decode(outcome["body"]) != first.body:
        return f"forward: body {first.body[:60]!r}"
    different = _header_difference(outcome, first.headers)
    if different:
        return f"forward: {different}"
    interims = [response.status for response in answer.interims]
    if "interim" in outcome and interims != outcome["interim"]:
        return f"forward: interim responses {interims}"
    if outcome.get("close") and not answer.eof:
        return "forward: must close"
    cookies = [value for name, value in first.headers if name == "set-cookie"]
    if case.get("two_cookies") and cookies != ["a=1; Path=/", "b=2; Path=/"]:
        return f"forward: cookies {cookies}"
    if outcome.get("framing") and first.framing not in outcome["framing"]:
        return f"forward: framing {first.framing}"
    return None
