"""The server behind the proxy: records what it is sent, by the strict reader, and answers as the case says.

A target says how: `/resp/<id>` plays the response of that case, `/early200/`,
`/early413/`, `/close0/`, `/never/`, `/slow/` and `/ws101/` misbehave as named;
anything else is answered 200 with the number of the record in `X-Rec` and body.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import attrs
from conformance.strict import Body, Malformed, Request, take_request

Address = tuple[str, int]
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_EARLY_READ = 0.6
"""Seconds for which the rest of a body is read after an early 413."""


@attrs.define
class Event:
    """Something that happened on one connection."""

    kind: str
    """head, request, partial, early, raw, violation, reset, close."""
    connection: int
    request: Request | None = None
    data: bytes = b""
    why: str = ""


class Connection:
    """One connection from the proxy."""

    def __init__(self, oracle: Oracle, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self._oracle = oracle
        self._number = number
        self._buffer = bytearray()
        self._request: Request | None = None
        self._body = Body(None)
        self._soft: list[str] = []
        self._answered_early = False

    @property
    def half_done(self) -> bool:
        """Is a request begun and not complete?"""
        return self._request is not None or bool(self._buffer)

    def serve(self) -> None:
        """Until either side ends it."""
        try:
            self._serve()
        except Malformed as error:
            self._tell("violation", why=str(error))
            self._request = None
            self._buffer.clear()
            with contextlib.suppress(OSError):
                self.sock.sendall(b"HTTP/1.1 599 Oracle\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            self._tell("reset")
        finally:
            if self.half_done:
                self._tell("partial", self._request, bytes(self._buffer[:80]))
            self._tell("close")
            self._oracle.forget(self._number)
            self.sock.close()

    def _tell(self, kind: str, request: Request | None = None, data: bytes = b"", why: str = "") -> None:
        self._oracle.tell(Event(kind, self._number, request, data, why))

    def _serve(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            if self._request is None:
                taken = take_request(self._buffer, self._soft)
                if taken is not None:
                    self._request, self._body = taken
                    self._soft = []
                    if not self._begun(self._request):
                        return
            if self._request is not None and self._body.read(self._buffer, self._request.soft):
                request, self._request = self._request, None
                request.body = bytes(self._body.data)
                self._oracle.number(request)
                self._tell("request", request)
                if not self._answer(request):
                    return
                continue
            data = self.sock.recv(65536)
            if not data:
                return
            self._oracle.touch()
            self._buffer += data

    def _begun(self, request: Request) -> bool:
        """The head is here; false when that is the end of the connection."""
        self._tell("head", request)
        if "/early413/" in request.target:
            self._refuse_early(request)
            return False
        if "/early200/" in request.target:
            self._oracle.number(request)
            self._send(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Rec: {request.record}\r\n\r\nok")
            self._answered_early = True
        elif (
            "100-continue" in request.header("expect").lower()
            and self._body.framing
            and not self._body.read(self._buffer, request.soft)
        ):
            self._send("HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _refuse_early(self, request: Request) -> None:
        self._send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\nX-Rec: 0\r\n\r\n")
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(0.2)
        end = time.monotonic() + _EARLY_READ
        with contextlib.suppress(OSError):
            while time.monotonic() < end and self.sock.recv(65536):
                pass
        self._tell("early", request)
        self._request = None
        self._buffer.clear()

    def _answer(self, request: Request) -> bool:
        """The request is complete; false when its answer ends the connection."""
        target = request.target
        if "/close0/" in target:
            return False
        if "/never/" in target:
            self.sock.settimeout(20)
            self.sock.recv(1)
            return False
        if "/slow/" in target:
            time.sleep(0.8)
        if "/ws101/" in target and request.header("upgrade"):
            self._tunnel(request)
            return False
        played = re.search(r"/resp/([a-z0-9-]+)", target)
        if played is not None and played[1] in self._oracle.responses:
            return self._play(self._oracle.responses[played[1]]["steps"])
        if request.method == "CONNECT":
            self._send(f"HTTP/1.1 405 No\r\nContent-Length: 0\r\nX-Rec: {request.record}\r\n\r\n")
            return True
        answered, self._answered_early = self._answered_early, False
        return answered or self._answer_plainly(request)

    def _answer_plainly(self, request: Request) -> bool:
        body = f'{{"rec": {request.record}}}'
        options = request.header("connection").lower()
        close = "close" in options or (request.version == "1.0" and "keep-alive" not in options)
        self._send(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Rec: {request.record}\r\n"
            + ("Connection: close\r\n" if close else "")
            + "\r\n"
            + ("" if request.method == "HEAD" else body)
        )
        return not close

    def _tunnel(self, request: Request) -> None:
        """Accept the upgrade, then echo."""
        self._send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\nX-Rec: {request.record}\r\n\r\n"
        )
        data = bytes(self._buffer)
        self._buffer.clear()
        while True:
            if data:
                self._tell("raw", data=data)
                self.sock.sendall(data)
            data = self.sock.recv(65536)
            if not data:
                return

    def _play(self, steps: list[dict[str, Any]]) -> bool:
        for step in steps:
            time.sleep(step.get("delay", 0))
            if "send" in step:
                self.sock.sendall(b64decode(step["send"]))
            time.sleep(step.get("wait", 0))
            if step.get("rst"):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
                return False
            if step.get("close"):
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.settimeout(0.5)
                self.sock.recv(1)
                return False
        return True

    def _send(self, text: str) -> None:
        self.sock.sendall(text.encode())


class Oracle:
    """Listens where the proxy's only server is supposed to be."""

    def __init__(self, address: Address, responses: Mapping[str, dict[str, Any]]) -> None:
        self.responses = responses
        self.log: list[Event] = []
        self.methods: dict[int, str] = {}
        """Method of the request with that record number."""
        self.last = time.monotonic()
        """When something happened last."""
        self.connections: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(
            address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET, backlog=512
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                sock, _ = self._listener.accept()
                number += 1
                connection = self.connections[number] = Connection(self, sock, number)
                threading.Thread(target=connection.serve, daemon=True).start()

    def tell(self, event: Event) -> None:
        with self._lock:
            self.log.append(event)
            self.touch()

    def touch(self) -> None:
        self.last = time.monotonic()

    def number(self, request: Request) -> None:
        """Give the request its record number, unless it has one."""
        with self._lock:
            if not request.record:
                request.record = len(self.methods) + 1
                self.methods[request.record] = request.method

    def requests(self, since: int = 0, kind: str = "request") -> list[Request]:
        """The requests of such events since that place in the log."""
        return [e.request for e in self.log[since:] if e.kind == kind and e.request is not None]

    def forget(self, number: int) -> None:
        self.connections.pop(number, None)

    def half_done(self) -> list[Connection]:
        """Connections on which a request was begun and not completed."""
        return [connection for connection in list(self.connections.values()) if connection.half_done]

    def close(self) -> None:
        """Stop listening and end every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, too
        self._listener.close()
        for connection in list(self.connections.values()):
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
