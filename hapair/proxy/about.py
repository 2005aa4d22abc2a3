"""What rules may know and change beside the request itself: one `About` for each connection that has rules.

Hot where rules ask for more than the request; elsewhere none is made.

Longer than most files: each thing is a few lines, and all of them share one copy of the head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hapair.errors import BadMessage
from hapair.http1.body import ChunkedBody
from hapair.http1.framing import CHUNKED, UNTIL_CLOSE
from hapair.http1.head import Request
from hapair.proxy.captures import cookie, headers
from hapair.proxy.log_record import Record
from hapair.proxy.proxy_protocol import UNIQUE_ID_LONGEST, Place
from hapair.rules.action_edits import MOST_HEADERS
from hapair.rules.client_hello import OTHER
from hapair.rules.fetch import CONNECTION, REQUEST
from hapair.tables.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapair.cache.store import Draft
    from hapair.cache.vary import Asked
    from hapair.config.model import Captures
    from hapair.http1.head import Response, Seen
    from hapair.proxy.backend import Backend
    from hapair.proxy.frontend import Frontend
    from hapair.proxy.proxy_protocol import Conveyed
    from hapair.proxy.server import Server
    from hapair.rules.client_hello import Hello
    from hapair.rules.facts import Facts
    from hapair.rules.template import Template
    from hapair.rules.values import Value

_SESSION = "sess."
_NO_COOKIES: Final[tuple[bytes | None, bytes | None]] = None, None
NO_REQUEST: Final = Request()


class ServerFacts:
    """One server as rules see it."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self.up = server.usable
        self.current = server.current
        self.queued = server.queue.count
        self.maxconn = 0 if server.maxconn == float("inf") else int(server.maxconn)
        self.weight = server.weight
        self.initial_weight = server.initial_weight
        self.number = server.backend.config.servers[server.index].id


class BackendFacts:
    """One backend as rules see it."""

    def __init__(self, backend: Backend, number: int) -> None:
        self.name = backend.name
        self.number = number
        self.current = backend.current
        self.queued = backend.queue.count
        self.server_timeout = backend.server_timeout
        self.tunnel_timeout = backend.tunnel_timeout
        self.servers = [ServerFacts(server) for server in backend.servers]


class FrontendFacts:
    """One frontend as rules see it."""

    def __init__(self, frontend: Frontend) -> None:
        self.name = frontend.name
        self.current = frontend.current
        self.default_backend = frontend.config.default_backend
        self.client_timeout = frontend.client_timeout


