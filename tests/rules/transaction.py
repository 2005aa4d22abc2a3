"""A transaction as rules see it, made of plain values."""

from __future__ import annotations

import attrs

from hapair.rules.client_hello import OTHER
from hapair.tables.tracks import Tracks


@attrs.define
class Server:
    name: str
    up: bool = True
    current: int = 0
    queued: int = 0
    maxconn: int = 0
    weight: int = 1
    initial_weight: int = 1
    number: int = 1


@attrs.define
class Place:
    """A frontend or a backend."""

    name: str
    number: int = 1
    current: int = 0
    queued: int = 0
    servers: list = attrs.field(factory=list)
    default_backend: str | None = None
    client_timeout: float = 10.0
    server_timeout: float = 10.0
    tunnel_timeout: float = float("inf")


@attrs.define
class Transaction:
    """`hapair.rules.facts.Transaction`."""

    request_lines: list = attrs.field(factory=list)
    request_target: bytes = b""
    source_port: int = 40000
    local: str = "127.0.0.1"
    local_port: int = 80
    variables: dict = attrs.field(factory=dict)
    shared_variables: dict = attrs.field(factory=dict)
    transfers: int = 1
    captured: list = attrs.field(factory=list)
    captured_response: list = attrs.field(factory=list)
    payload: bytes = b""
    response_payload: bytes = b""
    hello: object = OTHER
    status: int = 0
    version: int = 11
    response_version: int = 11
    response_lines: list | None = None
    body: bytes = b""
    body_size: int = 0
    unique_id: bytes | None = None
    frontend: Place = attrs.field(factory=lambda: Place("fe"))
    backend: Place | None = None
    server: Server | None = None
    node: str = "lb-a"
    pid: int = 4711
    stopping: bool = False
    waits: bool = False
    tick: int = 1000
    tracks: Tracks = attrs.field(factory=Tracks)
    time: float = 1700000000.25
    chance: int = 12345
    backends: dict = attrs.field(factory=dict)
    compressed: str = ""
    cache_key: bytes = b""
    kept_from_cache: bool = False
    asked: object = None
    draft: object = None
    is_kept: bool = False
    kept_in: str = ""
    response_length: int | None = None
    priority_class: int = 0
    priority_offset: float = 0.0

    proxied: bool = False
    tlvs: dict = attrs.field(factory=dict)
    info: bytes = b""
    outgoing: tuple = ("", None)
    target: tuple = ("", None)
    server_timeout: float = 10.0
    tunnel_timeout: float = float("inf")
    ends: tuple = (("127.0.0.1", 40000), ("127.0.0.1", 80))

    def conveyed(self, kind):
        return self.tlvs.get(kind, b"")

    def tcp_info(self):
        return self.info

    def now(self):
        return self.time

    def draw(self, below):
        return self.chance % below

    def find_backend(self, name):
        return self.backends.get(name)

    def find_frontend(self, name):
        return self.frontend if name == self.frontend.name else None
