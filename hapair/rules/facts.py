"""What a rule may ask: the request first of all, and through `about` the whole transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hapair.cache.store import Draft
    from hapair.cache.vary import Asked
    from hapair.rules.client_hello import Hello
    from hapair.rules.values import Value
    from hapair.tables.tracks import Tracks


class ServerFacts(Protocol):
    """One server as rules see it."""

    name: str
    up: bool
    current: int
    queued: int
    maxconn: int
    weight: int
    initial_weight: int
    number: int


class BackendFacts(Protocol):
    """One backend as rules see it."""

    name: str
    number: int
    current: int
    queued: int
    server_timeout: float
    """Seconds; `inf` for no end."""
    tunnel_timeout: float
    servers: list[ServerFacts]


class FrontendFacts(Protocol):
    """One frontend as rules see it."""

    name: str
    current: int
    default_backend: str | None
    client_timeout: float
    """Seconds; `inf` for no end."""


class Record(Protocol):
    """What has become of an exchange, for a log line; times are in ms, -1 for a phase that never was."""

    over: bool
    """False for a line that is written before the end."""
    accepted: float
    """Unix time."""
    begun: float
    """The same of the request's first byte."""
    handshake: int
    idle: int
    head: int
    query: int
    queued: int
    connect: int
    response: int
    data: int
    active: int
    total: int
    user: int
    status: int
    sent: int
    received: int
    flags: bytes
    why: bytes | None
    """In words; None if there is nothing to tell."""
    cookie_flags: bytes
    backend_name: bytes
    server_name: bytes
    target: tuple[str, int | None]
    """The server's address and port."""
    outgoing: tuple[str, int | None]
    """Ours towards the server."""
    load: tuple[int, int, int, int]
    """Connections of process, frontend, backend, server."""
    retries: bytes
    queues: tuple[int, int]
    lines: int
    number: int
    method: bytes
    """Empty if there never was a valid request."""
    uri: bytes
    version: bytes
    cookies: tuple[bytes | None, bytes | None]
    captured: tuple[list[bytes | None], list[bytes | None]]


class Transaction(Protocol):
    """Everything about an exchange that is not its request; what is not known is None, or empty."""

    source_port: int
    local: str
    """The address that the client connected to."""
    local_port: int
    variables: dict[str, Value | None]
    """By full name (`txn.user`); None of one that was unset."""

    @property
    def shared_variables(self) -> dict[str, Value | None]:
        """Those of `proc.`, which every transaction of the process has."""

    transfers: int
    """Requests of this connection, this one included."""
    captured: list[bytes | None]
    captured_response: list[bytes | None]
    payload: bytes
    """What a stream has brought before it was routed."""
    response_payload: bytes
    """What its server said first."""

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Address and port of who connected and of ours, whatever a PROXY header or rules say."""

    @property
    def proxied(self) -> bool:
        """Did the connection begin with a PROXY header?"""

    def conveyed(self, kind: int) -> bytes:
        """What its header says in the TLV of that kind; empty for nothing."""

    def tcp_info(self) -> bytes:
        """What the kernel knows of the client's connection (struct tcp_info); empty where it is not TCP."""

    @property
    def outgoing(self) -> tuple[str, int | None]:
        """Our address and port towards the server, where rules ask for it."""

    @property
    def target(self) -> tuple[str, int | None]:
        """The server's."""

    server_timeout: float
    tunnel_timeout: float
    """Seconds, for this request or stream; `inf` for no end."""

    @property
    def hello(self) -> Hello: ...

    status: int
    """Of the response; 0 before there is one."""
    version: int
    """Of the request: 10 or 11."""
    request_lines: list[bytes]
    request_target: bytes
    response_version: int
    response_lines: list[bytes] | None
    compressed: str
    """The algorithm that the response is compressed with; empty for none."""
    cache_key: bytes
    """What a cache calls the request's answer; empty where none was asked."""
    kept_from_cache: bool
    """The request is none that caches may have to do with."""
    asked: Asked | None
    """What its answer may vary on; None where no cache has looked."""
    draft: Draft | None
    """The cache's copy of the response, as it comes."""
    is_kept: bool
    """The response comes from a cache itself."""
    kept_in: str
    """From which one; empty for none."""
    response_length: int | None
    """Bytes of the response's body; -1 in chunks, None up to the end of the connection."""

    def count_lookup(self, *, hit: bool) -> None:
        """A cache was asked, and had it or not."""

    body: bytes
    """What has come of the request's body."""
    body_size: int
    """How large it says it is."""
    unique_id: bytes | None
    frontend: FrontendFacts
    backend: BackendFacts | None
    server: ServerFacts | None
    node: str
    pid: int
    stopping: bool
    waits: bool
    """May more data of the stream come before it is routed?"""
    priority_class: int
    priority_offset: float
    """Seconds."""

    @property
    def record(self) -> Record: ...

    log_level: int | None
    """A severity; -1 for no line at all, None for the usual one."""

    def head(self, *, response: bool) -> list[bytes]:
        """Start line and header lines, to be edited in place."""

    def edits(self, name: bytes) -> bool:
        """Headers of the request called `name` (small letters) are edited: may there be any?"""

    def add(self, line: bytes) -> None:
        """Append a line to the request's head, unless it is too long."""

    @property
    def edited_lines(self) -> list[bytes]:
        """The request's, for whoever has called `edits`."""

    def set_method(self, method: bytes) -> None: ...
    def set_target(self, target: bytes) -> None: ...
    def set_source(self, address: str, port: int, since: int) -> None:
        """From now on, by a rule that is asked at the moment `since`: one about a request counts for that."""

    def set_local(self, address: str, port: int, since: int) -> None:
        """The same for where the client connected to."""

    def hint(self, line: bytes) -> None:
        """The client is told this header before a server is asked, if it understands that."""

    def forbid_retries(self) -> None:
        """Once sent, the request is not sent again."""

    @property
    def tick(self) -> int:
        """Milliseconds on the clock of stick tables."""

    @property
    def tracks(self) -> Tracks:
        """The rows of stick tables that the connection and the request track."""

    def now(self) -> float:
        """Unix time."""

    def draw(self, below: int) -> int:
        """A number from 0, by chance."""

    def find_backend(self, name: str) -> BackendFacts | None: ...
    def find_frontend(self, name: str) -> FrontendFacts | None: ...


class Facts(Protocol):
    """The request (or, in TCP mode, the connection) that is judged.

    What is not known is empty: such a sample never matches.  Most rules ask for no
    more than this; what is rare stands behind `about`, so that a request costs no
    more for it.
    """

    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes:
        """Without the query string."""

    @property
    def query(self) -> bytes:
        """What follows the first `?`."""

    @property
    def source(self) -> str:
        """The client's address as text."""

    @property
    def host(self) -> bytes | None:
        """The value of the Host header as it was sent."""

    @property
    def about(self) -> Transaction | None: ...

    def header(self, name: bytes) -> list[bytes]:
        """The values of every line with that lower-case name, as they came: comma lists are not split."""


Test = Callable[[Facts], bool]
"""A compiled rule; it cannot fail."""
