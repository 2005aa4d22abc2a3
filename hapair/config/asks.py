"""What checks ask servers, beside HTTP: one value for each kind that has something to say."""

from __future__ import annotations

import attrs


@attrs.frozen
class Expect:
    """What an answer must look like, in the words of HAProxy's `http-check expect` and `tcp-check expect`."""

    text: str
    """As it was written."""
    match: str
    """`status`, `rstatus`, `hdr`, `string`, `rstring`, `binary` or `rbinary`."""
    pattern: bytes
    """A regular expression where `match` begins with `r`."""
    negated: bool = False
    header: str = ""
    """Whose value it is, with `hdr`."""
    min_recv: int = 0
    """Bytes that must be there before it is judged."""
    comment: str = ""
    error_status: str = "L7RSP"
    ok_status: str = "L7OK"
    on_error: str = ""
    on_success: str = ""


@attrs.frozen
class Connect:
    """`connect`: a connection, to another port of the server perhaps."""

    text: str
    port: int | None = None
    ssl: bool = False
    send_proxy: bool = False
    comment: str = ""


@attrs.frozen
class Send:
    """`send` and `send-binary`."""

    text: str
    data: bytes
    comment: str = ""


TcpRule = Expect | Connect | Send


@attrs.frozen
class TcpCheck:
    """A script in the words of HAProxy's `tcp-check`."""

    rules: tuple[TcpRule, ...]


@attrs.frozen
class IcmpCheck:
    count: int = 1
    """Echo requests for each check."""
    loss: int = 0
    """Percent of them that may stay unanswered."""


@attrs.frozen
class UdpCheck:
    payload: bytes
    reply: bytes | None = None
    """What the answer must contain; None: any answer will do."""
    require_reply: bool = True
    """False: silence is well, and only "port unreachable" is not (keepalived's UDP_CHECK)."""


@attrs.frozen
class DnsCheck:
    name: str = "."
    type: str = "SOA"
    expect: str | None = None
    """One of the answers, as text."""


@attrs.frozen
class SmtpCheck:
    hello: str = "HELO"
    """`HELO` or `EHLO`."""
    domain: str = "localhost"


@attrs.frozen
class MysqlCheck:
    user: str | None = None
    """None: the greeting is enough.  But a server blocks hosts that never log in."""
    version: str = "post-41"
    """`pre-41` for servers older than 4.1."""
    password: str = attrs.field(default="", repr=False)
    query: str | None = None
    expect: str | None = None
    """The last column of the query's first row."""


@attrs.frozen
class PgsqlCheck:
    user: str = "postgres"
    database: str | None = None
    """None: named as the user."""
    password: str | None = attrs.field(default=None, repr=False)
    """None: that the server asks for one is enough."""
    query: str | None = None
    expect: str | None = None
    """The last column of the query's first row."""


@attrs.frozen
class RedisCheck:
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    role: str | None = None
    """`master` or `slave`; None for any."""


@attrs.frozen
class ExternalCheck:
    """A program of the operator (HAProxy's external-check, keepalived's MISC_CHECK)."""

    command: tuple[str, ...]
    user: str | None = None
    """Account; None: `node.script_user`."""
    dynamic: bool = False
    """An exit code of 2..255 passes and is the weight plus 2 (keepalived's misc_dynamic)."""


@attrs.frozen
class FileCheck:
    """Well as long as a file is there and its number is not negative (keepalived's FILE_CHECK)."""

    file: str


@attrs.frozen
class AgentCheck:
    """Where a server's agent listens, and how often it is asked (HAProxy's agent-check)."""

    port: int
    addr: str | None = None
    """None: the server's own address."""
    inter: float = 2.0
    send: bytes = b""
    """Said before it is listened to."""


Ask = (
    IcmpCheck | UdpCheck | TcpCheck | DnsCheck | SmtpCheck | MysqlCheck | PgsqlCheck | RedisCheck
    | ExternalCheck | FileCheck | AgentCheck
)  # fmt: skip


@attrs.frozen
class Tls:
    """How a check speaks TLS."""

    sni: str | None = None
    verify: bool = False
    """The certificate must be signed by one in `ca_file`, and name `sni` where that is given."""
    ca_file: str | None = None
    """None: the certificates that the system trusts."""
    starttls: bool = False
    """It begins in clear text and asks for TLS; else TLS is spoken from the first byte."""