class About:
    """`hapair.rules.facts.Transaction` over a session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.request = NO_REQUEST
        """Of a connection in TCP mode, and before there is one, an empty one."""
        self.variables: dict[str, Value | None] = {}
        self._captures: tuple[int, int] = session.frontend.rules.captures
        """How many headers of each side are captured."""
        self._capture: Captures | None = session.frontend.config.capture
        self.cookies: tuple[bytes | None, bytes | None] = _NO_COOKIES
        self._forget_captured()
        self.response: Response | None = None
        self.own: list[bytes] | None = None
        """The head of an answer of ours."""
        self.cache_key = b""
        self.kept_from_cache = False
        self.asked: Asked | None = None
        self.draft: Draft | None = None
        self.kept_in = ""
        self.compressed = ""
        """The algorithm that the response is compressed with, if it is."""
        self.held = b""
        """What has come of a body, as it will go to the server."""
        self.waits = False
        self.log_level: int | None = None
        self._target: bytes | None = None
        self._edited = False
        self._hints: list[bytes] = []
        self._names: set[bytes] | None = None
        """Of the request's headers, in small letters, perhaps of some that are gone; None: not looked at."""
        self._own_number: int | None = None
        self._unique_id: bytes | None = None
        self._ending: Record | None = None
        self._first_ends: tuple[Place, Place] | None = None
        """Who connected, and to where, if rules have set that since."""
        self._session_ends: tuple[Place, Place] | None = None
        """The same, if rules about this request have."""
        self.first: dict[int, int] = {}
        """What rules have found out about the connection (`proxy.steady`)."""
        self.appended_by = -1
        """The run of rules that appended `_appended` to the head that had these header lines; -1: none."""
        self.appended_to: Seen | None = None
        self._appended = b""
        self._appended_names: set[bytes] | None = None
        self._shares_names = False
        """Is `_names` not ours alone?"""

    def renew(self) -> None:
        """The next request begins; what belongs to the connection stays."""
        if self._session_ends is not None:
            self._have_ends(*self._session_ends)
            self._session_ends = None
        if self.variables:
            self.variables = {name: v for name, v in self.variables.items() if name.startswith(_SESSION)}
        self._names = None
        if self.captured or self.captured_response or self.cookies is not _NO_COOKIES:
            self._forget_captured()
        self.response = self.own = self._target = self.log_level = self._own_number = None
        self._unique_id = None
        self.compressed = self.kept_in = ""
        self.cache_key = b""
        self.draft = None
        self._hints = []
        self.held = b""

    # -- the connection -----------------------------------------------------------------

    @property
    def shared_variables(self) -> dict[str, Value | None]:
        shared: dict[str, Value | None] = self._session.frontend.process.variables
        return shared

    @property
    def source_port(self) -> int:
        port: int = self._session.port
        return port

    @property
    def local(self) -> str:
        host: str = self._session.local.host
        return host

    @property
    def local_port(self) -> int:
        port: int = self._session.local.port
        return port

    @property
    def payload(self) -> bytes:
        data: bytes = self._session.to_server
        return data

    @property
    def response_payload(self) -> bytes:
        data: bytes = getattr(self._session, "server_said", b"")
        return data

    @property
    def hello(self) -> Hello:
        hello: Hello = getattr(self._session, "hello", OTHER)
        return hello

    @property
    def transfers(self) -> int:
        return getattr(self._session, "requests", 0)

    def set_source(self, address: str, port: int, since: int) -> None:
        """For everything that follows, the log included; by a rule about a request, for that one only."""
        self._keep_ends(since)
        self._have_ends(Place(address or self._session.source, port), self._session.local)

    def set_local(self, address: str, port: int, since: int) -> None:
        """The same for where the client connected to."""
        self._keep_ends(since)
        self._have_ends(Place(self._session.source, self._session.port), Place(address, port))

    def _keep_ends(self, since: int) -> None:
        session = self._session
        ends = Place(session.source, session.port), session.local
        if since > CONNECTION and self._first_ends is None:
            self._first_ends = ends
        if since >= REQUEST and self._session_ends is None:
            self._session_ends = ends

    def _have_ends(self, source: Place, local: Place) -> None:
        session = self._session
        session.source, session.port = source
        session.local = local
        session.forget_name()
        self.first.clear()
        self.appended_by = -1
        if hasattr(session, "request"):
            session.request.source = source.host

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Whose connection it is and where it came, whatever a PROXY header or rules have said since."""
        session = self._session
        if session.peer is not None:
            peer: tuple[Place, Place] = session.peer
            return peer
        return self._first_ends or (Place(session.source, session.port), session.local)

    @property
    def proxied(self) -> bool:
        return self._session.conveyed is not None

    def conveyed(self, kind: int) -> bytes:
        """What the PROXY header says in the TLV of that kind; empty for nothing."""
        conveyed: Conveyed | None = self._session.conveyed
        return b"" if conveyed is None else conveyed.tlv(kind)

    def tcp_info(self) -> bytes:
        """What the kernel knows of the client's connection; empty where it is not TCP."""
        ask = self._session.tcp_info
        info: bytes = b"" if ask is None else ask()
        return info

    @property
    def outgoing(self) -> tuple[str, int | None]:
        return self.record.outgoing

    @property
    def target(self) -> tuple[str, int | None]:
        return self.record.target

    @property
    def server_timeout(self) -> float:
        seconds: float = self._session.server_timeout
        return seconds

    @server_timeout.setter
    def server_timeout(self, seconds: float) -> None:
        self._session.server_timeout = seconds

    @property
    def tunnel_timeout(self) -> float:
        seconds: float = self._session.tunnel_timeout
        return seconds

    @tunnel_timeout.setter
    def tunnel_timeout(self, seconds: float) -> None:
        self._session.tunnel_timeout = seconds

    @property
    def priority_class(self) -> int:
        number: int = self._session.priority_class
        return number

    @priority_class.setter
    def priority_class(self, number: int) -> None:
        self._session.priority_class = number

    @property
    def priority_offset(self) -> float:
        seconds: float = self._session.priority_offset
        return seconds

    @priority_offset.setter
    def priority_offset(self, seconds: float) -> None:
        self._session.priority_offset = seconds

    def hint(self, line: bytes) -> None:
        """For the 103 response that goes out when the rules have been asked."""
        self._hints.append(line)

    def forbid_retries(self) -> None:
        """Once sent, this request is not sent again."""
        self._session.may_retry = False

    # -- the messages -------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self.request.version

    @property
    def request_lines(self) -> list[bytes]:
        return [*self.request.lines, *self.request.dropped]

    @property
    def request_target(self) -> bytes:
        return self.request.target if self._target is None else self._target

    @property
    def body(self) -> bytes:
        if self.request.length != CHUNKED:
            return self.held
        try:
            return ChunkedBody().feed(self.held)
        except BadMessage:  # it is ours, and so it is well formed; but rules must not fail
            return b""

    @property
    def body_size(self) -> int:
        return len(self.body) if self.request.length == CHUNKED else self.request.length

    @property
    def unique_id(self) -> bytes | None:
        """Made when it is first asked for; in HTTP mode what never became a request has none."""
        make = self._session.frontend.rules.unique_id
        if self._session.frontend.http and self._facts is self._session:
            return None
        if self._unique_id is None and make is not None:
            self._unique_id = b""  # for a format that asks for itself
            self._unique_id = make(self._facts)[:UNIQUE_ID_LONGEST]
        return self._unique_id

    @property
    def is_kept(self) -> bool:
        return bool(self.kept_in)

    @property
    def response_length(self) -> int | None:
        response = self.response
        if response is None or response.length == UNTIL_CLOSE:
            return None
        return -1 if response.length == CHUNKED else response.length

    def count_lookup(self, *, hit: bool) -> None:
        """For the side whose rule has asked a cache."""
        session = self._session
        side: Frontend | Backend = session.frontend if session.backend is None else session.backend
        side.cache_lookups += 1
        side.cache_hits += hit

    @property
    def status(self) -> int:
        status: int = getattr(self._session, "_status", 0)
        return max(0, status)

    @property
    def response_version(self) -> int:
        return self.response.version if self.response is not None else 11

    @property
    def response_lines(self) -> list[bytes] | None:
        return (
            self.own if self.own is not None else self.response.lines if self.response is not None else None
        )

    def head(self, *, response: bool) -> list[bytes]:
        """The lines that travel on, to be edited in place."""
        if response:
            return self.response_lines or [b""]
        self._edited = True
        return self.request.lines

    def edits(self, name: bytes) -> bool:
        """Headers of the request called `name` (small letters) are edited: may there be any until now?"""
        request = self.request
        names = self._names
        if names is None:
            if request.wire and request.known is not None:
                names = set(request.known)
            else:
                names = {line.partition(b":")[0].lower() for line in request.lines}
            self._names = names
            self._shares_names = False
        there = name in names
        if not there:
            if self._shares_names:
                self._names = names = names.copy()
                self._shares_names = False
            names.add(name)
        if name == b"host" or name == b"cookie":
            self._edited = True
        return there

    def add(self, line: bytes) -> None:
        """Append a line to the request's head, unless rules have made it too long."""
        if self._names is None or len(self._names) < MOST_HEADERS:
            self.request.add(line)

    def keep_appended(self, run: int, seen: Seen | None, appended: bytes) -> None:
        """Remember what rules have appended to the head, which is all that they have done to it."""
        if not self._edited:
            self.appended_by, self.appended_to, self._appended = run, seen, appended
            self._appended_names = self._names
            self._shares_names = True

    def append_again(self) -> None:
        """Append the same to a head with the same header lines."""
        request = self.request
        request.wire += self._appended
        request.known = None
        self._names = self._appended_names
        self._shares_names = True

    @property
    def edited_lines(self) -> list[bytes]:
        """The request's, for whoever has called `edits`."""
        return self.request.lines

    def set_method(self, method: bytes) -> None:
        """The server gets this one; HEAD and CONNECT stay, since what follows them is delimited otherwise."""
        request = self.request
        if {request.method, method} & {b"HEAD", b"CONNECT"}:
            return
        request.method = method
        request.text = b""
        request.lines[0] = method + b" " + request.lines[0].partition(b" ")[2]

    def set_target(self, target: bytes) -> None:
        """The server gets this one; rules that follow see it, the log does not."""
        request = self.request
        if request.method == b"CONNECT":
            return
        self._target = target
        request.path, _, request.query = target.partition(b"?")
        request.lines[0] = b"%b %b HTTP/1.%d" % (request.method, target, request.version - 10)

    def settle(self) -> None:
        """Rules have been applied: what was read from the request's lines is read anew."""
        if self._hints:
            hints, self._hints = self._hints, []
            if self.request.version == 11:
                self._session.send_hints(hints)
        if not self._edited:
            return
        self._edited = False
        request = self.request
        request.cookies = [line for line in request.lines if line[:7].lower() == b"cookie:"]
        hosts = [line for line in request.lines if line[:5].lower() == b"host:"]
        request.host = hosts[0][5:].strip(b" \t") if hosts else None

    # -- the log ------------------------------------------------------------------------

    @property
    def _facts(self) -> Facts:
        """The request, or else the connection."""
        request = getattr(self._session, "request", None)
        facts: Facts = request if request is not None and request.about is not None else self._session
        return facts

    def _forget_captured(self) -> None:
        requests, responses = self._captures
        self.captured: list[bytes | None] = [None] * requests
        self.captured_response: list[bytes | None] = [None] * responses
        self.cookies = _NO_COOKIES

    def capture_request(self) -> None:
        """What the log shall tell of a request, before rules change it."""
        wanted = self._capture
        if wanted is not None:
            self.captured[: len(wanted.request_headers)] = headers(self.request_lines, wanted.request_headers)
            if wanted.cookie is not None:
                self.cookies = cookie(self.request.cookies, wanted.cookie), None

    def capture_response(self) -> None:
        """The same of the server's answer."""
        wanted = self._capture
        if wanted is not None and self.response is not None:
            found = headers(self.response.lines, wanted.response_headers)
            self.captured_response[: len(found)] = found
            if wanted.cookie is not None:
                self.cookies = self.cookies[0], cookie(self.response.cookies, wanted.cookie)

    @property
    def record(self) -> Record:
        """What has become of it so far."""
        return self._ending or Record(self._session, self, "--", self._session.told_at, over=False)

    @property
    def number(self) -> int:
        """Of this request or stream among those that were asked for theirs, from 0."""
        if self._own_number is None:
            process = self._session.frontend.process
            self._own_number = process.numbered
            process.numbered += 1
        return self._own_number

    def line(self, template: Template, flags: str, now: float) -> bytes:
        """The log line of what ends now."""
        session = self._session
        self._ending = Record(session, self, flags, now, over=not session.frontend.logasap)
        try:
            return template(self._facts)
        finally:
            self._ending = None

    # -- the house ----------------------------------------------------------------------

    @property
    def frontend(self) -> FrontendFacts:
        return FrontendFacts(self._session.frontend)

    @property
    def backend(self) -> BackendFacts | None:
        backend = self._session.backend
        return None if backend is None else BackendFacts(backend, self._number(backend.name))

    @property
    def server(self) -> ServerFacts | None:
        server = self._session.server
        return None if server is None else ServerFacts(server)

    def find_backend(self, name: str) -> BackendFacts | None:
        """By its name."""
        backends: Mapping[str, Backend] = self._session.frontend.backends
        backend = backends.get(name)
        return None if backend is None else BackendFacts(backend, self._number(name))

    def find_frontend(self, name: str) -> FrontendFacts | None:
        """By its name: only this one is known here."""
        frontend = self._session.frontend
        return FrontendFacts(frontend) if frontend.name == name else None

    def _number(self, name: str) -> int:
        return list(self._session.frontend.backends).index(name) + 1

    @property
    def node(self) -> str:
        name: str = self._session.frontend.process.node
        return name

    @property
    def pid(self) -> int:
        number: int = self._session.frontend.process.pid
        return number

    @property
    def stopping(self) -> bool:
        stopping: bool = self._session.frontend.stopping
        return stopping

    @property
    def tick(self) -> int:
        """Milliseconds on the monotonic clock, as stick tables count."""
        return int(self._session.told_at * 1000)

    @property
    def tracks(self) -> Tracks:
        """What the session tracks; it keeps it, so that it is let go whatever becomes of it."""
        tracks: Tracks | None = self._session.tracks
        if tracks is None:
            tracks = self._session.tracks = Tracks()
        return tracks

    def now(self) -> float:
        """Unix time."""
        frontend = self._session.frontend
        at: float = self._session.told_at + frontend.dates.offset
        return at

    def draw(self, below: int) -> int:
        """A number from 0, by chance."""
        number: int = self._session.frontend.process.draw(below)
        return number
